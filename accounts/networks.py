"""Networks in CIDR form: read from what people type, and asked on every call. Nothing here touches the database."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
# `::ffff:a.b.c.d`: how an IPv4 address looks on a socket that takes both.
MAPPED = IPv6Network("::ffff:0:0/96")
MAPPED_PREFIX = 96


class NotANetwork(ValueError):
    """`meant` is the network that was probably meant, when only the bits after the prefix are wrong."""

    def __init__(self, text: str, meant: str = "") -> None:
        super().__init__(text)
        self.text, self.meant = text, meant


def read(text: str) -> str:
    """`10.0.0.0/8`, `2001:db8::/32`, or a single address, in its shortest form. Raises NotANetwork."""
    if "%" in text:
        # A zone of IPv6 means something on one machine only.
        raise NotANetwork(text)
    try:
        return str(_unmapped(ip_network(text)))
    except ValueError:
        pass
    try:
        raise NotANetwork(text, str(_unmapped(ip_network(text, strict=False))))
    except ValueError as error:
        raise error if isinstance(error, NotANetwork) else NotANetwork(text) from None


class Networks:
    """Some networks as pairs of integers: asking one costs a mask and a comparison."""

    __slots__ = ("_v4", "_v6")

    def __init__(self, ranges: Iterable[str]) -> None:
        """Of texts that `read` made."""
        networks = [_unmapped(ip_network(text, strict=False)) for text in ranges]
        self._v4, self._v6 = (
            tuple((int(each.netmask), int(each.network_address)) for each in networks if each.version == version)
            for version in (4, 6)
        )

    def __contains__(self, address: str) -> bool:
        """False for what is no address: a Unix socket has none, and is in no network."""
        found = _number(address)
        if found is None:
            return False
        is_v4, number = found
        return any(number & mask == network for mask, network in (self._v4 if is_v4 else self._v6))


def caller_address(connection: str, forwarded_for: str, trusted_proxies: int) -> str:
    """Who calls: the other end of the connection, unless proxies of ours are known to stand between.

    Each of them appends to `X-Forwarded-For` whom it heard from; what stands further left anybody may have written.
    Empty when fewer have appended than there are. Not checked to be an address: `Networks` holds only such.
    """
    if not trusted_proxies:
        return connection
    told = [part.strip() for part in forwarded_for.split(",")]
    return told[-trusted_proxies] if len(told) >= trusted_proxies else ""


@lru_cache(maxsize=4096)
def _number(address: str) -> tuple[bool, int] | None:
    """Whether it is IPv4, and its bits."""
    try:
        read = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(read, IPv6Address) and read.ipv4_mapped is not None:
        read = read.ipv4_mapped
    return isinstance(read, IPv4Address), int(read)


def _unmapped(network: Network) -> Network:
    """Networks of mapped addresses are IPv4 networks."""
    if isinstance(network, IPv6Network) and network.prefixlen >= MAPPED_PREFIX and network.subnet_of(MAPPED):
        mapped = network.network_address.ipv4_mapped
        assert mapped is not None
        return IPv4Network((int(mapped), network.prefixlen - MAPPED_PREFIX))
    return network

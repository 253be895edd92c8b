"""Where calls may be sent. An address in a private network is refused unless it was allowed: an administrator's typing
must not make the gateway talk to the machines beside it.

Asked when an address is saved, again with every connection of a health check, and by the gateway whenever it reads its
routes.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from accounts.networks import Networks

RESOLVE_TIMEOUT_S = 2.0
# Networks whose addresses lead on to an IPv4 address: NAT64, and 6to4, which holds it after its first 16 bits.
NAT64 = IPv6Network("64:ff9b::/96")


class Wrong(StrEnum):
    """What is wrong with an address. The words for people are the page's."""

    FORM = "form"
    SCHEME = "scheme"
    CREDENTIALS = "credentials"
    QUERY = "query"
    PRIVATE = "private"
    UNKNOWN_HOST = "unknown host"


class BadDestination(ValueError):
    def __init__(self, wrong: Wrong, detail: str = "") -> None:
        super().__init__(wrong)
        self.wrong, self.detail = wrong, detail


def host_of(base_url: str) -> str:
    """The host of an address that may be one, by its form alone. Raises BadDestination."""
    if any(character.isspace() or not character.isprintable() or character == "\\" for character in base_url):
        raise BadDestination(Wrong.FORM)
    try:
        parts = urlsplit(base_url)
        host, _port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadDestination(Wrong.FORM) from error
    if parts.scheme not in ("http", "https"):
        raise BadDestination(Wrong.SCHEME)
    if "@" in parts.netloc:
        raise BadDestination(Wrong.CREDENTIALS)
    if "?" in base_url or "#" in base_url:
        raise BadDestination(Wrong.QUERY)
    if not host:
        raise BadDestination(Wrong.FORM)
    return host


def check(base_url: str, allowed: Networks) -> None:
    """Raises BadDestination for a wrong form, a private address, or a host nobody knows."""
    host = host_of(base_url)
    addresses = resolve([host])[host]
    if not addresses:
        raise BadDestination(Wrong.UNKNOWN_HOST, host)
    for address in addresses:
        if is_refused(address, allowed):
            raise BadDestination(Wrong.PRIVATE, address)


def is_refused(address: str, allowed: Networks) -> bool:
    """Whether it is private, loopback, link-local, multicast or otherwise not of the public net, and not allowed."""
    try:
        meant = _led_to(ip_address(address.partition("%")[0]))
    except ValueError:
        return True
    return (not meant.is_global or meant.is_multicast) and str(meant) not in allowed


def _led_to(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def resolve(hosts: Iterable[str], timeout_s: float = RESOLVE_TIMEOUT_S) -> dict[str, list[str]]:
    """Every host's addresses, all asked at once; none for a host that is not known or not answered for in time."""
    found: dict[str, list[str]] = {host: [] for host in hosts}
    # Threads that do not keep the process alive: the system's resolver cannot be told when to give up.
    asking = [threading.Thread(target=_resolve_one, args=(host, found), daemon=True) for host in found]
    for thread in asking:
        thread.start()
    give_up_at = time.monotonic() + timeout_s
    for thread in asking:
        thread.join(max(0.0, give_up_at - time.monotonic()))
    return dict(found)


def _resolve_one(host: str, found: dict[str, list[str]]) -> None:
    try:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    found[host] = list(dict.fromkeys(str(answer[4][0]) for answer in answers))

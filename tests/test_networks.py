"""Networks in CIDR form: what people type, and which address is in them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.networks import Networks, NotANetwork, caller_address, read


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("203.0.113.7", "203.0.113.7/32"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        # What a socket for both families calls an IPv4 address is one.
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_a_network_is_kept_in_its_shortest_form(typed: str, kept: str) -> None:
    assert read(typed) == kept
    assert read(kept) == kept


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("10.0.0.0/33", ""),
        ("10.0.0.256", ""),
        ("010.0.0.1", ""),
        ("fe80::1%eth0/64", ""),
        ("example.com", ""),
        ("١٠.0.0.1", ""),
        ("10.0.0.0/8; DROP TABLE", ""),
        ("", ""),
        ("1" * 5000, ""),
    ],
)
def test_what_is_no_network_is_told_with_the_one_that_was_meant(typed: str, meant: str) -> None:
    with pytest.raises(NotANetwork) as error:
        read(typed)
    assert error.value.meant == meant


@given(st.ip_addresses(), st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=6), st.integers(0, 128))
def test_an_address_is_in_a_network_exactly_when_its_first_bits_are(address, v4, bits4, v6, bits6) -> None:
    ranges = [ip_network(f"{v4}/{bits4}", strict=False), ip_network(f"{v6}/{bits6}", strict=False)]
    networks = Networks(str(each) for each in ranges)
    mapped = getattr(address, "ipv4_mapped", None)
    expected = any((mapped or address) in each for each in ranges if each.version == (mapped or address).version)
    if not ranges[1].subnet_of(ip_network("::ffff:0:0/96")):
        assert (str(address) in networks) == expected


def test_an_ipv4_address_is_the_same_however_the_socket_names_it() -> None:
    networks = Networks(["203.0.113.0/24"])
    for address in ("203.0.113.9", "::ffff:203.0.113.9", "::ffff:cb00:7109"):
        assert address in networks
    assert "::ffff:203.0.114.9" not in networks
    # An address of IPv6 with the same last bits is another one.
    assert "2001:db8::cb00:7109" not in networks
    assert str(ip_address("203.0.113.9")) in Networks(["::ffff:203.0.113.0/120"])


@pytest.mark.parametrize("address", ["", "unix:", "localhost", "203.0.113.9:8080", "203.0.113.9, 10.0.0.1", "9" * 300])
def test_what_is_no_address_is_in_no_network(address: str) -> None:
    assert address not in Networks(["0.0.0.0/0", "::/0"])


@pytest.mark.parametrize(
    ("forwarded_for", "proxies", "caller"),
    [
        ("203.0.113.9", 0, "10.0.0.1"),
        ("203.0.113.9", 1, "203.0.113.9"),
        # The caller wrote the first itself.
        ("198.51.100.1, 203.0.113.9", 1, "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9, 10.0.0.7", 2, "203.0.113.9"),
        ("", 1, ""),
        ("203.0.113.9", 2, ""),
    ],
)
def test_a_forwarded_address_counts_for_as_many_proxies_as_are_trusted(forwarded_for, proxies, caller) -> None:
    assert caller_address("10.0.0.1", forwarded_for, proxies) == caller

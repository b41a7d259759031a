"""No address that is not public is called, in whatever dress it comes."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.targets import Targets, plain

REFUSED = [
    "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.1.1", "100.64.0.1", "100.127.255.255", "100.100.100.200", "224.0.0.1",
    "239.255.255.250", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "192.88.99.1", "168.63.129.16", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1",
    "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1::1", "2001:db8::1",
    "::ffff:0:127.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_refused(address):
    assert Targets().refusal(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_called(address):
    assert Targets().refusal(address) is None


def test_the_owner_allows_a_network_and_nothing_beside_it():
    targets = Targets((ip_network("10.1.0.0/16"),))
    assert targets.refusal("10.1.2.3") is None
    assert targets.refusal("::ffff:10.1.2.3") is None
    assert targets.refusal("10.2.0.1") == "a private network"


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_an_ipv6_dress(address):
    targets = Targets()
    assert targets.refusal(f"::ffff:{address}") == targets.refusal(str(address))
    if not address.is_global:
        assert targets.refusal(str(address))


@given(st.ip_addresses())
def test_what_the_standard_library_calls_private_is_never_called(address):
    if not plain(str(address)).is_global:
        assert Targets().refusal(str(ip_address(address)))

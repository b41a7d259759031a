"""Whose request it is, and what is kept of it."""

import pytest

from hivemind.http.callers import Callers, client_address, networks, site

TRUSTED = networks(["10.0.0.0/8", "fd00::/8"])


def test_an_address_is_kept_only_as_a_keyed_hash():
    callers, others = Callers(b"k" * 32), Callers(b"another key")
    assert callers.of("192.0.2.1", None) == Callers(b"k" * 32).of("192.0.2.1", None)
    assert callers.of("192.0.2.1", None) != others.of("192.0.2.1", None)
    assert b"192.0.2.1".hex() not in callers.of("192.0.2.1", None)


def test_a_forwarded_address_counts_only_from_a_trusted_peer():
    callers = Callers(b"k" * 32, TRUSTED)
    assert callers.of("10.0.0.1", "198.51.100.1") == callers.of("198.51.100.1", None)
    assert callers.of("192.0.2.1", "198.51.100.1") == callers.of("192.0.2.1", None)


def test_one_ipv6_customer_is_one_caller():
    callers = Callers(b"k" * 32)
    assert callers.of("2001:db8::1", None) == callers.of("2001:db8::ffff", None)
    assert site("2001:db8::1") == site("2001:db8::ffff") != site("2001:db8:0:1::1")
    assert site("::ffff:192.0.2.1") == site("192.0.2.1") == "192.0.2.1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.9", "198.51.100.1", "192.0.2.9"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.66, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.66, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "198.51.100.1, rubbish", "10.0.0.1"),
        ("10.0.0.1", "rubbish, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", ",,,", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("/run/socket", "198.51.100.1", "/run/socket"),
    ],
)
def test_only_trusted_peers_say_who_the_client_is(peer, forwarded, client):
    assert client_address(peer, forwarded, TRUSTED) == client


def test_without_trusted_networks_nobody_is_believed():
    assert client_address("10.0.0.1", "198.51.100.1", ()) == "10.0.0.1"

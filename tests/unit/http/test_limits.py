"""How often callers may ask, and who they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.errors import Overloaded, RateLimited
from hivemind.http.limits import Limiter, Rate, Table, client_address, decide, networks, site
from hivemind.settings import LimitSettings

KEY = b"k" * 32
TRUSTED = networks(["10.0.0.0/8", "fd00::/8"])


def limiter(ip=3, conversation=100, everybody=1000, **more):
    settings = LimitSettings(
        per_ip_per_minute=ip, per_conversation_per_minute=conversation, global_per_minute=everybody
    )
    return Limiter(settings, KEY, **more)


def admitted(limits, address, conversation, now):
    try:
        limits.admit(address, conversation, now)
    except RateLimited:
        return False
    return True


def test_a_burst_is_admitted_and_the_next_one_told_when_to_come_back():
    limits = limiter(ip=3)
    assert [admitted(limits, "192.0.2.1", None, 100.0) for _ in range(4)] == [True, True, True, False]
    with pytest.raises(RateLimited) as told:
        limits.admit("192.0.2.1", None, 100.0)
    wait = told.value.retry_after_seconds
    assert wait == pytest.approx(20)
    assert not admitted(limits, "192.0.2.1", None, 100.0 + wait - 0.1)
    assert admitted(limits, "192.0.2.1", None, 100.0 + wait)


@given(st.integers(1, 60), st.lists(st.floats(0, 5), min_size=1, max_size=300))
def test_no_window_of_a_minute_admits_more_than_two_minutes_worth(count, gaps):
    rate = Rate.per_minute(count)
    now, due_at, times = 0.0, 0.0, []
    for gap in gaps:
        now += gap
        due_at, wait = decide(due_at, now, rate)
        if not wait:
            times.append(now)
    for first in times:
        assert sum(first <= time < first + 60 for time in times) <= 2 * count


@given(st.integers(1, 60), st.floats(0, 1e9))
def test_whoever_waits_as_told_is_admitted(count, now):
    rate = Rate.per_minute(count)
    due_at = 0.0
    for _ in range(count):
        due_at, wait = decide(due_at, now, rate)
        assert wait == 0
    due_at, wait = decide(due_at, now, rate)
    assert wait > 0
    assert decide(due_at, now + wait, rate)[1] == 0


def test_addresses_do_not_share_a_limit_but_a_conversation_and_everybody_do():
    limits = limiter(ip=1, conversation=2, everybody=3)
    assert admitted(limits, "192.0.2.1", "a", 0)
    assert admitted(limits, "192.0.2.2", "a", 0)
    assert not admitted(limits, "192.0.2.3", "a", 0)
    assert admitted(limits, "192.0.2.3", "b", 0)
    assert not admitted(limits, "192.0.2.4", "c", 0)


def test_a_refused_message_uses_up_nothing():
    limits = limiter(ip=1, conversation=2)
    assert admitted(limits, "192.0.2.1", "a", 0)
    assert not admitted(limits, "192.0.2.1", "a", 0)
    assert admitted(limits, "192.0.2.2", "a", 0)


def test_a_full_table_refuses_new_keys_keeps_known_ones_and_recovers():
    limits = limiter(ip=60, max_keys=2)
    limits.admit("192.0.2.1", None, 0)
    limits.admit("192.0.2.2", None, 0)
    with pytest.raises(Overloaded):
        limits.admit("192.0.2.3", None, 0)
    limits.admit("192.0.2.1", None, 0)
    limits.admit("192.0.2.3", None, 10)


def test_keys_that_mean_nothing_any_more_are_forgotten():
    table = Table(Rate.per_minute(60))
    for number in range(1000):
        key = b"%d" % number
        due_at, _ = table.look(key, float(number))
        table.book(key, due_at)
    assert len(table) <= 3


def test_an_address_is_kept_only_as_a_keyed_hash():
    assert limiter().address_hash("192.0.2.1") == limiter().address_hash("192.0.2.1")
    other = Limiter(LimitSettings(), b"another key")
    assert limiter().address_hash("192.0.2.1") != other.address_hash("192.0.2.1")


def test_one_ipv6_customer_is_one_caller():
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

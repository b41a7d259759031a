"""How often callers may ask: exact in every window, and the same after a restart."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.errors import LimitsUnknown, Overloaded, RateLimited
from hivemind.http.limits import DAY_SECONDS, MINUTE_SECONDS, Counted, Day, Limiter, Table
from hivemind.settings import LimitSettings

A, B, C = (UUID(int=number) for number in range(3))
PLENTY = 1000


def unready(ip=PLENTY, key=PLENTY, conversation=PLENTY, profile=PLENTY, everybody=PLENTY, day=PLENTY, **more):
    settings = LimitSettings(
        per_ip_per_minute=ip,
        per_key_per_minute=key,
        per_conversation_per_minute=conversation,
        per_profile_per_minute=profile,
        global_per_minute=everybody,
        global_per_day=day,
    )
    return Limiter(settings, **more)


def limiter(**limits):
    made = unready(**limits)
    made.begin([], [], 0)
    return made


def admitted(limits, caller, now, **more):
    try:
        limits.admit(caller, now, **more)
    except RateLimited:
        return False
    return True


def test_nobody_is_let_in_before_it_is_known_what_counted():
    limits = unready()
    with pytest.raises(LimitsUnknown):
        limits.admit("a", 0)
    limits.begin([], [], 0)
    limits.admit("a", 0)


def test_a_burst_is_admitted_and_the_next_one_told_when_to_come_back():
    limits = limiter(ip=3)
    assert [admitted(limits, "a", now) for now in (100, 110, 120, 130)] == [True, True, True, False]
    with pytest.raises(RateLimited) as told:
        limits.admit("a", 130)
    assert told.value.retry_after_seconds == 30
    assert not admitted(limits, "a", 159.9)
    assert admitted(limits, "a", 160)
    assert not admitted(limits, "a", 160)


@given(st.integers(1, 20), st.lists(st.floats(0, 15), min_size=1, max_size=200))
def test_no_minute_admits_more_than_the_limit_and_none_is_refused_below_it(limit, gaps):
    table = Table(limit)
    now, times = 0.0, []
    for gap in gaps:
        now += gap
        recent = sum(time > now - MINUTE_SECONDS + 1e-6 for time in times)
        wait = table.wait_seconds("a", now)
        assert (wait == 0) == (recent < limit)
        if not wait:
            table.book("a", now)
            times.append(now)


@given(st.integers(1, 20), st.floats(0, 1e9), st.lists(st.floats(0, 2), min_size=20, max_size=20))
def test_whoever_waits_as_told_is_admitted(limit, now, gaps):
    table = Table(limit)
    for gap in gaps[:limit]:
        now += gap
        assert table.wait_seconds("a", now) == 0
        table.book("a", now)
    wait = table.wait_seconds("a", now)
    assert wait > 0
    assert table.wait_seconds("a", now + wait) == 0


def test_addresses_do_not_share_a_limit_but_a_conversation_an_agent_and_everybody_do():
    limits = limiter(ip=1, conversation=2, profile=3, everybody=4)
    assert admitted(limits, "1", 0, conversation_id=A, profile_id=A)
    assert admitted(limits, "2", 0, conversation_id=A, profile_id=A)
    assert not admitted(limits, "3", 0, conversation_id=A, profile_id=A)
    assert admitted(limits, "3", 0, conversation_id=B, profile_id=A)
    assert not admitted(limits, "4", 0, conversation_id=C, profile_id=A)
    assert admitted(limits, "4", 0, conversation_id=C, profile_id=B)
    assert not admitted(limits, "5", 0, profile_id=C)


def test_an_agent_may_have_a_limit_of_its_own():
    limits = limiter(profile=2)
    assert [admitted(limits, "1", 0, profile_id=A, per_profile=3) for _ in range(4)] == [True] * 3 + [False]
    assert [admitted(limits, "1", 0, profile_id=B, per_profile=1) for _ in range(2)] == [True, False]
    assert [admitted(limits, "1", 0, profile_id=C) for _ in range(3)] == [True, True, False]


def test_a_refused_message_uses_up_nothing():
    limits = limiter(ip=1, conversation=2, day=2)
    assert admitted(limits, "1", 0, conversation_id=A)
    assert not admitted(limits, "1", 0, conversation_id=A)
    assert admitted(limits, "2", 0, conversation_id=A)


def test_a_full_table_refuses_new_keys_keeps_known_ones_and_recovers():
    limits = limiter(max_keys=2)
    limits.admit("1", 0)
    limits.admit("2", 0)
    with pytest.raises(Overloaded):
        limits.admit("3", 0)
    limits.admit("1", 0)
    limits.admit("3", MINUTE_SECONDS)


def test_keys_that_mean_nothing_any_more_are_forgotten():
    table = Table(60)
    for number in range(1000):
        assert table.wait_seconds(number, float(number)) == 0
        table.book(number, float(number))
    assert len(table) <= MINUTE_SECONDS + 1


@given(st.integers(1, 30), st.lists(st.floats(0, 20_000), min_size=1, max_size=150))
def test_no_day_admits_more_than_the_limit_and_nothing_counts_longer_than_a_minute_more(limit, gaps):
    day = Day(limit)
    now, times = 0.0, []
    for gap in gaps:
        now += gap
        wait = day.wait_seconds(now)
        if wait:
            assert sum(time > now - DAY_SECONDS - MINUTE_SECONDS - 1e-3 for time in times) >= limit
            assert Day.wait_seconds(day, now + wait) == 0
            now += wait
        assert sum(time > now - DAY_SECONDS for time in times) < limit
        day.book(now)
        times.append(now)


def test_the_day_is_told_apart():
    limits = limiter(day=2)
    assert admitted(limits, "1", 0) and admitted(limits, "2", 0)
    with pytest.raises(RateLimited, match="today") as told:
        limits.admit("3", 0)
    assert told.value.retry_after_seconds == DAY_SECONDS + MINUTE_SECONDS


@given(
    st.lists(
        st.tuples(
            st.floats(0.001, 30), st.sampled_from("12"), st.sampled_from([A, B]), st.sampled_from([A, B])
        ),
        max_size=40,
    ),
    st.floats(0, 70),
)
def test_a_limiter_that_begins_anew_decides_as_the_one_before(messages, pause):
    limits = {"ip": 4, "conversation": 4, "profile": 6, "everybody": 8}
    first, second = limiter(**limits), unready(**limits)
    now, counted = 0.0, []
    for gap, caller, profile, conversation in messages:
        now += gap
        if admitted(first, caller, now, conversation_id=conversation, profile_id=profile):
            counted.append((now, caller, profile, conversation))
    now += pause
    second.begin([Counted(now - at, *who) for at, *who in counted], [], now)
    for _ in range(10):
        for caller in "12":
            for profile in (A, B):
                asked = {"conversation_id": profile, "profile_id": profile}
                assert admitted(first, caller, now, **asked) == admitted(second, caller, now, **asked)
        now += 7


def test_each_key_has_a_limit_of_its_own():
    limits = limiter(key=2, ip=1)
    asked = [admitted(limits, None, now, key="key:one") for now in (100, 101, 102)]
    assert asked == [True, True, False]
    assert admitted(limits, None, 102, key="key:two")
    # It is no limit of an address, nor one of the address that limit.
    assert admitted(limits, "a", 102) and not admitted(limits, "a", 102)
    with pytest.raises(RateLimited, match="with this key"):
        limits.admit(None, 103, key="key:one")


def test_what_a_key_asked_before_a_restart_counts_for_the_key():
    limits = unready(key=1, ip=1)
    limits.begin([Counted(10, "key:one", A, None)], [(0, 1)], 0)
    assert not admitted(limits, None, 1, key="key:one")
    assert admitted(limits, None, 1, key="key:two") and admitted(limits, "key:one", 1)

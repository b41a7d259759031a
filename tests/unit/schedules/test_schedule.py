"""Promise: what is late, missed, caught up or skipped is decided by the rule alone."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from hivemind.errors import InvalidFields
from hivemind.schedules.schedule import MAX_PASSED, MAX_QUEUED, Rule, meets, plan

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rule(cron="0 * * * *", **changes):
    return Rule("name", cron, "UTC", UUID(int=1), "text", **changes)


def planned(given, since, now):
    return plan(given, given.parsed(), since, now)


@pytest.mark.parametrize("late", [0, 1, 59, 120])
def test_up_to_two_minutes_late_is_on_time(late):
    got = planned(rule(), NOON, NOON + timedelta(seconds=late))
    assert (got.fire, got.missed, got.next_run_at) == ((NOON,), (), NOON + HOUR)


def test_later_is_missed_and_not_made_up():
    got = planned(rule(), NOON, NOON + timedelta(seconds=121))
    assert (got.fire, got.missed, got.next_run_at) == ((), (NOON,), NOON + HOUR)


def test_of_several_that_passed_the_newest_is_fired_if_it_is_on_time():
    got = planned(rule(), NOON - 3 * HOUR, NOON)
    assert got.fire == (NOON,)
    assert got.missed == (NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR)
    got = planned(rule("* * * * *"), NOON, NOON + timedelta(seconds=61))
    assert got.fire == (NOON + timedelta(minutes=1),) and got.missed == (NOON,)


def test_the_last_is_caught_up_within_its_window():
    given = rule(catch_up="last", catch_up_seconds=3600)
    got = planned(given, NOON - 3 * HOUR, NOON + HOUR / 2)
    assert got.fire == (NOON,) and len(got.missed) == 3
    got = planned(rule("0 12 * * *", catch_up="last", catch_up_seconds=3600), NOON, NOON + 2 * HOUR)
    assert got.fire == () and got.missed == (NOON,)


def test_all_are_caught_up_within_their_window():
    given = rule(catch_up="all", overlap="queue", catch_up_seconds=2 * 3600)
    got = planned(given, NOON - 4 * HOUR, NOON + HOUR / 2)
    assert got.fire == (NOON - HOUR, NOON)
    assert got.missed == (NOON - 4 * HOUR, NOON - 3 * HOUR, NOON - 2 * HOUR)


def test_after_a_year_the_newest_are_recorded_and_no_more():
    got = planned(rule("* * * * *"), NOON - 365 * 24 * HOUR, NOON)
    assert len(got.missed) + len(got.fire) == MAX_PASSED
    assert got.fire == (NOON,) and got.missed[-1] == NOON - timedelta(minutes=1)


def test_every_due_time_is_planned_once_whenever_it_is_looked_at():
    given, since, seen = rule("*/7 * * * *"), NOON, []
    for minutes in (0, 1, 7, 8, 30, 31, 100):
        got = planned(given, since, NOON + timedelta(minutes=minutes))
        seen += [*got.fire, *got.missed]
        since = got.next_run_at
    assert len(seen) == len(set(seen))
    assert sorted(seen) == given.parsed().newest(NOON, NOON + timedelta(minutes=100), 100)


@pytest.mark.parametrize(
    ("overlap", "unfinished", "what"),
    [
        ("skip", 0, "fire"),
        ("skip", 1, "skip"),
        ("queue", 1, "fire"),
        ("queue", MAX_QUEUED, "skip"),
        ("replace", 1, "replace"),
    ],
)
def test_overlap(overlap, unfinished, what):
    assert meets(overlap, unfinished) == what


@pytest.mark.parametrize("overlap", ["skip", "replace"])
def test_catching_up_on_all_needs_a_queue(overlap):
    with pytest.raises(InvalidFields) as caught:
        rule(catch_up="all", overlap=overlap).parsed()
    assert caught.value.fields[0][0] == "catch_up"

"""Promise: a schedule is due once for every time that its expression names, also where clocks change."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from hivemind.errors import InvalidFields
from hivemind.schedules.cron import Cron

BERLIN = "Europe/Berlin"
MINUTE = timedelta(minutes=1)


def at(text, zone="UTC"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def due(expression, zone, start, count):
    """The next due times, as the wall of the zone shows them."""
    found = itertools.islice(Cron.parse(expression, zone).upcoming(at(start, zone)), count)
    return [moment.astimezone(ZoneInfo(zone)).isoformat(timespec="minutes") for moment in found]


def test_plain_times():
    assert due("*/20 9-10 * * MON-FRI", "UTC", "2026-11-27T09:30", 5) == [
        "2026-11-27T09:40+00:00",
        "2026-11-27T10:00+00:00",
        "2026-11-27T10:20+00:00",
        "2026-11-27T10:40+00:00",
        "2026-11-30T09:00+00:00",
    ]


def test_a_day_of_month_or_a_day_of_week_will_do():
    assert due("0 0 13 * 5", "UTC", "2026-11-10T00:00", 3) == [
        "2026-11-13T00:00+00:00",
        "2026-11-20T00:00+00:00",
        "2026-11-27T00:00+00:00",
    ]


def test_a_time_that_is_left_out_is_due_once_at_the_first_moment_after_the_gap():
    assert due("30 2 * * *", BERLIN, "2026-03-28T12:00", 2) == [
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:30+02:00",
    ]
    # Four times that are left out, and one that is there at the end of the gap, are one.
    assert due("*/15 2,3 * * *", BERLIN, "2026-03-29T01:00", 2) == [
        "2026-03-29T03:00+02:00",
        "2026-03-29T03:15+02:00",
    ]


def test_a_time_that_comes_twice_is_due_at_the_first():
    assert due("30 2 * * *", BERLIN, "2026-10-24T12:00", 2) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]


def test_from_within_the_hour_that_comes_again_nothing_of_it_is_due_again():
    cron = Cron.parse("*/15 2 * * *", BERLIN)
    second_pass = datetime(2026, 10, 25, 1, 5, tzinfo=UTC)  # 02:05+01:00
    assert cron.after(second_pass) == at("2026-10-26T02:00", BERLIN)


def test_what_is_due_every_hour_goes_by_hours_that_pass():
    assert due("30 * * * *", BERLIN, "2026-03-29T01:00", 2) == [
        "2026-03-29T01:30+01:00",
        "2026-03-29T03:30+02:00",
    ]
    assert due("0 * * * *", BERLIN, "2026-10-25T01:30", 4) == [
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T03:00+01:00",
        "2026-10-25T04:00+01:00",
    ]


def test_half_an_hour_may_be_left_out_too():
    assert due("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", 2) == [
        "2026-10-04T02:30+11:00",
        "2026-10-05T02:15+11:00",
    ]


def test_a_day_that_a_zone_leaves_out_is_made_up_at_its_end():
    assert due("0 12 * * *", "Pacific/Apia", "2011-12-29T13:00", 2) == [
        "2011-12-31T00:00+14:00",
        "2011-12-31T12:00+14:00",
    ]


def test_leap_days():
    assert due("0 0 29 2 *", "UTC", "2026-01-01T00:00", 2) == [
        "2028-02-29T00:00+00:00",
        "2032-02-29T00:00+00:00",
    ]


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "* * * * * *", "@daily", "61 * * * *", "0 0 L * *", "0 0 * * mon#1", "H * * * *", "0 0 30 2 *",
     "0 0 * * funday", "*/0 * * * *", "0\n0 * * * x", "1-0-3 * * * *", "0 0 ? * *", "9" * 300 + " * * * *"],
)  # fmt: skip
def test_what_is_no_cron_expression_is_refused(expression):
    with pytest.raises(InvalidFields) as caught:
        Cron.parse(expression, "UTC")
    assert caught.value.fields[0][0] == "cron"


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "Europe", "a\0b"])
def test_what_is_no_zone_is_refused(zone):
    with pytest.raises(InvalidFields) as caught:
        Cron.parse("0 0 * * *", zone)
    assert caught.value.fields[0][0] == "time_zone"


def test_blanks_do_not_matter():
    assert Cron.parse(" 0  0 *\t* * ", "UTC").expression == "0 0 * * *"


def test_the_newest_due_times_of_a_span():
    cron = Cron.parse("0 * * * *", "UTC")
    start, end = at("2026-01-01T00:00"), at("2026-06-01T00:00")
    assert cron.newest(start, end, 3) == [at("2026-05-31T22:00"), at("2026-05-31T23:00"), end]
    assert cron.newest(start, start + 90 * MINUTE, 5) == [start, at("2026-01-01T01:00")]
    assert cron.newest(start + MINUTE, start + 2 * MINUTE, 5) == []


ZONES = {
    "Europe/Berlin": ["2026-03-29T00:00", "2026-10-25T00:00"],
    "America/New_York": ["2026-03-08T05:00", "2026-11-01T04:00"],
    "Australia/Lord_Howe": ["2026-10-03T14:00", "2026-04-04T14:00"],
    "America/Santiago": ["2026-09-06T03:00", "2026-04-05T02:00"],  # at midnight
}


def by_the_wall(expression, zone, start, minutes):
    """The rule in other words: each time on the wall once, at its first moment, or after the gap."""
    found = set()
    wall = start.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    for minute in range(-120, minutes + 120):
        named = wall + minute * MINUTE
        if croniter.match(expression, named):
            moment = named.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
            while moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) < named:
                moment += MINUTE
            if moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != named:
                before = named.replace(tzinfo=ZoneInfo(zone)).utcoffset()
                moment = min(
                    start + shift * MINUTE
                    for shift in range(minutes + 240)
                    if (start + shift * MINUTE).astimezone(ZoneInfo(zone)).utcoffset() != before
                )
            found.add(moment)
    return sorted(moment for moment in found if start < moment <= start + minutes * MINUTE)


def by_moments(expression, zone, start, minutes):
    """The rule for every hour: each moment whose wall is named."""
    moments = [start + shift * MINUTE for shift in range(1, minutes + 1)]
    return [
        m for m in moments if croniter.match(expression, m.astimezone(ZoneInfo(zone)).replace(tzinfo=None))
    ]


@settings(max_examples=30, deadline=None)
@given(
    change=st.sampled_from([(zone, text) for zone, texts in ZONES.items() for text in texts]),
    minute=st.sampled_from(["0", "30", "*/20", "5,50", "59"]),
    hour=st.sampled_from(["*", "1-3", "2", "0,23", "*/2"]),
    shift=st.integers(-60, 120),
)
def test_around_every_change_of_the_clocks_it_is_what_the_rules_say(change, minute, hour, shift):
    zone, text = change
    expression = f"{minute} {hour} * * *"
    start, minutes = at(text) + shift * MINUTE, 240
    rule = by_moments if hour == "*" else by_the_wall
    cron = Cron.parse(expression, zone)
    got = list(itertools.takewhile(lambda due: due <= start + minutes * MINUTE, cron.upcoming(start)))
    assert got == rule(expression, zone, start, minutes)
    assert cron.newest(start + MINUTE, start + minutes * MINUTE, 500) == got

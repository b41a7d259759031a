"""A cap's window ends when it says, and its money when the pace says."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.budgets.forecast import runs_out_at, starts_at, window_ends_at

START = datetime(2026, 11, 24, tzinfo=UTC)
END = START + timedelta(days=1)
NOON = START + timedelta(hours=12)


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("day", date(2026, 12, 31), date(2027, 1, 1)),
        ("month", date(2026, 12, 1), date(2027, 1, 1)),
        ("month", date(2028, 2, 1), date(2028, 3, 1)),
        ("month", date(2026, 1, 1), date(2026, 2, 1)),
    ],
)
def test_a_window_ends_where_the_next_begins(period, start, end):
    assert window_ends_at(period, start) == starts_at(end)


@pytest.mark.parametrize(
    ("limit", "spent", "held", "expected"),
    [
        (100, 50, 0, None),  # exactly at the end
        (100, 75, 0, NOON + timedelta(hours=4)),
        (100, 75, 10, NOON + timedelta(hours=2, minutes=24)),
        (100, 90, 10, NOON),
        (100, 120, 0, NOON),
        (0, 0, 0, NOON),
        (100, 0, 99, None),
        (100, 10, 0, None),
    ],
)
def test_money_ends_at_the_pace_so_far(limit, spent, held, expected):
    assert runs_out_at(limit, spent, held, START, END, NOON) == expected


@given(limit=st.integers(1, 10**12), spent=st.integers(0, 10**12), minutes=st.integers(1, 1_439))
def test_a_forecast_lies_in_the_rest_of_the_window(limit, spent, minutes):
    now = START + timedelta(minutes=minutes)
    at = runs_out_at(limit, spent, 0, START, END, now)
    assert at is None or now <= at < END

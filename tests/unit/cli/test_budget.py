"""Promise: caps are drawn with what is spent, held and left, and when they run out."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from hivemind.cli.budget import BAR_WIDTH, bar, draw

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WINDOW = {
    "subject": "",
    "starts_at": "2026-11-24T00:00:00+00:00",
    "ends_at": "2026-11-25T00:00:00+00:00",
    "spent_micros": 4_100_000,
    "reserved_micros": 300_000,
    "share": 0.88,
    "soft_reached": True,
    "soft_at": None,
    "acknowledged_until": None,
    "runs_out_at": "2026-11-24T13:45:00+00:00",
}
CAP = {
    "id": "1",
    "scope": "profile",
    "subject": "0198",
    "name": "hello",
    "period": "day",
    "limit_micros": 5_000_000,
    "soft_share": 0.8,
    "on_soft": "ask",
    "window": WINDOW,
}


def drawn(*caps, costs=()):
    out = io.StringIO()
    Console(file=out, width=160).print(draw(caps, costs, NOW))
    return out.getvalue()


def test_a_cap_is_a_line_with_its_money_its_bar_and_its_end():
    text = drawn(CAP, costs=[{"model": "m", "cost_micros": 1_234_567_890, "turns": 3}])
    for shown in (
        "profile hello / day",
        "$4.10",
        "$0.30",
        "$5.00",
        " 88%",
        "13:45 UTC",
        "(waits for a person)",
    ):
        assert shown in text
    assert "Last 30 days: $1,234.57 in 3 turns" in text


def test_what_is_used_up_and_what_lasts_are_told_apart():
    assert "used up" in drawn(CAP | {"window": WINDOW | {"runs_out_at": "2026-11-24T12:00:00+00:00"}})
    assert "lasts" in drawn(CAP | {"window": WINDOW | {"runs_out_at": None}})
    assert "28 Nov 09:00 UTC" in drawn(CAP | {"window": WINDOW | {"runs_out_at": "2026-11-28T09:00:00Z"}})


def test_a_word_that_was_given_is_shown():
    later = WINDOW | {"acknowledged_until": "2026-11-25T00:00:00+00:00"}
    assert "(acknowledged)" in drawn(CAP | {"window": later})


def test_since_when_the_soft_share_is_reached_is_shown():
    spent = WINDOW | {"soft_at": "2026-11-24T11:05:00+00:00"}
    assert "(waits for a person since 11:05 UTC)" in drawn(CAP | {"window": spent})


def test_caps_of_every_kind_have_a_title():
    assert "each caller / turn" in drawn(
        CAP | {"scope": "caller", "subject": "*", "name": None, "period": "turn", "window": None}
    )
    assert "install / month" in drawn(
        CAP | {"scope": "install", "subject": "", "name": None, "period": "month"}
    )
    assert "There is no cap" in drawn()


@pytest.mark.parametrize(
    ("spent", "held", "limit", "full", "taken"),
    [
        (0, 0, 100, 0, 0),
        (1, 0, 10**9, 1, 1),
        (50, 25, 100, 12, 18),
        (100, 0, 100, 24, 24),
        (90, 50, 100, 21, 24),
        (0, 0, 0, 0, 0),
        (5, 0, 0, 24, 24),
    ],
)
def test_a_bar_is_always_as_wide_and_shows_what_is_there(spent, held, limit, full, taken):
    text = bar(spent, held, limit).plain
    assert len(text) == BAR_WIDTH
    assert text.count("█") == full
    assert text.count("█") + text.count("▒") == taken

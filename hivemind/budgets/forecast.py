"""When a cap's window ends, and when its money will: pure arithmetic on times that are passed in."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

Period = Literal["turn", "day", "month"]


def window_ends_at(period: Period, start: date) -> datetime:
    """The moment at which the window that begins on `start` is over."""
    following = start + timedelta(days=1) if period == "day" else (start.replace(day=1) + timedelta(days=32))
    if period == "month":
        following = following.replace(day=1)
    return starts_at(following)


def starts_at(day: date) -> datetime:
    """The first moment of a day, in UTC."""
    return datetime.combine(day, time(), UTC)


def runs_out_at(
    limit_micros: int, spent_micros: int, held_micros: int, start: datetime, end: datetime, now: datetime
) -> datetime | None:
    """When nothing is left if spending goes on as it has since the window began; None: not in this window.

    What is held counts as gone, but says nothing of the pace: most of it comes back.
    """
    left = limit_micros - spent_micros - held_micros
    if left <= 0:
        return now
    elapsed = (now - start).total_seconds()
    if spent_micros <= 0 or elapsed <= 0:
        return None
    seconds = left * elapsed / spent_micros
    return now + timedelta(seconds=seconds) if seconds < (end - now).total_seconds() else None

"""How long to wait before Plane is asked again: its limit is 60 requests a minute. The decision is pure."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import trio

PACE_SECONDS = 1.05
MAX_WAIT_SECONDS = 120.0
_DEFAULT_WAIT_SECONDS = 10.0


class Pace:
    """Lets one request through at a time, and none sooner than `seconds` after the one before."""

    def __init__(self, seconds: float = PACE_SECONDS) -> None:
        self._seconds = seconds
        self._next_at = float("-inf")
        self._turn = trio.Lock()

    async def wait(self) -> None:
        """Wait for the next slot of time."""
        async with self._turn:
            await trio.sleep_until(max(self._next_at, trio.current_time()))
            self._next_at = trio.current_time() + self._seconds


def after_refusal(header: Callable[[bytes], str | None], now: datetime) -> float:
    """How long a server that answered 429 wants to be left alone, by what its headers say."""
    asked = header(b"retry-after")
    if asked is not None:
        return _bounded(_seconds(asked, now))
    reset = header(b"x-ratelimit-reset")
    if reset is not None and reset.strip().isascii() and reset.strip().isdigit() and len(reset) < 20:
        return _bounded(int(reset) - now.timestamp())
    return _DEFAULT_WAIT_SECONDS


def _seconds(text: str, now: datetime) -> float:
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return _DEFAULT_WAIT_SECONDS
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()


def _bounded(seconds: float) -> float:
    return min(max(seconds, 1.0), MAX_WAIT_SECONDS)

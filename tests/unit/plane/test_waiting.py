"""Promise: Plane is asked no faster than it allows, and left alone for as long as it says."""

from datetime import UTC, datetime

import pytest
import trio
from trio.testing import MockClock

from hivemind.plane.waiting import MAX_WAIT_SECONDS, Pace, after_refusal

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 10),
        ({b"retry-after": "30"}, 30),
        ({b"retry-after": "0"}, 1),
        ({b"retry-after": "86400"}, MAX_WAIT_SECONDS),
        ({b"retry-after": "Wed, 25 Nov 2026 12:00:20 GMT"}, 20),
        ({b"retry-after": "soon"}, 10),
        ({b"x-ratelimit-reset": str(int(NOW.timestamp()) + 45)}, 45),
        ({b"x-ratelimit-reset": str(int(NOW.timestamp()) - 45)}, 1),
        ({b"x-ratelimit-reset": "never"}, 10),
        ({b"retry-after": "5", b"x-ratelimit-reset": "9" * 12}, 5),
    ],
)
def test_a_refusal_says_how_long(headers, seconds):
    assert after_refusal(headers.get, NOW) == seconds


def test_no_more_than_sixty_in_any_minute():
    asked = []

    async def ask(pace):
        for _ in range(50):
            await pace.wait()
            asked.append(trio.current_time())

    async def main():
        pace = Pace()
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ask, pace)

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert len(asked) == 200
    assert all(later - earlier >= 60 for earlier, later in zip(asked, asked[60:], strict=False))

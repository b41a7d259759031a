"""How a stream's pieces reach a reader: singly when it keeps up, joined when it does not, never unbounded."""

import trio
import trio.testing

from hivemind.http.request import EventStream, event
from hivemind.http.streams import HEARTBEAT_SECONDS, MAX_WAITING_BYTES, Pump


def play(pieces, *, send_seconds=0.0, leave_after=None):
    """Run a pump against a reader that needs `send_seconds` for each write; gives the bodies that it got."""
    got = []

    async def receive():
        await (trio.sleep(leave_after) if leave_after is not None else trio.sleep_forever())
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.body":
            await trio.sleep(send_seconds)
            got.append(message["body"])

    async def main():
        await Pump(EventStream(pieces), receive, send).run()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return got


async def every(seconds, count):
    for number in range(count):
        yield b"%d," % number
        await trio.sleep(seconds)


def whole(count):
    return b"".join(b"%d," % number for number in range(count))


def test_a_reader_that_keeps_up_gets_each_piece_alone():
    assert play(every(0.03, 5), send_seconds=0.01) == [b"0,", b"1,", b"2,", b"3,", b"4,", b""]


def test_a_reader_that_falls_behind_gets_them_joined_and_all_of_them():
    got = play(every(0.001, 100), send_seconds=0.05)
    assert b"".join(got) == whole(100)
    assert len(got) < 10


def test_what_waits_for_a_slow_reader_is_bounded():
    made = []

    async def flood():
        for number in range(1000):
            made.append(number)
            yield b"x" * 8192

    play(flood(), send_seconds=1000, leave_after=1)
    assert len(made) <= 2 * MAX_WAITING_BYTES / 8192 + 2


def test_the_iteration_is_cancelled_when_the_client_leaves():
    ended = []

    async def endless():
        try:
            while True:
                yield b"x"
                await trio.sleep(1)
        finally:
            ended.append(trio.current_time())

    got = play(endless(), leave_after=4.5)
    assert len(got) == 5
    assert len(ended) == 1


def test_a_quiet_stream_shows_that_it_lives():
    got = play(every(HEARTBEAT_SECONDS * 2.5, 2))
    assert got == [b"0,", b":\n\n", b":\n\n", b"1,", b":\n\n", b":\n\n", b""]


def test_an_empty_stream_has_a_head_and_an_end():
    assert play(every(0, 0)) == [b""]


def test_an_event_is_one_block():
    assert event("delta", {"text": "a\nb"}, "1.2") == b'id: 1.2\nevent: delta\ndata: {"text":"a\\nb"}\n\n'

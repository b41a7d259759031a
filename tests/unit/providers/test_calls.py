"""Patience at work, in virtual time, around a recording."""

import logging
from contextlib import aclosing

import pytest
import trio
import trio.testing

from hivemind.errors import ProviderError, ProviderRejected, ProviderUnavailable
from hivemind.providers import Calls, ProviderMessage, ProviderRequest, Scripted, Stop, TextDelta
from hivemind.providers.patience import Patience
from hivemind.providers.scripted import Answer, Fail, Pause

REQUEST = ProviderRequest("", "", (ProviderMessage("user", "hi"),), 50)
HELLO = Answer((TextDelta("hel"), TextDelta("lo")))


def run(main):
    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def calls(*answers, **patience):
    scripted = Scripted(answers)
    return Calls(scripted, Patience(**{"pace_seconds": 0, **patience}), jitter=lambda: 0.0), scripted


async def text(calls):
    return "".join(
        [e.text async for group in calls.stream(REQUEST) for e in group if isinstance(e, TextDelta)]
    )


def test_a_good_call():
    async def main():
        c, _ = calls(HELLO)
        events = [e async for group in c.stream(REQUEST) for e in group]
        assert events[:3] == [TextDelta("hel"), TextDelta("lo"), Stop("end")]
        assert c.facts()["in_flight"] == 0
        assert c.facts()["calls"] == 1

    run(main)


def test_failures_before_the_first_token_are_tried_again():
    async def main():
        c, scripted = calls(Answer((Fail("status", 529),)), Answer((Fail("connect"),)), HELLO)
        start = trio.current_time()
        assert await text(c) == "hello"
        # Half of 0.5 s and of 1 s: the lower end of the jitter.
        assert trio.current_time() - start == pytest.approx(0.75)
        assert len(scripted.requests) == 3
        assert c.facts()["retries"] == 2

    run(main)


def test_retry_after_is_honoured():
    async def main():
        c, _ = calls(Answer((Fail("status", 429, retry_after_seconds=7),)), HELLO)
        start = trio.current_time()
        assert await text(c) == "hello"
        assert trio.current_time() - start == pytest.approx(7)

    run(main)


def test_a_retry_after_beyond_the_deadline_is_passed_on_at_once():
    async def main():
        c, _ = calls(Answer((Fail("status", 429, retry_after_seconds=120),)))
        start = trio.current_time()
        with pytest.raises(ProviderUnavailable) as caught:
            await text(c)
        assert caught.value.retry_after_seconds == 120
        assert trio.current_time() == start

    run(main)


def test_after_the_first_token_nothing_is_tried_again():
    async def main():
        for kind in ("cut", "malformed", "status"):
            c, scripted = calls(Answer((TextDelta("hel"), Fail(kind))), HELLO)
            got = []
            with pytest.raises(ProviderError) as caught:
                async for group in c.stream(REQUEST):
                    got.extend(group)
            assert type(caught.value) is ProviderError
            assert got == [TextDelta("hel")]
            assert len(scripted.requests) == 1

    run(main)


def test_tries_end():
    async def main():
        c, scripted = calls(Answer((Fail("status", 503),)))
        with pytest.raises(ProviderUnavailable, match="503.*tried 4 times"):
            await text(c)
        assert len(scripted.requests) == 4
        assert c.facts()["failures"] == 1

    run(main)


def test_a_rejection_is_final_and_quiet_about_the_detail():
    async def main():
        c, scripted = calls(Answer((Fail("status", 401),)))
        with pytest.raises(ProviderRejected) as caught:
            await text(c)
        assert "HIVEMIND_LLM_API_KEY" in caught.value.remedy
        assert len(scripted.requests) == 1

    run(main)


def test_no_first_token_in_time():
    async def main():
        c, _ = calls(Answer((Pause(1000), TextDelta("late"))), timeout_seconds=60)
        start = trio.current_time()
        with pytest.raises(ProviderUnavailable, match="in time"):
            await text(c)
        assert trio.current_time() - start == pytest.approx(60)

    run(main)


def test_a_stalled_stream():
    async def main():
        c, _ = calls(Answer((TextDelta("hel"), Pause(1000), TextDelta("lo"))), stall_seconds=5)
        start = trio.current_time()
        with pytest.raises(ProviderError, match="stopped coming") as caught:
            await text(c)
        assert type(caught.value) is ProviderError
        assert trio.current_time() - start == pytest.approx(5)

    run(main)


def test_the_whole_call_has_a_deadline_however_lively():
    async def main():
        steps = tuple(x for _ in range(100) for x in (TextDelta("."), Pause(1)))
        c, _ = calls(Answer(steps), timeout_seconds=10.5)
        start = trio.current_time()
        with pytest.raises(ProviderError):
            await text(c)
        assert trio.current_time() - start == pytest.approx(10.5)

    run(main)


def test_a_slow_reader_does_not_stall_the_stream():
    async def main():
        c, _ = calls(HELLO, stall_seconds=5)
        async for _ in c.stream(REQUEST):
            await trio.sleep(8)

    run(main)


def test_pacing_spaces_starts_and_a_cancelled_waiter_costs_no_time():
    async def main():
        c, scripted = calls(HELLO, pace_seconds=1)
        starts = []

        async def one():
            await text(c)
            starts.append(trio.current_time() - begin)

        begin = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(0.5):
                await text(c)
            nursery.start_soon(one)
            nursery.start_soon(one)
        assert starts == pytest.approx([0, 1, 2])
        assert len(scripted.requests) == 3

    run(main)


def test_who_cannot_be_served_in_time_is_told_at_once():
    async def main():
        c, _ = calls(HELLO, pace_seconds=10, timeout_seconds=25)
        outcomes = []

        async def one():
            start = trio.current_time()
            try:
                outcomes.append((await text(c), trio.current_time() - start))
            except ProviderUnavailable as error:
                outcomes.append((error.retry_after_seconds > 0, trio.current_time() - start))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(one)
        assert sorted(outcomes, key=str) == [("hello", 0), ("hello", 10), ("hello", 20), (True, 0), (True, 0)]

    run(main)


def test_breaker_stops_asking_then_lets_one_try():
    async def main():
        c, scripted = calls(
            *[Answer((Fail("connect"),))] * 3,
            HELLO,
            max_retries=0,
            breaker_failures=3,
            breaker_open_seconds=10,
        )
        for _ in range(3):
            with pytest.raises(ProviderUnavailable, match="reached"):
                await text(c)
        assert c.facts()["breaker"] == "open"
        with pytest.raises(ProviderUnavailable, match="left alone") as caught:
            await text(c)
        assert caught.value.retry_after_seconds == 10
        assert len(scripted.requests) == 3
        await trio.sleep(10)
        assert await text(c) == "hello"
        assert c.facts()["breaker"] == "closed"

    run(main)


def test_a_cancelled_probe_leaves_room_for_the_next():
    async def main():
        slow = Answer((Pause(100), TextDelta("x")))
        c, _ = calls(
            Answer((Fail("connect"),)),
            slow,
            HELLO,
            max_retries=0,
            breaker_failures=1,
            breaker_open_seconds=10,
        )
        with pytest.raises(ProviderUnavailable):
            await text(c)
        await trio.sleep(10)
        with trio.move_on_after(1):
            await text(c)
        assert await text(c) == "hello"

    run(main)


def test_leaving_early_closes_the_call():
    async def main():
        closed = []

        class Watched(Scripted):
            async def stream(self, request):
                try:
                    async with aclosing(super().stream(request)) as events:
                        async for event in events:
                            yield event
                finally:
                    closed.append(True)

        c = Calls(Watched([HELLO]), Patience(pace_seconds=0))
        async with aclosing(c.stream(REQUEST)) as events:
            async for _ in events:
                assert c.facts()["in_flight"] == 1
                break
        assert closed == [True]
        assert c.facts()["in_flight"] == 0

    run(main)


def test_ping_says_what_a_call_would(caplog):
    class Down(Scripted):
        async def ping(self):
            await trio.sleep(1000)

    async def main():
        start = trio.current_time()
        c = Calls(Down([HELLO]), Patience())
        with caplog.at_level(logging.WARNING), pytest.raises(ProviderUnavailable, match="in time"):
            await c.ping()
        assert trio.current_time() - start == pytest.approx(10)

    run(main)

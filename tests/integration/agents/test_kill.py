"""Promise: a kill closes the provider's socket at once and answers the caller within 100 ms, whatever the database does.

Real sockets and a real Postgres, on a clock that stands still unless the test moves it: what happens without it
being moved takes no time of ours.
"""

from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from hivemind.agents import Failed, control
from hivemind.outbound import HttpClient
from hivemind.persistence import Database, migrate
from hivemind.providers import connect
from hivemind.settings import LlmSettings

WITHIN_SECONDS = 0.1
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Upstream:
    """A provider that begins to answer and never ends; knows when its caller hangs up."""

    def __init__(self):
        self.asked, self.closed = trio.Event(), trio.Event()

    async def __call__(self, stream):
        async with stream:
            await stream.receive_some()
            await stream.send_all(HEAD)
            self.asked.set()
            while await stream.receive_some():
                pass
            self.closed.set()


@pytest.fixture
def killing(database_url, guards, agents_with):
    """Run `await test(bench, upstream, people)` while a turn hangs in its provider; how it ended, and when."""

    def run(test):
        clock, upstream, answers = MockClock(), Upstream(), []

        async def main():
            async with (
                trio.open_nursery() as nursery,
                HttpClient() as client,
                Database(database_url, size=6) as database,
            ):
                (listener,) = await nursery.start(partial(trio.serve_tcp, upstream, 0, host="127.0.0.1"))
                port = listener.socket.getsockname()[1]
                endpoint = f"http://127.0.0.1:{port}/v1"
                settings = LlmSettings(provider="openai-compat", endpoint=endpoint, model="m", pace_ms=0)
                await migrate(database)
                async with agents_with(database, guards, connect(settings, client)) as bench:

                    async def ask():
                        answers.append(await bench.says())

                    async with trio.open_nursery() as people:
                        people.start_soon(ask)
                        await upstream.asked.wait()
                        await test(bench, upstream, people, clock, answers)
                    (last,) = answers
                    assert isinstance(last, Failed) and last.error.code == "agent_ended"
                    row = await bench.row(
                        "select a.state, t.state as turn from agents a join turns t on t.agent_id = a.id"
                    )
                    assert row == {"state": "killed", "turn": "interrupted"}
                    assert await bench.row("select 1 as n from reservations") is None
                nursery.cancel_scope.cancel()

        trio.run(main, clock=clock)

    return run


async def kill(bench):
    await control.change(bench.system, bench.database, bench.agent_id, "kill", by="operator:test")


def test_a_kill_takes_no_time_where_the_database_answers(killing):
    async def test(bench, upstream, people, clock, answers):
        began = trio.current_time()
        await kill(bench)
        await upstream.closed.wait()
        while not answers:
            await wait_all_tasks_blocked()
        assert trio.current_time() == began

    killing(test)


def test_a_kill_does_not_wait_for_a_database_that_does_not_answer(killing):
    async def test(bench, upstream, people, clock, answers):
        async with bench.database.transaction() as stuck:
            await stuck.execute("lock table turns in access exclusive mode")
            began = trio.current_time()
            people.start_soon(kill, bench)
            await upstream.closed.wait()
            assert trio.current_time() == began
            while not answers:
                assert trio.current_time() - began < WITHIN_SECONDS
                clock.jump(WITHIN_SECONDS / 10)
                await wait_all_tasks_blocked()

    killing(test)

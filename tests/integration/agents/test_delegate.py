"""Promise: a child outlives its parent's crash and is not made twice; it ends with its parent's turn."""

import pytest
import trio
from uuid_utils.compat import uuid7

from hivemind.agents import Failed, Reply, control
from hivemind.agents.tools import delegate
from hivemind.agents.tools.tool import Call
from hivemind.providers import TextDelta, ToolCall
from hivemind.providers.scripted import Answer

JOB = '{"agent": "worker", "job": "Count the apples."}'
PASSES_ON = Answer((ToolCall("a", "delegate", JOB), ToolCall("b", "trip", "{}")), when="How many")
COUNTS = (
    Answer((ToolCall("c", "count", "{}"),), when="Count"),
    Answer((TextDelta("There are 7."),), when="Count"),
)
TELLS = Answer((TextDelta("Seven."),), when="How many")


class Crash(Exception):
    """A defect, as far as the supervisor is concerned."""


@pytest.fixture
def family(on_bench, box):
    """Run `await test(bench)` where the agent may give a job to another, whose tool waits for `counted`."""

    def run(test, *answers, trips=None, **profile):
        counting, counted = trio.Event(), trio.Event()

        async def count():
            counting.set()
            await counted.wait()

        async def trip():
            await counting.wait()
            if trips is not None:
                trips()

        box.tool("count", "7", before=count)
        box.tool("trip", "fine", repeatable=True, before=trip)

        async def with_tool(bench):
            await bench.database.execute(
                "insert into agent_profiles (id, slug, name, prompt) values (%s, 'worker', 'W', 'Work.')",
                (uuid7(),),
            )
            bench.box.tools[delegate.NAME] = builtin(bench)
            bench.box.policies[delegate.NAME] = "allow"
            bench.counting, bench.counted = counting, counted
            await test(bench)

        on_bench(with_tool, *answers, box=box, **profile)

    return run


def builtin(bench):
    made = delegate.builtin(bench.system, bench.database, bench.resources.profiles)
    return made.make({"profiles": ["worker"]})


async def turns(bench):
    """State and attempts of the parent's and of the child's turn."""
    rows = await bench.database.fetch_all("select state, attempts from turns order by admitted_at, id")
    return [(row["state"], row["attempts"]) for row in rows]


async def all_ended(bench):
    while (await bench.row("select count(*)::int as n from turns where state = 'admitted'"))["n"]:
        await trio.lowlevel.checkpoint()


def test_a_child_outlives_the_crash_of_its_parent(family, box):
    crashes = []
    waiting = {}

    def trips():
        if not crashes:
            crashes.append(True)
            raise Crash
        waiting["bench"].counted.set()

    async def test(bench):
        waiting["bench"] = bench
        last = await bench.says("How many?")
        assert isinstance(last, Reply) and last.text == "Seven."
        assert [name for name, _ in box.calls].count("count") == 1
        effects = await bench.database.fetch_all("select id, tool, state from effects")
        assert {effect["state"] for effect in effects} == {"done"}
        (job,) = (effect["id"] for effect in effects if effect["tool"] == "delegate")
        children = await bench.database.fetch_all(
            "select id from agents where parent_id = %s", (bench.agent_id,)
        )
        assert [child["id"] for child in children] == [job]
        # The child was not disturbed: it was asked for its job once and never taken up again.
        assert await turns(bench) == [("answered", 1), ("answered", 1)]
        assert [r.messages[-1].text for r in bench.model.requests if len(r.messages) == 1] == [
            "How many?",
            "Count the apples.",
        ]

    family(test, PASSES_ON, TELLS, *COUNTS, trips=trips)


def test_an_interrupt_of_the_parent_ends_the_child(family):
    async def test(bench):
        ended = []

        async def ask():
            ended.append(await bench.says("How many?"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await bench.counting.wait()
            await control.interrupt(bench.system, bench.database, bench.agent_id, by="operator:test")
        assert isinstance(ended[0], Failed)
        await all_ended(bench)
        assert [state for state, _ in await turns(bench)] == ["interrupted", "interrupted"]

    family(test, PASSES_ON, *COUNTS)


def test_an_interrupt_ends_a_child_of_which_only_the_rows_are_left(family, another):
    async def test(bench):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.says, "How many?")
            await bench.counting.wait()
            nursery.cancel_scope.cancel()
        await bench.system.stop("/agents")
        assert [state for state, _ in await turns(bench)] == ["admitted", "admitted"]
        async with another(bench) as other:
            bench.box.tools[delegate.NAME] = builtin(other)
            await control.interrupt(other.system, bench.database, bench.agent_id, by="operator:test")
            await all_ended(bench)
            assert not other.model.requests
        assert [state for state, _ in await turns(bench)] == ["interrupted", "interrupted"]

    family(test, PASSES_ON, *COUNTS)


def test_a_child_ends_with_a_parent_that_is_given_up(family):
    def trips():
        raise Crash

    async def test(bench):
        last = await bench.says("How many?")
        assert isinstance(last, Failed)
        await all_ended(bench)
        assert [state for state, _ in await turns(bench)] == ["failed", "interrupted"]

    family(test, PASSES_ON, *COUNTS, trips=trips)


def test_a_child_ends_when_its_parents_time_is_over(family):
    async def test(bench):
        last = await bench.says("How many?")
        assert isinstance(last, Reply) and last.incomplete == "seconds"
        await all_ended(bench)
        assert (await turns(bench))[1][0] == "interrupted"

    family(test, PASSES_ON, *COUNTS, max_turn_seconds=1)


def test_an_interrupt_that_comes_with_the_message_counts(family):
    async def test(bench):
        await bench.says("How many?", key="first")
        turn = await bench.row("select id from turns where agent_id = %s", bench.agent_id)
        profile = await bench.resources.profiles.by_slug("hello")
        call = Call(
            uuid7(),
            turn["id"],
            bench.agent_id,
            profile.id,
            "x",
            {"agent": "worker", "job": "Count the apples."},
        )
        tool = bench.box.tools[delegate.NAME]
        outcomes = []

        async def run():
            outcomes.append(await tool.run(call))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            while bench.system.whereis(f"/agents/{call.id}") is None:
                await trio.lowlevel.checkpoint()
            tool.abandon(call.id)
        assert outcomes[0].failed and "did not do it" in outcomes[0].text
        assert not bench.counting.is_set()

    family(test, TELLS, *COUNTS)

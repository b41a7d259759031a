"""Promise: what a server works on is its own while it lives, money included, and anybody's when it has died."""

import pytest
import trio
from uuid_utils.compat import uuid7

from hivemind.agents import Failed, keeping, unfinished_agents
from hivemind.budgets import release_expired
from hivemind.providers import TextDelta, ToolCall
from hivemind.providers.scripted import Answer

LOOKS = Answer((ToolCall("a", "look", "{}"),))
DONE = Answer((TextDelta("Done."),))
PRICES = {"scripted": (1_000_000, 2_000_000)}


@pytest.fixture
def looking(on_bench, box):
    """Run `await test(bench)` while a turn is in the middle of a call; it goes on when `test` is through."""

    def run(test, **how):
        begun, go_on = trio.Event(), trio.Event()

        async def before():
            begun.set()
            await go_on.wait()

        box.tool("look", "seen", before=before, repeatable=True)

        async def beside(bench):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(bench.says)
                await begun.wait()
                await test(bench)
                go_on.set()

        on_bench(beside, LOOKS, DONE, box=box, **how)

    return run


async def alive(bench, server, seconds=30):
    await bench.database.execute(
        "insert into servers values (%s, now() + make_interval(secs => %s))", (server, seconds)
    )


def test_money_is_held_for_as_long_as_a_step_takes(looking):
    async def test(bench):
        held = "select coalesce(sum(amount_micros), 0)::int as n from reservations"
        assert (await bench.row(held))["n"] > 0
        assert bench.resources.in_hand
        for _ in range(3):  # as many leases as you like
            await bench.database.execute(
                "update reservations set lease_until = now() + interval '1 millisecond'"
            )
            await keeping.keep(bench.resources)
            assert await release_expired(bench.database) == 0
        assert (await bench.row(held))["n"] > 0
        # Without a word it is given back.
        await bench.database.execute("update reservations set lease_until = now() - interval '1 second'")
        assert await release_expired(bench.database) > 0
        # And what was given back is not taken again by keeping it.
        await keeping.keep(bench.resources)
        assert (await bench.row(held))["n"] == 0

    looking(test, resources={"prices": PRICES})


def test_nothing_is_kept_once_a_turn_has_ended(on_bench):
    async def test(bench):
        await bench.says()
        assert not bench.resources.in_hand

    on_bench(test, DONE)


def test_a_turn_that_was_taken_over_is_not_kept_by_its_former_owner(looking):
    async def test(bench):
        await bench.database.execute("update agents set epoch = epoch + 1")
        await keeping.keep(bench.resources)
        assert (await bench.row("select kept_by from turns"))["kept_by"] is None
        await bench.database.execute("update agents set epoch = epoch - 1")

    looking(test)


def test_a_turn_of_a_server_that_lives_is_not_anothers_to_take_up(looking):
    async def test(bench):
        mine, other = bench.resources.server, uuid7()
        database = bench.database
        # Begun just now, and nobody has said yet whose it is.
        assert await unfinished_agents(database, other) == [bench.agent_id]
        await alive(bench, mine)
        assert await unfinished_agents(database, other) == []
        assert await unfinished_agents(database, mine) == [bench.agent_id]
        await database.execute("update turns set admitted_at = now() - interval '1 hour'")
        assert await unfinished_agents(database, other) == [bench.agent_id]
        # Kept.
        await keeping.keep(bench.resources)
        assert await unfinished_agents(database, other) == []
        # A restart of the same server takes up at once what is its own.
        assert await unfinished_agents(database, mine) == [bench.agent_id]
        # Died: it has said nothing for a while.
        await database.execute("update turns set kept_until = now() - interval '1 second'")
        assert await unfinished_agents(database, other) == [bench.agent_id]
        # Ended in order.
        await keeping.keep(bench.resources)
        await keeping.leave(bench.resources)
        assert await unfinished_agents(database, other) == [bench.agent_id]
        assert await bench.row("select * from servers where id = %s", mine) is None

    looking(test)


def test_a_turn_that_waits_for_nobody_any_more_is_for_everybody(on_bench, box):
    box.tool("pay", "paid", policy="ask")

    async def test(bench):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.says)
            question = await bench.question()
            await alive(bench, uuid7())
            await bench.database.execute("update approvals set state = 'approved'")
            await bench.database.execute("update effects set state = 'approved'")
            assert await unfinished_agents(bench.database, uuid7()) == [bench.agent_id]
            await bench.database.execute("update approvals set state = 'pending'")
            await bench.database.execute("update effects set state = 'waiting'")
            await bench.say_yes(question)

    on_bench(test, Answer((ToolCall("a", "pay", "{}"),)), DONE, box=box)


@pytest.mark.parametrize("most", [1, 2])
def test_a_turn_that_is_cut_off_in_one_place_too_often_ends(looking, another, most):
    async def test(bench):
        for _ in range(most):
            # A process that has died in the middle of the call, as far as the rows tell.
            await bench.database.execute(
                "select * from claim(%s, interval '1 minute', null)", (bench.agent_id,)
            )
        async with another(bench, max_attempts=most) as other:
            other.agent_id = bench.agent_id
            last = await other.says()
        assert isinstance(last, Failed) and f"cut off {most + 1} times" in last.error.message

    looking(test)

"""What is written down holds: nothing twice, nothing for a former owner, nothing above a cap."""

from uuid import UUID

import pytest
import trio
from uuid_utils.compat import uuid7

from hivemind.agents import journal
from hivemind.agents.events import Failed, Reply, Usage
from hivemind.agents.journal import Admission
from hivemind.budgets import release_expired
from hivemind.errors import (
    BudgetExceeded,
    GuardRefused,
    Interrupted,
    NotFound,
    ProviderError,
    ProviderUnavailable,
)
from hivemind.persistence import Database, migrate

HELLO = UUID("01980000-0000-7000-8000-000000000001")
USAGE = Usage(10, 5, 700)


def admission(**changes):
    values = {
        "turn_id": uuid7(),
        "agent_id": uuid7(),
        "profile_id": HELLO,
        "caller": "somebody",
        "opens": True,
        "epoch": 1,
        "idempotency": ("scope", str(uuid7())),
        "model": "m",
        "text": "question",
        "reserve_micros": 1_000,
        "lease_seconds": 60.0,
        "detail": {},
    }
    return Admission(**(values | changes))


@pytest.fixture
def on_database(database_url):
    def run(test):
        async def main():
            async with Database(database_url, size=8) as database:
                await migrate(database)
                await test(database)

        trio.run(main)

    return run


async def window(database):
    row = await database.fetch_one(
        "select coalesce(sum(spent_micros), 0)::int as spent, coalesce(sum(reserved_micros), 0)::int as held,"
        " (select count(*)::int from reservations) as rows from cap_windows"
    )
    return row["spent"], row["held"], row["rows"]


def test_an_admitted_turn_is_answered_once(on_database):
    async def test(database):
        asked = admission()
        admitted = await journal.admit(database, asked)
        assert admitted.outcome == "admitted"
        assert await window(database) == (0, 1_000, 1)
        assert await journal.ended_turn(database, asked.turn_id, asked.agent_id) is None
        done = [
            await journal.commit(database, asked.turn_id, 1, "answered", "reply", USAGE, None, {})
            for _ in range(2)
        ]
        assert done == [True, False]
        assert await window(database) == (700, 0, 0)
        ended = await journal.ended_turn(database, asked.turn_id, asked.agent_id)
        assert ended == Reply(asked.turn_id, asked.agent_id, "reply", USAGE)
        history = await journal.history(database, asked.agent_id, 10)
        assert [(message.role, message.text) for message in history] == [
            ("user", "question"),
            ("assistant", "reply"),
        ]

    on_database(test)


def test_two_commits_at_once_answer_once(on_database):
    async def test(database):
        asked = admission()
        await journal.admit(database, asked)
        done = []

        async def commit(text):
            done.append(await journal.commit(database, asked.turn_id, 1, "answered", text, USAGE, None, {}))

        async with trio.open_nursery() as nursery:
            for n in range(8):
                nursery.start_soon(commit, f"reply {n}")
        assert sorted(done) == [False] * 7 + [True]
        assert await window(database) == (700, 0, 0)
        rows = await database.fetch_all("select 1 from messages where role = 'assistant'")
        assert len(rows) == 1

    on_database(test)


def test_a_known_key_finds_its_first_turn_even_when_both_come_at_once(on_database):
    async def test(database):
        key = ("scope", "key")
        outcomes = []

        async def admit():
            outcomes.append(await journal.admit(database, admission(idempotency=key)))

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(admit)
        assert sorted(outcome.outcome for outcome in outcomes) == ["admitted"] + ["known"] * 7
        assert len({(outcome.turn_id, outcome.agent_id) for outcome in outcomes}) == 1
        assert (await window(database))[2] == 1

    on_database(test)


def test_a_former_incarnation_writes_nothing(on_database):
    async def test(database):
        asked = admission()
        await journal.admit(database, asked)
        claim = await journal.claim(database, asked.agent_id, 60)
        assert (claim.epoch, claim.turn_id, claim.attempts) == (2, asked.turn_id, 2)
        assert not await journal.commit(database, asked.turn_id, 1, "answered", "late", USAGE, None, {})
        late = admission(agent_id=asked.agent_id, opens=False, epoch=1)
        assert (await journal.admit(database, late)).outcome == "fenced"
        assert await window(database) == (0, 1_000, 1)
        assert await journal.commit(database, asked.turn_id, 2, "answered", "new", USAGE, None, {})

    on_database(test)


def test_a_cap_admits_exactly_what_it_covers(on_database):
    async def test(database):
        await database.execute("update caps set limit_micros = 10000")
        outcomes = []

        async def admit():
            try:
                outcomes.append((await journal.admit(database, admission())).outcome)
            except BudgetExceeded as error:
                outcomes.append(error.code)

        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(admit)
        assert outcomes.count("admitted") == 10
        assert outcomes.count("budget_exceeded") == 190
        assert await window(database) == (0, 10_000, 10)
        counts = await database.fetch_one(
            "select (select count(*)::int from turns) as turns, (select count(*)::int from agents) as agents"
        )
        assert counts == {"turns": 10, "agents": 10}

    on_database(test)


def test_a_cap_for_one_turn_refuses_a_turn_that_may_cost_more(on_database):
    async def test(database):
        await database.execute("update caps set period = 'turn', soft_share = null, limit_micros = 999")
        with pytest.raises(BudgetExceeded, match="profile cap for one turn"):
            await journal.admit(database, admission())
        await journal.admit(database, admission(reserve_micros=999))

    on_database(test)


def test_a_reservation_past_its_lease_is_given_back_and_its_turn_is_booked_all_the_same(on_database):
    async def test(database):
        asked = admission(lease_seconds=0.0)
        await journal.admit(database, asked)
        assert await release_expired(database) == 1
        assert await window(database) == (0, 0, 1)
        assert await release_expired(database) == 0
        actions = await database.fetch_all("select action from audit_log order by id")
        assert [row["action"] for row in actions] == ["chat:turn:admitted", "budget:reservation:released"]
        await journal.commit(database, asked.turn_id, 1, "answered", "late", USAGE, None, {})
        assert await window(database) == (700, 0, 0)

    on_database(test)


def test_what_ended_without_an_answer_says_so_and_stays_out_of_the_history(on_database):
    async def test(database):
        asked = admission()
        await journal.admit(database, asked)
        error = Interrupted()
        await journal.commit(database, asked.turn_id, 1, "interrupted", None, USAGE, error, {})
        ended = await journal.ended_turn(database, asked.turn_id, asked.agent_id)
        assert isinstance(ended, Failed)
        assert isinstance(ended.error, Interrupted)
        assert await journal.history(database, asked.agent_id, 10) == []
        assert await window(database) == (700, 0, 0)

    on_database(test)


def test_a_turn_that_failed_says_later_what_it_said_at_once(on_database):
    async def test(database):
        for error in (ProviderUnavailable("away"), ProviderError("cut"), GuardRefused("not checked")):
            asked = admission()
            await journal.admit(database, asked)
            await journal.commit(database, asked.turn_id, 1, "failed", None, USAGE, error, {})
            ended = await journal.ended_turn(database, asked.turn_id, asked.agent_id)
            assert (type(ended.error), ended.error.message) == (type(error), error.message)

    on_database(test)


def test_what_is_not_there_is_not_found(on_database):
    async def test(database):
        with pytest.raises(NotFound):
            await journal.claim(database, uuid7(), 60)
        with pytest.raises(NotFound):
            await journal.ended_turn(database, uuid7(), uuid7())
        assert await journal.unfinished_agents(database) == []

    on_database(test)

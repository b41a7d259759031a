"""The chain is gapless under concurrency, and whoever changes the log behind its back is found and named."""

import secrets
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
import trio
from uuid_utils.compat import uuid7

from hivemind.agents import journal
from hivemind.agents.events import Usage
from hivemind.audit import Action, Filter, HeadKey, erase, expire, lines, log, page, record, seal
from hivemind.audit.chain import Verifier
from hivemind.audit.sealer import sign
from hivemind.persistence import Database, Jsonb, SqlError, migrate

HELLO = UUID("01980000-0000-7000-8000-000000000001")


@pytest.fixture
def on_log(database_url, tmp_path):
    """Run `await test(database, key, heads_file)` on an empty log."""

    def run(test):
        async def main():
            async with Database(database_url, size=10) as database:
                await migrate(database)
                await test(database, HeadKey(secrets.token_bytes(32)), tmp_path / "heads")

        trio.run(main)

    return run


async def write(database, count, **fields):
    for number in range(count):
        detail = {"score": 0.1 * number, "n": number, "code": "é\n", "findings": [{"rule": "r", "end": 1}]}
        await record(database, Action.TURN_REFUSED, detail=detail, text=f'text "{number}"\t', **fields)


async def verified(database, key, anchors=()):
    verifier = Verifier([key.public])
    async for batch in lines(database, Filter()):
        for line in batch:
            verifier.line(line)
    return verifier.finish(anchors=anchors)


async def tamper(database, *statements):
    async with database.transaction() as transaction:
        await transaction.execute("set local session_replication_role = replica")
        for statement in statements:
            await transaction.execute(statement)


def named(report):
    return [(problem.seq, problem.what) for problem in report.problems]


def test_an_empty_log_is_whole(on_log):
    async def test(database, key, heads_file):
        assert (await seal(database)).seq == 0
        report = await verified(database, key)
        assert (named(report), report.rows) == ([], 0)

    on_log(test)


def test_the_script_in_the_docs_verifies_the_same(on_log):
    page = (Path(__file__).parents[3] / "docs" / "reference" / "audit.md").read_text()
    script = {"__name__": "script"}
    exec(page.partition("```python\n")[2].partition("```")[0], script)

    async def test(database, key, heads_file):
        await write(database, 5, caller="c", profile_id=HELLO)
        everything = [line async for batch in lines(database, Filter()) for line in batch]
        script["verify"](everything)
        everything[2] = (
            everything[2].replace("guard", "x").replace('"n" : 2', '"n" : 3').replace('"n": 2', '"n": 3')
        )
        with pytest.raises(AssertionError):
            script["verify"](everything)

    on_log(test)


def test_rows_of_many_connections_make_one_chain(on_log):
    async def test(database, key, heads_file):
        done = trio.Event()

        async def sealing():
            while not done.is_set():
                await seal(database)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sealing)
            nursery.start_soon(sealing)
            async with trio.open_nursery() as writers:
                for _ in range(8):
                    writers.start_soon(write, database, 50)
            done.set()
        report = await verified(database, key)
        assert named(report) == []
        assert (report.rows, report.last_seq, report.unsealed) == (400, 400, 0)

    on_log(test)


@pytest.mark.parametrize(
    ("statements", "seq", "says"),
    [
        (["update audit_log set caller = 'x' where seq = 5"], 5, "it was changed"),
        (["update audit_log set at = at - interval '1 day' where seq = 5"], 5, "it was changed"),
        (["update audit_log set text = 'x' where seq = 5"], 5, "text or detail was changed"),
        (["update audit_log set detail = detail || '{\"n\": 9}' where seq = 5"], 5, "text or detail"),
        (["delete from audit_log where seq = 5"], 6, "row 5 is missing"),
        (["delete from audit_log where seq = 1"], 2, "row 1 is missing"),
        (
            ["delete from audit_log where seq = 5", "update audit_log set seq = seq - 1000 where seq > 5",
             "update audit_log set seq = seq + 999 where seq < 0"],
            5,
            "a row between them was removed",
        ),
        (
            ["update audit_log set seq = -seq where seq > 5", "update audit_log set seq = 1 - seq where seq < 0",
             "insert into audit_log (action, seq, salt, digest, previous, hash, detail) select action, 6, salt, digest, hash, sha256(hash), detail from audit_log where seq = 5"],
            6,
            "it was inserted",
        ),
        (
            ["update audit_log set seq = -5 where seq = 5", "update audit_log set seq = 5 where seq = 6",
             "update audit_log set seq = 6 where seq = -5"],
            6,
            "it was moved: it belongs before row 5",
        ),
        (
            ["update audit_log set text = null, detail = null, salt = null, erased_at = now() where seq = 5"],
            5,
            "no erasure is recorded",
        ),
        (["delete from audit_log where seq > 6"], 8, "were written anew or are missing"),
        (
            ["update audit_log set caller = 'x', seq = null, hash = null, previous = null where seq >= 4",
             "select audit_seal(100)"],
            8,
            "rows 1 to 8 were written anew",
        ),
    ],
)  # fmt: skip
def test_tampering_is_found_and_named(on_log, statements, seq, says):
    async def test(database, key, heads_file):
        await write(database, 8)
        await sign(database, key, heads_file, await seal(database))
        assert named(await verified(database, key)) == []
        await tamper(database, *statements)
        found = named(await verified(database, key))
        assert any(at == seq and says in what for at, what in found), found

    on_log(test)


def test_a_log_cut_off_with_its_heads_is_found_by_the_heads_outside(on_log):
    async def test(database, key, heads_file):
        await write(database, 8)
        end = await seal(database)
        await sign(database, key, heads_file, end)
        await tamper(database, "delete from audit_log where seq > 6", "delete from audit_heads")
        assert named(await verified(database, key)) == []
        head = key.sign(end.seq, end.hash.hex(), "2026-11-24T00:00:00.000000Z")
        ((_, what),) = named(await verified(database, key, [head]))
        assert "rows 7 to 8 are missing" in what

    on_log(test)


def test_the_log_is_append_only_for_sql_too(on_log):
    async def test(database, key, heads_file):
        await write(database, 2)
        end = await seal(database)
        await sign(database, key, heads_file, end)
        for statement in (
            "update audit_log set caller = 'x'",
            "delete from audit_log",
            "truncate audit_log",
            "update audit_heads set key_id = 'x'",
            "delete from audit_heads",
        ):
            with pytest.raises(SqlError, match="append-only"):
                await database.execute(statement)

    on_log(test)


def test_erasure_removes_the_text_and_keeps_the_chain(on_log):
    async def test(database, key, heads_file):
        turn, conversation = uuid7(), uuid7()
        asked = journal.Admission(
            turn_id=turn, agent_id=conversation, profile_id=HELLO, caller="c", opens=True, epoch=1,
            idempotency=None, model="m", text="secret question", reserve_micros=1, lease_seconds=60.0, detail={},
        )  # fmt: skip
        await journal.admit(database, asked)
        busy = await erase(database, conversation, {})
        assert (busy.outcome, busy.turn_id) == ("busy", turn)
        await journal.commit(database, turn, 1, "answered", "secret answer", Usage(1, 1, 1), None, {})
        await write(database, 2)
        done = await erase(database, conversation, {"by": "test"})
        assert (done.outcome, done.messages, done.entries) == ("erased", 2, 2)
        assert (await erase(database, conversation, {})).outcome == "done"
        assert (await erase(database, uuid7(), {})).outcome == "unknown"
        everything = [line async for batch in lines(database, Filter()) for line in batch]
        assert "secret" not in "".join(everything)
        assert await database.fetch_all("select 1 from messages") == []
        report = await verified(database, key)
        assert named(report) == []
        assert report.erased == 2
        late = await journal.commit(database, turn, 1, "answered", "late", Usage(1, 1, 1), None, {})
        assert not late

    on_log(test)


def test_what_its_work_says_goes_with_a_conversation(on_log):
    agent, turn, directive, task, child, other = (uuid7() for _ in range(6))
    told = "secret words"

    async def test(database, key, heads_file):
        for made in (agent, other):
            asked = journal.Admission(
                turn_id=turn if made is agent else uuid7(), agent_id=made, profile_id=HELLO, caller="c", opens=True,
                epoch=1, idempotency=("directive", f"{directive if made is agent else uuid7()}:1"), model="m",
                text=told, reserve_micros=1, lease_seconds=60.0, detail={},
            )  # fmt: skip
            await journal.admit(database, asked)
        for sql, *values in (
            ("insert into tasks (id, title, text) values (%s, %s, %s)", task, told, told),
            ("select from direct(%s, %s, %s, null, %s, 'task', null, %s, null, '{}', null)", directive, HELLO,
             uuid7(), told, task),
            ("select from direct(%s, %s, %s, %s, %s, 'agent', null, null, null, '{}', null)", child, HELLO, uuid7(),
             agent, told),
            ("select from record_step(%s, 1, 1::smallint, 'm', %s, %s, 1, 1, 1, %s, now(), %s, '1 day', 'deny')", turn,
             told, Jsonb([{"arguments": told}]), Jsonb({"findings": told}),
             Jsonb([{"id": str(uuid7()), "position": 1, "call_id": "1", "tool": "t", "arguments": {"a": told},
                     "state": "failed", "outcome": told}])),
        ):  # fmt: skip
            await database.execute(sql, tuple(values))
        await database.execute(
            "select from keep_given(%s, %s, %s, 'aa', 0, 'bb', 'cc', %s)",
            (turn, agent, Jsonb([[name, None, told] for name in ("aa", "bb", "cc")]), Jsonb([told])),
        )
        await database.execute("update agents set note = %s, failure = %s where id = %s", (told, told, agent))
        await journal.commit(database, turn, 1, "answered", told, Usage(1, 1, 1), None, {"x": told})
        await database.execute("update turns set asked = %s where id = %s", (Jsonb({"request": told}), turn))
        done = await erase(database, agent, {"by": "test"})
        assert (done.outcome, done.messages) == ("erased", 2)
        states = await database.fetch_all("select id, state, text from directives order by id")
        assert [(row["state"], row["text"]) for row in states] == [("cancelled", "")] * 2
        assert (await database.fetch_one("select title, text from tasks")) == {
            "title": "[erased]",
            "text": "",
        }
        left = {}
        tables = await database.fetch_all("select relname as name from pg_stat_user_tables")
        for table in [row["name"] for row in tables]:
            rows = await database.fetch_all(
                f"select t::text as row from {table} t where t::text like '%{told}%'"
            )
            left[table] = len(rows)
        # What another conversation said is still there.
        assert {name: count for name, count in left.items() if count} == {"audit_log": 1, "messages": 1}
        assert (await database.fetch_one("select sum(cost_micros) as sum from costs"))["sum"] == 2
        assert named(await verified(database, key)) == []

    on_log(test)


def test_a_message_that_was_refused_before_its_conversation_opened_can_be_erased(on_log):
    async def test(database, key, heads_file):
        refused = uuid7()
        await record(database, Action.TURN_REFUSED, agent_id=refused, detail={}, text="secret")
        done = await erase(database, refused, {"by": "test"})
        assert (done.outcome, done.entries) == ("erased", 1)
        assert "secret" not in str([batch async for batch in lines(database, Filter())])
        assert named(await verified(database, key)) == []
        assert (await erase(database, refused, {})).outcome == "unknown"

    on_log(test)


def test_what_is_too_old_is_erased_and_the_chain_stays_whole(on_log, monkeypatch):
    monkeypatch.setattr(log, "EXPIRE_ROWS", 3)

    async def test(database, key, heads_file):
        await write(database, 7)
        await seal(database)
        middle = await database.fetch_one("select at from audit_log where seq = 6")
        at, rounds = datetime.min.replace(tzinfo=UTC), 0
        while (further := await expire(database, at, middle["at"])) is not None:
            at, rounds = further, rounds + 1
        assert rounds == 2
        rows = await database.fetch_all(
            "select seq, text, detail, salt, erased_at from audit_log where seq <= 7 order by seq"
        )
        assert [row["erased_at"] is not None for row in rows] == [True] * 5 + [False] * 2
        assert all(row["text"] is row["detail"] is row["salt"] is None for row in rows[:5])
        report = await verified(database, key)
        assert (named(report), report.erased) == ([], 5)
        records = await page(
            database, Filter(action="system:audit:expired"), after=None, fetch=9, newest_first=False
        )
        assert [row["detail"]["entries"] for row in records] == [3, 2]
        # A row of after that time which lost its text is still found.
        await tamper(
            database,
            "update audit_log set text = null, detail = null, salt = null, erased_at = now() where seq = 7",
        )
        assert [(seq, "no erasure" in what) for seq, what in named(await verified(database, key))] == [
            (7, True)
        ]
        await expire(database, datetime.min.replace(tzinfo=UTC), datetime.now(UTC))
        kept = await database.fetch_all("select detail from audit_log where action = 'system:audit:expired'")
        assert all(row["detail"] for row in kept)

    on_log(test)


def test_pages_lose_and_double_nothing_while_rows_arrive(on_log):
    async def test(database, key, heads_file):
        await write(database, 20)
        for newest_first in (True, False):
            seen, after, before = [], None, (await seal(database)).seq
            while True:
                rows = await page(database, Filter(), after=after, fetch=3, newest_first=newest_first)
                seen += [row["seq"] for row in rows]
                if not rows or len(seen) > before + 30:
                    break
                after = rows[-1]["seq"]
                await write(database, 1)
            assert len(set(seen)) == len(seen)
            assert seen == sorted(seen, reverse=newest_first)
            assert set(range(1, before + 1)) <= set(seen)

    on_log(test)


def test_filters_take_what_they_say(on_log):
    async def test(database, key, heads_file):
        agent = uuid7()
        await write(database, 2, caller="c1", profile_id=HELLO, agent_id=agent)
        await record(database, Action.SERVER_STOPPED, detail={"findings": []}, text="100% sure")

        async def count(**wanted):
            return len(await page(database, Filter(**wanted), after=None, fetch=10, newest_first=True))

        assert await count() == 3
        assert await count(caller="c1") == await count(profile="hello") == await count(agent=agent) == 2
        assert await count(action="chat:*") == 2
        assert await count(action="system:server:stopped") == 1
        assert await count(verdict="refused") == await count(verdict="found") == await count(rule="r") == 2
        assert await count(verdict="clean") == 1
        assert await count(text="0%") == 1
        assert await count(text="TEXT") == 2
        assert await count(code="é\n") == 2
        assert await count(caller="c2") == 0

    on_log(test)

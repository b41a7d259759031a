"""Promise: rows keep to the table of states; who is paused, stopped or killed loses nothing and doubles nothing."""

import pytest
import trio
from uuid_utils.compat import uuid7

from hivemind.agents import (
    Attach,
    Failed,
    Halt,
    Interrupt,
    Reply,
    Resume,
    UserMessage,
    answer_approval,
    control,
    inspection,
    journal,
    steps,
    unfinished_agents,
)
from hivemind.agents.events import Usage
from hivemind.agents.journal import Admission
from hivemind.agents.lifecycle import ACTIVE, EVENTS, HELD, STATES, happened
from hivemind.agents.steps import Effect, Step
from hivemind.audit import erase
from hivemind.errors import AgentEnded, Conflict, NotFound
from hivemind.providers import TextDelta, ToolCall
from hivemind.providers.scripted import Answer

BY = "operator:test"
USED = Usage(1, 1, 0)


def wants(*names, text=""):
    """The model calls tools."""
    said = (TextDelta(text),) if text else ()
    return Answer((*said, *(ToolCall(f"call_{n}", name, "{}") for n, name in enumerate(names))))


def tells(text):
    return Answer((TextDelta(text),))


async def effects(bench):
    rows = await bench.database.fetch_all("select tool, state from effects order by step, position")
    return [(row["tool"], row["state"]) for row in rows]


async def state(bench, agent_id=None):
    row = await bench.row("select state from agents where id = %s", agent_id or bench.agent_id)
    return row["state"]


async def turn(bench):
    return await bench.row(
        "select state, attempts, error_code from turns where agent_id = %s", bench.agent_id
    )


async def until(bench, sql, value):
    while (row := await bench.row(sql)) is None or next(iter(row.values())) != value:
        await trio.lowlevel.checkpoint()


def wish(bench, what, agent_id=None, **how):
    return control.change(bench.system, bench.database, agent_id or bench.agent_id, what, by=BY, **how)


@pytest.fixture
def asking(on_bench, box):
    """Run `await test(bench, ended)` beside a first message; `ended` gets how its turn ends."""

    def run(test, *answers, **profile):
        async def both(bench):
            ended = []

            async def ask():
                ended.append(await bench.says())

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await test(bench, ended)
            return ended

        on_bench(both, *answers, box=box, **profile)

    return run


# -- the statements keep to the table


async def admitted(bench, asked=None):
    """An agent with a turn as the statements leave it."""
    profile = await bench.resources.profiles.by_slug("hello")
    turn_id, key = uuid7(), asked or ("test", str(uuid7()))
    admission = Admission(
        turn_id, bench.agent_id, profile.id, "x", True, 1, key, "m", "hi", 0, 60, {}, None, None, None
    )
    await journal.admit(bench.database, admission)
    return turn_id, admission


async def happen(bench, event, turn_id, admission):
    """Have something happen by the statement that stands for it."""
    database = bench.database
    if event == "admitted":
        await journal.commit(database, turn_id, 1, "answered", "yes", USED, None, {})
        return
    if event == "given_up":
        await journal.give_up(database, bench.agent_id, "test")
    elif event in ("ended", "directive_ended"):
        assert await journal.commit(database, turn_id, 1, "answered", "yes", USED, None, {})
    elif event == "asked":
        assert await steps.park(database, turn_id, 1, (), 60)
    elif event == "allowed":
        assert await steps.start(database, turn_id, 1, ())


@pytest.mark.parametrize("event", [event for event in EVENTS if event not in ("admitted", "erased")])
def test_what_happens_leads_to_the_state_of_the_table(on_bench, event):
    async def test(bench):
        for was in STATES:
            bench.agent_id = uuid7()
            scope = "directive" if event == "directive_ended" else "test"
            turn_id, admission = await admitted(bench, (scope, str(uuid7())))
            effect = Effect(uuid7(), ToolCall("a", "pay", "{}"), {}, "waiting")
            step = Step(1, "m", "", USED, [effect])
            when = await bench.row("select now() as now")
            assert await steps.record(
                bench.database,
                turn_id,
                1,
                step,
                detail={},
                began_at=when["now"],
                approval_seconds=60,
                on_deadline="deny",
            )
            await bench.database.execute("update agents set state = %s where id = %s", (was, bench.agent_id))
            await happen(bench, event, turn_id, admission)
            assert (was, await state(bench)) == (was, happened(was, event))

    on_bench(test)


def test_a_turn_begins_in_the_states_of_the_table_and_in_no_other(on_bench):
    async def test(bench):
        for opens in (False, True):
            for was in STATES:
                bench.agent_id = uuid7()
                turn_id, first = await admitted(bench)
                assert await journal.commit(bench.database, turn_id, 1, "answered", "yes", USED, None, {})
                await bench.database.execute(
                    "update agents set state = %s where id = %s", (was, bench.agent_id)
                )
                again = journal.Admission(
                    uuid7(), bench.agent_id, first.profile_id, "x", opens, 1, None, "m", "hi", 0, 60, {}
                )
                outcome = (await journal.admit(bench.database, again)).outcome
                assert (was, outcome) == (was, "admitted" if was in ACTIVE else "held")
                assert await state(bench) == happened(was, "admitted")
                turns = await bench.row(
                    "select count(*)::int as n from turns where agent_id = %s", bench.agent_id
                )
                assert turns["n"] == 1 + (was in ACTIVE)

    on_bench(test)


def test_what_is_erased_stays_erased(on_bench):
    async def test(bench):
        for was in STATES:
            bench.agent_id = uuid7()
            turn_id, _ = await admitted(bench)
            assert await journal.commit(bench.database, turn_id, 1, "answered", "yes", USED, None, {})
            await bench.database.execute("update agents set state = %s where id = %s", (was, bench.agent_id))
            await erase(bench.database, bench.agent_id, {})
            assert await state(bench) == happened(was, "erased")
            with pytest.raises(NotFound):
                await wish(bench, "kill")

    on_bench(test)


@pytest.mark.parametrize("what", ["pause", "resume", "stop", "kill"])
def test_wishes_lead_to_the_state_of_the_table(on_bench, what):
    async def test(bench):
        from hivemind.agents.lifecycle import wished

        for was in STATES[:-1]:
            bench.agent_id = uuid7()
            turn_id, _ = await admitted(bench)
            assert await journal.commit(bench.database, turn_id, 1, "answered", "yes", USED, None, {})
            await bench.database.execute("update agents set state = %s where id = %s", (was, bench.agent_id))
            try:
                expected = wished(was, what)
            except Conflict:
                with pytest.raises(Conflict, match=f"is {was}"):
                    await wish(bench, what)
                assert await state(bench) == was
            else:
                await wish(bench, what, reason="why")
                assert (was, await state(bench)) == (was, expected)
                row = await bench.row(
                    "select action, detail from audit_log where agent_id = %s order by id desc limit 1",
                    bench.agent_id,
                )
                assert row["action"].startswith("operator:agent:")
                detail = {name: row["detail"][name] for name in ("by", "reason", "was")}
                assert detail == {"by": BY, "reason": "why", "was": was}

    on_bench(test)


# -- halts between two steps


def test_a_pause_lets_the_calls_under_way_end_and_begins_nothing_more(asking, box):
    begun, go_on = trio.Event(), trio.Event()

    async def before():
        begun.set()
        await go_on.wait()

    box.tool("look", "seen", before=before)

    async def test(bench, ended):
        await begun.wait()
        assert await wish(bench, "pause") == "paused"
        go_on.set()
        await until(bench, "select parked from turns", True)
        assert await effects(bench) == [("look", "done")]
        assert len(bench.model.requests) == 1 and not ended
        # Neither the watchdog nor a nudge makes it go on.
        assert await unfinished_agents(bench.database) == []
        await bench.agent.call(Resume())
        await until(bench, "select parked from turns", True)
        assert await wish(bench, "resume") == "running"
        while not ended:
            await trio.lowlevel.checkpoint()
        assert ended[0].text == "Done."
        assert [name for name, _ in box.calls] == ["look"]
        assert await turn(bench) == {"state": "answered", "attempts": 1, "error_code": None}
        assert await state(bench) == "idle"

    asking(test, wants("look"), tells("Done."))


def test_a_pause_during_the_models_answer_books_it_and_makes_its_calls_later(asking, box, monkeypatch):
    box.tool("look", "seen")
    asked, go_on = trio.Event(), trio.Event()

    async def test(bench, ended):
        stream = type(bench.model).stream

        async def slowly(self, request):
            asked.set()
            await go_on.wait()
            async for piece in stream(self, request):
                yield piece

        monkeypatch.setattr(type(bench.model), "stream", slowly)
        await asked.wait()
        await wish(bench, "pause")
        go_on.set()
        await until(bench, "select parked from turns", True)
        assert await effects(bench) == [("look", "approved")] and box.calls == []
        assert (await bench.row("select count(*)::int as n from costs"))["n"] == 1
        await wish(bench, "resume")
        while not ended:
            await trio.lowlevel.checkpoint()
        assert isinstance(ended[0], Reply) and len(box.calls) == 1
        assert len(bench.model.requests) == 2

    asking(test, wants("look"), tells("Done."))


def test_a_paused_turn_is_taken_up_by_another_process_when_it_is_resumed(asking, box, another):
    begun, go_on = trio.Event(), trio.Event()

    async def before():
        begun.set()
        await go_on.wait()

    box.tool("look", "seen", before=before)

    async def test(bench, ended):
        await begun.wait()
        await wish(bench, "pause")
        go_on.set()
        await until(bench, "select parked from turns", True)
        async with another(bench, tells("Done.")) as other:
            other.agent_id = bench.agent_id
            (found,) = await bench.database.fetch_all("select id from turns")
            log = await other.agent.call(Attach(found["id"]))
            while (await other.row("select epoch from agents"))["epoch"] == 1:
                await trio.lowlevel.checkpoint()
            assert not log.ended and not other.model.requests
            await wish(other, "resume")
            assert (await log.last()).text == "Done."
            assert (await turn(bench))["attempts"] == 1
            assert [name for name, _ in box.calls] == ["look"]
        # The first one is fenced off, and finds the answer.
        bench.agent.tell(Resume())
        while not ended:
            await trio.lowlevel.checkpoint()
        assert ended[0].text == "Done."

    asking(test, wants("look"))


def test_a_resume_while_the_paused_turn_is_being_taken_up_is_not_lost(asking, box, another, monkeypatch):
    begun, go_on = trio.Event(), trio.Event()
    real = journal.history

    async def before():
        begun.set()
        await go_on.wait()

    box.tool("look", "seen", before=before)

    async def test(bench, ended):
        await begun.wait()
        await wish(bench, "pause")
        go_on.set()
        await until(bench, "select parked from turns", True)
        async with another(bench, tells("Done.")) as other:
            other.agent_id = bench.agent_id
            resumed = []

            async def history(*args):
                # It has been read that the agent is paused; nothing has been made of that yet.
                if not resumed:
                    resumed.append(True)
                    await wish(other, "resume")
                    await other.agent.call("anything: what was told before it has been handled")
                return await real(*args)

            monkeypatch.setattr(journal, "history", history)
            (found,) = await bench.database.fetch_all("select id from turns")
            log = await other.agent.call(Attach(found["id"]))
            assert (await log.last()).text == "Done."
            assert resumed and (await turn(bench))["attempts"] == 1
            assert [name for name, _ in box.calls] == ["look"]
        bench.agent.tell(Resume())
        while not ended:
            await trio.lowlevel.checkpoint()

    asking(test, wants("look"))


def test_a_stop_lets_the_calls_under_way_end_and_ends_the_turn_with_what_there_is(asking, box):
    begun, go_on = trio.Event(), trio.Event()

    async def before():
        begun.set()
        await go_on.wait()

    box.tool("look", "seen", before=before)
    box.tool("pay", "paid", policy="ask")

    async def test(bench, ended):
        await begun.wait()
        assert await wish(bench, "stop", reason="enough") == "stopped"
        go_on.set()
        while not ended:
            await trio.lowlevel.checkpoint()
        assert isinstance(ended[0], Failed) and isinstance(ended[0].error, AgentEnded)
        assert await effects(bench) == [("look", "done"), ("pay", "denied")]
        assert (await turn(bench)) == {"state": "interrupted", "attempts": 1, "error_code": "agent_ended"}
        assert await state(bench) == "stopped" and len(bench.model.requests) == 1
        said = await bench.row("select text from messages where role = 'assistant'")
        assert said["text"] == "Let me look."
        profile = await bench.resources.profiles.by_slug("hello")
        more = await bench.agent.call(UserMessage("more", profile, "x", False))
        assert isinstance((await more.last()).error, AgentEnded)
        assert await wish(bench, "resume") == "idle"
        again = await bench.agent.call(UserMessage("more", profile, "x", False))
        assert isinstance(await again.last(), Reply)

    asking(test, wants("look", "pay", text="Let me look."), tells("More."))


def test_a_stop_of_a_turn_that_waits_for_a_person_ends_it(asking, box):
    box.tool("pay", "paid", policy="ask")

    async def test(bench, ended):
        question = await bench.question()
        await wish(bench, "stop")
        while not ended:
            await trio.lowlevel.checkpoint()
        assert isinstance(ended[0].error, AgentEnded)
        row = await bench.row("select state, answered_by from approvals where id = %s", question["id"])
        assert row == {"state": "denied", "answered_by": "end"}
        late = await answer_approval(bench.database, question["id"], approve=True, by="x", reason=None)
        assert late is None and box.calls == []

    asking(test, wants("pay"))


def test_a_turn_that_was_left_by_a_dead_process_ends_when_its_agent_is_stopped(on_bench, box, another):
    box.tool("look", "seen", before=trio.sleep_forever)

    async def test(bench):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.says)
            await until(bench, "select state from effects", "started")
            nursery.cancel_scope.cancel()
        async with another(bench) as other:
            other.agent_id = bench.agent_id
            await wish(other, "stop")
            await until(other, "select state from turns", "interrupted")
        # What was under way may have happened.
        assert await effects(bench) == [("look", "unknown")]

    on_bench(test, wants("look"), box=box)


def test_an_approval_that_comes_while_paused_counts_when_the_agent_is_resumed(asking, box):
    box.tool("pay", "paid", policy="ask")

    async def test(bench, ended):
        question = await bench.question()
        await wish(bench, "pause")
        await bench.say_yes(question)
        bench.agent.tell(Resume())
        await until(bench, "select parked from turns", True)
        assert box.calls == [] and await state(bench) == "paused"
        assert await wish(bench, "resume") == "running"
        while not ended:
            await trio.lowlevel.checkpoint()
        assert ended[0].text == "Paid." and len(box.calls) == 1

    asking(test, wants("pay"), tells("Paid."))


def test_who_is_resumed_with_a_question_waits_for_its_answer_again(asking, box):
    box.tool("pay", "paid", policy="ask")

    async def test(bench, ended):
        question = await bench.question()
        await wish(bench, "pause")
        assert await wish(bench, "resume") == "waiting_approval"
        await bench.say_yes(question)
        while not ended:
            await trio.lowlevel.checkpoint()
        assert ended[0].text == "Paid."

    asking(test, wants("pay"), tells("Paid."))


def test_an_interrupt_ends_a_paused_turn_and_the_agent_stays_paused(asking, box):
    begun, go_on = trio.Event(), trio.Event()

    async def before():
        begun.set()
        await go_on.wait()

    box.tool("look", "seen", before=before)

    async def test(bench, ended):
        await begun.wait()
        await wish(bench, "pause")
        go_on.set()
        await until(bench, "select parked from turns", True)
        while not bench.system.tree(f"/agents/{bench.agent_id}").snapshot.facts["held"]:
            await trio.lowlevel.checkpoint()
        bench.agent.tell(Interrupt())
        while not ended:
            await trio.lowlevel.checkpoint()
        assert ended[0].error.code == "interrupted" and await state(bench) == "paused"

    asking(test, wants("look"))


# -- kills


def test_a_kill_ends_a_tool_that_never_would(asking, box):
    begun = trio.Event()

    async def before():
        begun.set()
        await trio.sleep_forever()

    box.tool("look", "seen", before=before)

    async def test(bench, ended):
        await begun.wait()
        await wish(bench, "kill")
        while not ended:
            await trio.lowlevel.checkpoint()
        assert isinstance(ended[0].error, AgentEnded)
        assert await effects(bench) == [("look", "unknown")]
        assert await state(bench) == "killed" and (await turn(bench))["state"] == "interrupted"
        while bench.system.whereis(f"/agents/{bench.agent_id}") is not None:
            await trio.lowlevel.checkpoint()

    asking(test, wants("look"))


def test_a_kill_shuts_out_whoever_works_for_the_agent_elsewhere(asking, box, another):
    begun, go_on = trio.Event(), trio.Event()

    async def before():
        begun.set()
        await go_on.wait()

    box.tool("look", "seen", before=before)

    async def test(bench, ended):
        await begun.wait()
        async with another(bench) as other:
            await wish(other, "kill", bench.agent_id)
        assert (await turn(bench))["state"] == "interrupted"
        go_on.set()
        while not ended:
            await trio.lowlevel.checkpoint()
        assert isinstance(ended[0], Failed)
        # It could write nothing more, and asked the model no more.
        assert await effects(bench) == [("look", "unknown")] and len(bench.model.requests) == 1
        assert (await bench.row("select epoch from agents"))["epoch"] == 2

    asking(test, wants("look"))


def test_messages_that_wait_behind_the_turn_are_refused_when_the_agent_is_killed(asking, box):
    box.tool("look", "seen", before=trio.sleep_forever)

    async def test(bench, ended):
        await until(bench, "select state from effects", "started")
        profile = await bench.resources.profiles.by_slug("hello")
        waiting = await bench.agent.call(UserMessage("two", profile, "x", False))
        await wish(bench, "kill")
        assert isinstance((await waiting.last()).error, AgentEnded)
        assert (await bench.row("select count(*)::int as n from turns"))["n"] == 1

    asking(test, wants("look"))


def test_an_agent_that_is_killed_answers_its_callers_though_the_database_does_not(asking, box, monkeypatch):
    box.tool("look", "seen", before=trio.sleep_forever)
    again = trio.Event()

    async def test(bench, ended):
        await until(bench, "select state from effects", "started")
        fetch = type(bench.database).fetch_one

        async def stuck(self, *args, **kwargs):
            await again.wait()
            return await fetch(self, *args, **kwargs)

        monkeypatch.setattr(type(bench.database), "fetch_one", stuck)
        began = trio.current_time()
        bench.agent.tell(Halt(now=True))
        while not ended:
            await trio.lowlevel.checkpoint()
        assert isinstance(ended[0].error, AgentEnded)
        assert trio.current_time() - began < 5
        again.set()
        await until(bench, "select state from turns", "interrupted")

    asking(test, wants("look"))


def test_an_agent_that_failed_too_often_is_let_go_on_by_an_operator(on_bench, box):
    box.tool("look", "seen", before=trio.sleep_forever, repeatable=True)

    async def test(bench):
        profile = await bench.resources.profiles.by_slug("hello")
        await bench.agent.call(UserMessage("go", profile, "x", True, ("test", "one")))
        await until(bench, "select state from effects", "started")
        while await state(bench) != "failed":
            tree = bench.system.tree(f"/agents/{bench.agent_id}")
            if tree.snapshot.state == "up":
                bench.system.whereis(f"/agents/{bench.agent_id}")._cell.crash(RuntimeError("by the test"))
        # The crash that was one too many is not restarted from.
        assert bench.system.snapshot(f"/agents/{bench.agent_id}").restarts == 5
        assert (await turn(bench))["state"] == "failed"
        assert await wish(bench, "resume") == "idle"
        assert (await bench.row("select failure from agents"))["failure"] is None
        log = await bench.agent.call(UserMessage("again", profile, "x", False))
        assert (await log.last()).text == "Done."

    on_bench(test, wants("look"), tells("Done."), box=box)


# -- what is seen


def test_every_step_is_shown_with_its_calls_verdicts_and_answers(asking, box):
    box.tool("pay", "paid to ann@example.org", policy="ask")

    async def test(bench, ended):
        question = await bench.question()
        await bench.say_yes(question, reason="It is due.")
        while not ended:
            await trio.lowlevel.checkpoint()
        (shown,) = await inspection.turns(bench.database, bench.agent_id, None, 10)
        (step,) = shown["steps"]
        (call,) = step["calls"]
        assert (step["step"], step["text"]) == (1, "Paying.") and step["ended_at"] >= step["began_at"]
        assert (call["tool"], call["state"], call["id"]) == ("pay", "done", box.calls[0][1])
        assert "ann@example.org" not in call["outcome"] and call["verdict"]["findings"]
        (asked,) = call["approvals"]
        assert (asked["state"], asked["answered_by"], asked["reason"]) == ("approved", "ann", "It is due.")
        assert shown["reply"] == "Paying.\n\nPaid."
        assert shown["usage"] is not None and step["usage"].keys() == shown["usage"].keys()
        assert set(HELD) and shown["error"] is None

    asking(test, wants("pay", text="Paying."), tells("Paid."))

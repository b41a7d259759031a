"""A turn runs again from its recording: nothing that is not in it, and what differs is told."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
import trio
from click.testing import CliRunner
from uuid_utils.compat import uuid7

from hivemind.actors import ActorSystem, ChildSpec, Policies, RowSupervisor
from hivemind.agents import (
    Agent,
    Attach,
    EventLog,
    Failed,
    Profiles,
    Resources,
    Resume,
    Usage,
    UserMessage,
    admission,
    answer,
    loop,
    steps,
    unfinished_agents,
)
from hivemind.agents.fork import fork
from hivemind.agents.replay import Unrecorded, load, replay
from hivemind.agents.steps import Effect, Step
from hivemind.agents.tools.tool import Outcome, Tool
from hivemind.budgets import Prices
from hivemind.cli.replay import replay as command
from hivemind.errors import Conflict, NotFound, ProviderError
from hivemind.guards import Guards
from hivemind.persistence import Database, migrate
from hivemind.providers import Calls, Scripted, TextDelta, ToolCall
from hivemind.providers.patience import Patience
from hivemind.providers.scripted import Answer, Fail

HELLO = UUID("01980000-0000-7000-8000-000000000001")
LOOK = ToolCall("a", "look", '{"at": "sky"}')
PAY = ToolCall("b", "pay", "{}")
WEATHER = (
    Answer((TextDelta("Let me look."), LOOK, PAY)),
    Answer((TextDelta("It is "), TextDelta("blue."))),
)


class Box:
    """Two tools that count how often they run."""

    def __init__(self):
        self.made = []

        def tool(name):
            async def run(call):
                self.made.append(name)
                return Outcome(f"{name}: fine", failed=name == "pay")

            return Tool(name, name, {"type": "object"}, run)

        self.tools = {name: tool(name) for name in ("look", "pay")}

    def for_profile(self, _):
        return tuple(self.tools.values())

    def find(self, _, name):
        return self.tools.get(name)

    def policy(self, _, __):
        return "allow"


class Recorder:
    """Answers messages as the server does, with a model that plays."""

    def __init__(self, database, guards, answers):
        self.database, self.guards, self.box = database, guards, Box()
        self.model = Scripted(answers)
        self.profiles = Profiles(database, fresh_seconds=0)
        calls = Calls(self.model, Patience(pace_seconds=0, max_retries=0))
        self.resources = Resources(
            database,
            guards,
            calls,
            Prices({"scripted": (1_000_000, 1_000_000)}),
            self.profiles,
            self.box,
            60.0,
            5.0,
        )

    async def turn(self, text="go", *, history=(), agent_id=None):
        profile = await self.profiles.by_slug("hello")
        message = UserMessage(text, profile, "somebody", agent_id is None)
        opened = await admission.admit(self.resources, agent_id or uuid7(), 1, list(history), message)
        await loop.answer(self.resources, opened, EventLog(1, opened.id), loop.time(profile))
        return opened

    async def load(self, turn):
        return await load(self.database, self.profiles, turn.id)

    async def again(self, turn):
        return await replay(await self.load(turn), self.guards)

    async def edit(self, **values):
        for column, value in values.items():
            await self.database.execute(
                f"update agent_profiles set {column} = %s where id = %s", (value, HELLO)
            )


@pytest.fixture(scope="module")
def guards(tmp_path_factory):
    return Guards.load(tmp_path_factory.mktemp("guards"))


@pytest.fixture
def recorded(database_url, guards):
    def run(test, *answers):
        async def main():
            async with Database(database_url, size=4) as database:
                await migrate(database)
                with trio.fail_after(60):
                    await test(Recorder(database, guards, answers or WEATHER))

        trio.run(main)

    return run


def test_a_turn_runs_again_without_model_tools_or_writes(recorded):
    async def test(recorder):
        turn = await recorder.turn()
        rows = "select (select count(*) from audit_log) + (select count(*) from costs) as n"
        before = await recorder.database.fetch_one(rows)
        replayed = await recorder.again(turn)
        assert replayed.same and replayed.reply == "Let me look.\n\nIt is blue."
        first, last = replayed.steps
        assert [(call["tool"], call["state"]) for call in first["calls"]] == [
            ("look", "done"),
            ("pay", "failed"),
        ]
        assert first["seconds"] > 0 and first["cost_micros"] > 0 and last["text"] == "\n\nIt is blue."
        assert len(recorder.model.requests) == 2 and sorted(recorder.box.made) == ["look", "pay"]
        assert await recorder.database.fetch_one(rows) == before

    recorded(test)


def test_the_history_is_that_of_the_turn(recorded):
    async def test(recorder):
        first = await recorder.turn("one")
        recording = await recorder.load(first)
        said = [replace(recording.request().messages[0], role=role, text=text) for role, text in (
            ("user", "one"), ("assistant", first.reply))]  # fmt: skip
        second = await recorder.turn("two", history=said, agent_id=first.agent_id)
        assert [m.text for m in (await recorder.load(second)).history] == ["one", first.reply]
        for turn in (first, second):
            assert (await recorder.again(turn)).same

    recorded(test)


def test_what_today_does_otherwise_is_told(recorded):
    async def test(recorder):
        turn = await recorder.turn()
        await recorder.edit(prompt="You are rude.")
        (told,) = (await recorder.again(turn)).differences
        assert "the prompt was changed since" in told and "+You are rude." in told
        await recorder.edit(prompt=turn.profile.prompt, injection_threshold=1e-9)
        await recorder.edit(max_steps=1)
        assert "step" in " ".join((await recorder.again(turn)).differences)

    recorded(test)


def test_guards_that_change_what_the_model_reads_make_another_call(recorded):
    async def test(recorder):
        turn = await recorder.turn()
        await recorder.database.execute(
            "update effects set outcome = 'Call +41 44 668 18 00.' where tool = 'look'"
        )
        recording = await recorder.load(turn)
        with pytest.raises(Unrecorded, match=r"Call 2 to the model(?s:.)*message 3 \(tool\) differs"):
            await replay(recording, recorder.guards)

    recorded(test)


def test_a_recording_that_was_tampered_with_is_noticed(recorded):
    async def test(recorder):
        turn = await recorder.turn()
        await recorder.database.execute("update messages set text = 'went' where role = 'user'")
        with pytest.raises(Unrecorded, match="Call 1 to the model.*digest differs"):
            await recorder.again(turn)

    recorded(test)


def test_a_call_of_a_tool_that_is_not_recorded_ends_the_replay(recorded):
    async def test(recorder):
        turn = await recorder.turn()
        recording = await recorder.load(turn)
        look, pay = recording.steps[0].effects
        recording.steps[0].effects[0] = replace(look, arguments={"at": "sea"})
        with pytest.raises(
            Unrecorded, match=r'look\({"at":"sky"}\) is not in the recording; left of it: look'
        ):
            await replay(recording, recorder.guards)

    recorded(test)


def test_a_call_to_the_model_that_is_not_recorded_ends_the_replay(recorded):
    async def test(recorder):
        recording = await recorder.load(await recorder.turn())
        del recording.said[1:]
        with pytest.raises(Unrecorded, match="Call 2 to the model is not in the recording, which has 1"):
            await replay(recording, recorder.guards)

    recorded(test)


def test_a_turn_that_failed_fails_again(recorded):
    async def test(recorder):
        turn = await recorder.turn()
        replayed = await recorder.again(turn)
        assert replayed.same
        (step, last) = replayed.steps
        recording = await recorder.load(turn)
        assert recording.state == "failed" and recording.error_code == ProviderError.code

    recorded(test, WEATHER[0], Answer((TextDelta("It "), Fail("cut"))))


@pytest.mark.parametrize(("limit", "value"), [("max_steps", 2), ("max_same_calls", 2)])
def test_a_turn_that_was_cut_short_is_cut_short_again(recorded, limit, value):
    async def test(recorder):
        await recorder.edit(**{limit: value})
        turn = await recorder.turn()
        assert turn.incomplete is not None
        assert (await recorder.again(turn)).same

    recorded(test, Answer((LOOK,)))


def test_what_has_not_ended_or_is_not_there_cannot_be_replayed(recorded):
    async def test(recorder):
        with pytest.raises(NotFound):
            await load(recorder.database, recorder.profiles, uuid7())
        turn = await recorder.turn()
        await recorder.database.execute("update turns set state = 'admitted'")
        with pytest.raises(Conflict):
            await recorder.load(turn)

    recorded(test)


def test_a_fork_goes_on_live_and_is_paid(recorded):
    async def test(recorder):
        turn = await recorder.turn()
        recording = await recorder.load(turn)
        made = list(recorder.box.made)
        # The recorded model plays in turn: its first answer comes again, and the calls of it are recorded ones.
        recorder.model.answers = (Answer((TextDelta("Grey."),)),)
        forked = await fork(recorder.resources, recording, 2, prompt="You are rude.")
        assert forked.reply == "Let me look.\n\nGrey." and recorder.box.made == made
        assert "-It is blue." in forked.difference and "+Grey." in forked.difference
        asked = recorder.model.requests[-1]
        assert asked.system == "You are rude." and len(asked.messages) == 4
        costs = await recorder.database.fetch_all(
            "select call, cost_micros from costs where turn_id = %s order by call", (forked.turn_id,)
        )
        assert (
            costs[0] == {"call": 1, "cost_micros": 0}
            and costs[1]["cost_micros"] == forked.usage.cost_micros > 0
        )
        held = await recorder.database.fetch_one("select count(*)::int as n from reservations")
        assert held == {"n": 0}
        # A fork is a turn, so it can be replayed itself.
        assert (
            await replay(await load(recorder.database, recorder.profiles, forked.turn_id), recorder.guards)
        ).steps

    recorded(test)


def test_a_fork_makes_recorded_calls_only_unless_it_is_told_to(recorded):
    async def test(recorder):
        recording = await recorder.load(await recorder.turn())
        recorder.model.answers = (
            Answer((ToolCall("x", "look", '{"at": "sea"}'),)),
            Answer((TextDelta("Wet."),)),
        )
        recorder.model._played.clear()
        made = len(recorder.box.made)
        with pytest.raises(Unrecorded, match="look"):
            await fork(recorder.resources, recording, 2, model="scripted")
        assert len(recorder.box.made) == made
        states = await recorder.database.fetch_all("select state from turns order by admitted_at")
        assert [row["state"] for row in states] == ["answered", "interrupted"]
        recorder.model._played.clear()
        forked = await fork(recorder.resources, recording, 2, live_tools=True)
        assert forked.reply == "Let me look.\n\nWet." and len(recorder.box.made) == made + 1
        with pytest.raises(NotFound):
            await fork(recorder.resources, recording, 9)

    recorded(test)


def test_a_fork_that_was_killed_is_ended_and_touches_nothing(recorded):
    async def test(recorder):
        turn = await recorder.turn()
        recording = await recorder.load(turn)
        profile = replace(recording.profile, model="scripted")
        message = UserMessage(recording.text, profile, f"fork:{recording.turn_id}", opens=True)
        agent_id = uuid7()
        # As the process left it: a call that was begun, with tools that were recorded ones there.
        left = await admission.admit(recorder.resources, agent_id, 1, recording.history, message)
        effect = Effect(uuid7(), LOOK, {"at": "sky"}, "started")
        step = Step(1, "scripted", "", Usage(1, 1, 0), [effect])
        assert await steps.record(
            recorder.database,
            left.id,
            1,
            step,
            detail={},
            began_at=datetime.now(UTC),
            approval_seconds=60,
            on_deadline="deny",
        )
        made, asked = list(recorder.box.made), len(recorder.model.requests)
        assert await unfinished_agents(recorder.database) == [agent_id]
        policy = {"restart": "transient", "backoff_initial_seconds": 0.001}

        def child(name):
            return ChildSpec(name, Agent, (UUID(name), recorder.resources), policy=policy)

        async with ActorSystem(policies=Policies.from_mapping({}, kinds=("agents", "rows"))) as system:
            await system.start(ChildSpec("agents", RowSupervisor, (child,)))
            system.at(f"/agents/{agent_id}").tell(Resume())
            last = await answer(system, system.at(f"/agents/{agent_id}"), Attach(left.id))
        assert isinstance(last, Failed) and last.error.code == "interrupted"
        assert recorder.box.made == made and len(recorder.model.requests) == asked
        row = await recorder.database.fetch_one("select state from turns where id = %s", (left.id,))
        assert row["state"] == "interrupted"

    recorded(test)


def test_a_fork_that_runs_is_nobodys_to_take_up(recorded):
    async def test(recorder):
        recording = await recorder.load(await recorder.turn())
        seen = []
        stream = type(recorder.model).stream

        async def looked_at(request):
            seen.append(await unfinished_agents(recorder.database, uuid7()))
            async for group in stream(recorder.model, request):
                yield group

        object.__setattr__(recorder.resources, "calls", Calls(Looked(looked_at), Patience(pace_seconds=0)))
        recorder.model.answers = (Answer((TextDelta("Grey."),)),)
        assert (await fork(recorder.resources, recording, 2)).reply.endswith("Grey.")
        assert seen == [[]]

    recorded(test)


class Looked:
    """A model beside whose answer something is looked at."""

    name = default_model = "scripted"

    def __init__(self, stream):
        self.stream = stream

    def check(self):
        pass


def test_the_command_tells_what_is_wrong_with_a_fork_and_nothing_else(
    recorded, database_url, tmp_path, monkeypatch
):
    turns = []

    async def test(recorder):
        turns.append(await recorder.turn())

    recorded(test)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("HIVEMIND_LLM_PROVIDER", "scripted")
    told = CliRunner().invoke(command, [str(turns[0].id), "--fork", "9"])
    assert isinstance(told.exception, NotFound), told


def test_the_command_tells_each_step_and_whether_it_is_the_same(
    recorded, database_url, tmp_path, monkeypatch
):
    turns = []

    async def test(recorder):
        turns.append(await recorder.turn())

    recorded(test)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("HIVEMIND_LLM_PROVIDER", "scripted")
    run = CliRunner().invoke
    told = run(command, [str(turns[0].id)])
    assert "the same as then" in told.output and 'look({"at": "sky"}) -> look: fine' in told.output, told
    told = run(command, [str(turns[0].id), "--json"])
    assert json.loads(told.stdout)["same"] is True
    (tmp_path / "prompt.txt").write_text("You are rude.")
    told = run(command, [str(turns[0].id), "--fork", "2", "--prompt", "prompt.txt", "--json"])
    assert json.loads(told.stdout)["reply"].endswith("Connect a model to converse."), told
    assert run(command, [str(turns[0].id), "--live-tools"]).exit_code == 2

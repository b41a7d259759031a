"""A ten-step turn whose processes die: forked lives, killed, stopped or crashed at a chosen point.

Each life is an operating-system process of its own with the real agent on the real Postgres. A fate counts the
points that the life passes (around and in the middle of every statement, every call to the model, every call of
a tool) and strikes at one of them: at a number that is drawn, or at a boundary that has a name, which is how all of
them are walked. What was done outside of Hivemind is in tables of the simulation's own.
"""

import logging
import os
import random
import signal
import sys
import traceback
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import orjson
import pytest
import trio
from uuid_utils.compat import uuid7

from hivemind.actors import ActorSystem, ChildSpec, Policies, RowSupervisor
from hivemind.agents import (
    Accepted,
    Agent,
    Failed,
    Profiles,
    Reply,
    Resources,
    Resume,
    UserMessage,
    answer_approval,
    expire_approvals,
    follow,
    writing,
)
from hivemind.agents import agent as agent_module
from hivemind.agents.events import ToolEnded, Waiting
from hivemind.agents.messages import Attach
from hivemind.agents.tools.tool import Outcome, Tool
from hivemind.budgets import Prices
from hivemind.errors import AgentUnavailable, DatabaseUnavailable, NotFound
from hivemind.guards import Guards
from hivemind.persistence import Database, load_queries, migrate
from hivemind.providers import Calls, Stop, TextDelta, ToolCall, Usage
from hivemind.providers.patience import Patience

sys.path.insert(0, str(Path(__file__).parent))

DEFAULT_SEEDS = 8
MODEL = "simulated"
HANGS_SECONDS = 8
PRICES = {MODEL: (1_000_000, 2_000_000)}
KINDS = ("kill",) * 5 + ("stop",) * 2 + ("crash",) * 2 + ("lost",) * 2
# The points of a life that takes the whole turn, roughly.
POINTS = 210
NAMES = {
    sql: name
    for package, file in (
        ("hivemind.agents", "queries.sql"),
        ("hivemind.agents", "steps.sql"),
        ("hivemind.agents", "replay.sql"),
        ("hivemind.budgets", "queries.sql"),
        ("hivemind.audit", "queries.sql"),
    )
    for name, sql in load_queries(package, file).items()
}
TABLES = """
create table sim_done (effect_id uuid, tool text, life text, at timestamptz default clock_timestamp());
create table sim_asked (turn_agent uuid, step int, input int, output int, answered boolean default false, id serial);
create table sim_writes (agent_id uuid, epoch bigint, what text, life text);
create function sim_wrote() returns trigger language plpgsql as $$
begin
    insert into sim_writes select a.id, a.epoch, tg_table_name, current_setting('application_name')
    from turns t join agents a on a.id = t.agent_id where t.id = new.turn_id;
    return new;
end $$;
create trigger sim after insert or update on turn_steps for each row execute function sim_wrote();
create trigger sim after insert or update on effects for each row execute function sim_wrote();
create trigger sim after insert on messages for each row execute function sim_wrote();
create trigger sim after insert on costs for each row execute function sim_wrote();
"""


def pytest_addoption(parser):
    parser.addoption(
        "--seeds", type=int, default=DEFAULT_SEEDS, help="how many seeds of the simulation to run"
    )
    parser.addoption("--seed", type=int, default=None, help="the one seed to run again")
    parser.addoption("--first-seed", type=int, default=0, help="the seed to begin with")
    parser.addoption(
        "--walk", type=int, default=0, help="how many seeds to walk boundary by boundary, none left out"
    )
    parser.addoption("--kinds", default="kill", help="how to strike on that walk: kill, stop, crash, lost")
    parser.addoption(
        "--boundary", default=None, help="the one boundary to strike at again, as a failure tells it"
    )


def pytest_generate_tests(metafunc):
    option = metafunc.config.getoption
    if "walked" in metafunc.fixturenames:
        one, first = option("--seed", default=None), option("--first-seed", default=0)
        seeds = [one] if one is not None else range(first, first + (option("--walk", default=0) or 1))
        metafunc.parametrize("walked", seeds)
    if "seed" in metafunc.fixturenames:
        one, first = option("--seed", default=None), option("--first-seed", default=0)
        seeds = [one] if one is not None else range(first, first + option("--seeds", default=DEFAULT_SEEDS))
        metafunc.parametrize("seed", seeds)


WORLD = pytest.StashKey()


class Crash(Exception):
    """A defect, as far as the supervisor is concerned."""


@dataclass
class Fate:
    """Strikes once, at the point with this number, or at the boundary: the n-th point of a name. 0 never comes."""

    kind: str
    at: int | tuple[str, int]
    tell: object
    wakes: tuple[int, int] | None = None
    rng: random.Random = field(default_factory=random.Random)
    passed: int = 0
    names: Counter = field(default_factory=Counter)
    boundaries: list = field(default_factory=list)

    def _due(self, name):
        self.passed += 1
        self.names[name] += 1
        self.boundaries.append((name, self.names[name]))
        if self.wakes and self.passed == self.wakes[1]:
            os.kill(self.wakes[0], signal.SIGCONT)
        return self.at in (self.passed, self.boundaries[-1])

    def strike(self, name):
        self.tell("struck", kind=self.kind, point=name, boundary=self.boundaries[-1])
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.kind == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self.kind == "lost" and name.removeprefix("after ") in NAMES.values():
            raise DatabaseUnavailable("lost in the simulation")
        else:
            raise Crash(name)

    def point(self, name):
        if self._due(name):
            self.strike(name)

    async def during(self, name, work):
        """Strike while the work is under way, some turns of the loop after it began."""
        if not self._due(name):
            return await work()
        result = None
        async with trio.open_nursery() as nursery:

            async def one():
                nonlocal result
                result = await work()

            nursery.start_soon(one)
            for _ in range(self.rng.randrange(4)):
                await trio.lowlevel.checkpoint()
            self.strike(name)
        return result


class Watched(Database):
    """Passes a point before, during and after each statement that has a name."""

    fate = None
    asked = None
    wakes = ("record_step", "park")

    async def _run(self, sql, params, repeatable, take):
        name = NAMES[sql]
        self.fate.point(f"before {name}")
        try:
            found = await self.fate.during(
                f"during {name}", lambda: Database._run(self, sql, params, repeatable, take)
            )
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        if name in self.wakes:
            self.asked.set()
        self.fate.point(f"after {name}")
        return found


@dataclass
class Story:
    """What is to happen, from the seed alone: the steps, and the ids."""

    seed: int
    rng: random.Random = field(init=False)
    profile_id: UUID = field(default_factory=uuid7)
    agent_id: UUID = field(default_factory=uuid7)

    def __post_init__(self):
        self.rng = random.Random(self.seed)
        self.steps = [
            ("look",),
            ("pay",),
            ("look", "pay"),
            ("order",),
            ("pay",),
            ("look", "look"),
            ("pay", "pay", "look"),
            ("order", "pay"),
            ("pay", "order"),
            ("pay",),
        ]
        self.rng.shuffle(self.steps)

    @property
    def reply(self):
        """What the whole answer is, whatever happens on the way."""
        texts = [f"Step {n}." for n in range(1, len(self.steps) + 1)]
        return "\n\n".join((*texts, "All is done."))

    def calls(self, number):
        return [
            ToolCall(f"call-{number}-{n}", name, orjson.dumps({"what": f"{number}-{n}"}).decode())
            for n, name in enumerate(self.steps[number - 1])
        ]


class Model:
    """Says the next step of the story; which one shows from what it is told."""

    name = "simulated"
    default_model = MODEL

    def __init__(self, story, fate, side):
        self.story, self.fate, self.side = story, fate, side

    def check(self):
        pass

    async def ping(self):
        await trio.lowlevel.checkpoint()

    async def stream(self, request):
        done = sum(1 for message in request.messages if message.tool_calls)
        number, last = done + 1, done == len(self.story.steps)
        used = Usage(20 + number, 5)
        self.fate.point("before the call to the model")
        row = await self.side.fetch_one(
            "insert into sim_asked (turn_agent, step, input, output) values (%s, %s, %s, %s) returning id",
            (self.story.agent_id, number, used.input_tokens, used.output_tokens),
        )
        self._see(request)
        await trio.lowlevel.checkpoint()
        yield (TextDelta("All is done." if last else f"Step {number}."),)
        self.fate.point("in the call to the model")
        await trio.lowlevel.checkpoint()
        if not last:
            yield tuple(self.story.calls(number))
        await self.side.execute("update sim_asked set answered = true where id = %s", (row["id"],))
        yield Stop("end" if last else "tool"), used
        self.fate.point("after the call to the model")

    def _see(self, request):
        """What a provider would refuse: calls without results, results without calls, things out of order."""
        messages = list(request.messages)
        assert messages.pop(0).role == "user"
        number = 0
        while messages:
            said = messages.pop(0)
            number += 1
            assert said.role == "assistant" and list(said.tool_calls) == self.story.calls(number), said
            assert said.text.strip() == f"Step {number}.", said
            for call in said.tool_calls:
                told = messages.pop(0)
                assert told.role == "tool" and told.tool_call_id == call.id and told.text, told


class Box:
    """Tools whose work shows in a table; the id of a call is its idempotency key."""

    def __init__(self, fate, side):
        self.fate, self.side = fate, side
        schema = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}
        self.tools = {
            name: Tool(name, name, schema, self._runs(name), repeatable=name == "look")
            for name in ("look", "pay", "order")
        }

    def _runs(self, name):
        async def run(call):
            self.fate.point(f"in {name} before its effect")
            await trio.lowlevel.checkpoint()
            await self.side.execute(
                "insert into sim_done (effect_id, tool, life) values (%s, %s, current_setting('application_name'))",
                (call.id, name),
            )
            self.fate.point(f"in {name} after its effect")
            return Outcome(f"{name} {call.arguments['what']}")

        return run

    def for_profile(self, profile):
        return tuple(self.tools.values())

    def find(self, profile, name):
        return self.tools.get(name)

    def policy(self, profile, name):
        return "ask" if name == "order" else "allow"


async def live(url, story, fate, guards, tell, *, number, turn_id, person, nudged):
    """One life: take the message or the turn up, and follow it until it has ended or waits for a person."""
    writing.RETRY_SECONDS = agent_module._RECOVERY_RETRY_SECONDS = 0.001
    mine, beside = (f"{url} application_name={name}" for name in (f"life-{number}", f"beside-{number}"))
    async with Watched(mine, size=4) as database, Database(beside, size=3) as side:
        database.fate = fate
        database.asked = trio.Event()
        database.wakes = ("record_step", "park") if person else ("park",)
        calls = Calls(Model(story, fate, side), Patience(pace_seconds=0))
        profiles = Profiles(side)
        resources = Resources(database, guards, calls, Prices(PRICES), profiles, Box(fate, side), 60.0, 5.0)
        policy = {"restart": "transient", "max_restarts": 5, "backoff_initial_seconds": 0.0001}

        def child(name):
            return ChildSpec(name, Agent, (UUID(name), resources), policy=policy)

        system = ActorSystem(policies=Policies.from_mapping({}, kinds=("agents", "rows")))
        async with system, trio.open_nursery() as nursery:
            await system.start(ChildSpec("agents", RowSupervisor, (child,)))
            agent = system.at(f"/agents/{story.agent_id}")
            if person:
                nursery.start_soon(answers, side, database, story, agent, fate.rng)
                database.asked.set()
            else:
                # A message that is sent again waits behind the turn that waits.
                nursery.start_soon(leave, database, tell)
            if nudged and number:
                agent.tell(Resume())
            profile = await profiles.by_id(story.profile_id)
            message = UserMessage("Go.", profile, "somebody", True, ("simulation", str(story.agent_id)))
            while True:
                try:
                    said = await hear(system, agent, Attach(turn_id) if turn_id else message, tell, person)
                except NotFound:
                    turn_id = None
                    continue
                except (DatabaseUnavailable, AgentUnavailable):
                    continue
                tell("ended", what=said, boundaries=fate.boundaries)
                os._exit(0)


async def leave(database, tell):
    """End the life when there is nothing to do before a person has looked in."""
    await database.asked.wait()
    tell("ended", what={"waits": True}, boundaries=[])
    os._exit(0)


async def hear(system, agent, message, tell, person):
    """What the turn came to, as whoever listens is told."""
    async with aclosing(follow(system, agent, message)) as followed:
        async for heard in followed:
            match heard.event:
                case Accepted(turn_id):
                    tell("accepted", turn_id=str(turn_id))
                case Waiting() if not person:
                    return {"waits": True}
                case Reply(text=text, incomplete=incomplete):
                    return {"reply": text, "incomplete": incomplete}
                case Failed(error):
                    if isinstance(error, DatabaseUnavailable):
                        raise error
                    return {"failed": error.code, "message": error.message}
                case ToolEnded():
                    pass
    return {}


async def answers(side, database, story, agent, rng):
    """A person who is there: answers some turns of the loop after the question, whatever goes on."""
    while True:
        await database.asked.wait()
        database.asked = trio.Event()
        for _ in range(rng.randrange(30)):
            await trio.lowlevel.checkpoint()
        if await say(side, story, rng):
            agent.tell(Resume())


async def say(database, story, rng):
    """Answer every question in one of the ways there are; whether there was one."""
    rows = await database.fetch_all(
        "select id from approvals where state = 'pending' and agent_id = %s", (story.agent_id,)
    )
    for row in rows:
        if rng.random() < 0.15:
            await database.execute(
                "update approvals set deadline_at = now() - interval '1 second' where id = %s and state = 'pending'",
                (row["id"],),
            )
            await expire_approvals(database)
        else:
            await answer_approval(database, row["id"], approve=rng.random() < 0.7, by="ann", reason=None)
    return bool(rows)


@dataclass
class Life:
    """A process, and what it said."""

    pid: int
    pipe: int
    said: list = field(default_factory=list)

    def hear(self):
        """Everything that was said so far; to be called when the process has stopped or ended."""
        os.set_blocking(self.pipe, False)
        read = b""
        try:
            while chunk := os.read(self.pipe, 65536):
                read += chunk
        except BlockingIOError:
            pass
        self.said += [orjson.loads(line) for line in read.splitlines()]
        broken = [word for word in self.said if word["word"] == "broken"]
        assert not broken, broken[0]["trace"]
        return self.said


@dataclass
class World:
    """A database with the simulation's tables; begins lives in it."""

    url: str
    guards: Guards
    struck: Counter = field(default_factory=Counter)
    ends: Counter = field(default_factory=Counter)
    walked: set = field(default_factory=set)
    seeds: int = 0
    lives: int = 0
    checks: int = 0

    def fate(self, story, number):
        """How and at which of its points a life is struck; the first may be struck at any point of the turn."""
        points = POINTS if number == 0 else POINTS // 3
        return story.rng.choice(KINDS), story.rng.randrange(1, points)

    def run(self, work):
        async def main():
            async with Database(f"{self.url} application_name=person", size=1) as database:
                return await work(database)

        return trio.run(main)

    def rows(self, sql, *params):
        return self.run(lambda database: database.fetch_all(sql, params))

    def row(self, sql, *params):
        rows = self.rows(sql, *params)
        return rows[0] if rows else None

    def story(self, seed):
        """The story of a seed, with its profile."""
        story = Story(seed)
        self.run(
            lambda database: database.execute(
                "insert into agent_profiles (id, slug, name, prompt, model) values (%s, %s, 'S', 'Do it.', %s)",
                (story.profile_id, f"s-{story.profile_id}", MODEL),
            )
        )
        return story

    def ended(self, story):
        row = self.row("select state from turns where agent_id = %s", story.agent_id)
        return row is not None and row["state"] != "admitted"

    def say(self, story):
        """A person who looks in between two lives."""
        return self.run(lambda database: say(database, story, story.rng))

    def begin(self, story, kind, at, rng_seed, **told):
        """Fork a life and leave it to its fate."""
        reads, writes = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writes)
            return Life(pid, reads)
        status = 1
        try:
            os.close(reads)

            def tell(word, **more):
                os.write(writes, orjson.dumps({"word": word, **more}) + b"\n")

            if not os.environ.get("SIMULATION_LOG"):
                logging.disable(logging.CRITICAL)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(HANGS_SECONDS)
            fate = Fate(kind, at, tell, told.pop("wakes", None), random.Random(rng_seed))
            trio.run(lambda: live(self.url, story, fate, self.guards, tell, **told))
            status = 0
        except BaseException:  # noqa: BLE001 -- whatever it is, the test tells it
            tell("broken", trace=traceback.format_exc())
        finally:
            os._exit(status)


@pytest.fixture(scope="session")
def world(request, postgres, tmp_path_factory):
    from psycopg.conninfo import make_conninfo

    async def prepare():
        async with Database(postgres, size=1) as database:
            await database.execute(f"create database sim_{os.getpid()} template template0 strategy file_copy")
        async with Database(url, size=1) as database:
            await migrate(database)
            async with database.transaction() as connection:
                await connection.execute(TABLES)
                for scope, subject in (("install", ""), ("profile", "*"), ("caller", "*"), ("agent", "*")):
                    await connection.execute(
                        "insert into caps (id, scope, subject, period, limit_micros) values (%s, %s, %s, 'day', 1e12)",
                        (uuid7(), scope, subject),
                    )

    async def drop():
        async with Database(postgres, size=1) as database:
            await database.execute(f"drop database sim_{os.getpid()} with (force)")

    url = make_conninfo(postgres, dbname=f"sim_{os.getpid()}")
    trio.run(prepare)
    made = request.config.stash[WORLD] = World(url, Guards.load(tmp_path_factory.mktemp("guards")))
    yield made
    trio.run(drop)


def pytest_sessionfinish(session):
    """A process of xdist hands over what it counted."""
    made = session.config.stash.get(WORLD, None)
    if made is not None and hasattr(session.config, "workeroutput"):
        session.config.workeroutput["simulation"] = {
            "struck": [[kind, point, times] for (kind, point), times in made.struck.items()],
            "walked": [list(place) for place in sorted(made.walked)],
            "ends": dict(made.ends),
            "counts": [made.seeds, made.lives, made.checks],
        }


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    told = getattr(node, "workeroutput", {}).get("simulation")
    if told is not None:
        made = node.config.stash.setdefault(WORLD, World("", None))
        made.struck.update({(kind, point): times for kind, point, times in told["struck"]})
        made.walked.update(map(tuple, told["walked"]))
        made.ends.update(told["ends"])
        seeds, lives, checks = told["counts"]
        made.seeds, made.lives, made.checks = made.seeds + seeds, made.lives + lives, made.checks + checks


def pytest_terminal_summary(terminalreporter, config):
    made = config.stash.get(WORLD, None)
    if made is None:
        return
    kinds = Counter()
    for (kind, _), times in made.struck.items():
        kinds[kind] += times
    points = {point for _, point in made.struck}
    walks = Counter((seed, kind) for seed, kind, *_ in made.walked)
    told = ", ".join(f"seed {seed} {kind} {times}" for (seed, kind), times in sorted(walks.items()))
    terminalreporter.write_line(
        f"simulation: {made.seeds} seeds, {made.lives} lives, {made.checks} invariants checked; struck "
        f"{sum(kinds.values())} times ({', '.join(f'{kind} {times}' for kind, times in kinds.items())}) "
        f"at {len(points)} kinds of points; boundaries walked: {told}; lives ended: {dict(made.ends)}"
    )
    for point in sorted(points):
        told = ", ".join(f"{kind} {made.struck[kind, point]}" for kind in kinds if made.struck[kind, point])
        if config.option.verbose > 0:
            terminalreporter.write_line(f"  {point}: {told}")

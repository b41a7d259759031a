"""Agents alone: a recorded model, a box of tools, a real database."""

import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import pytest
import trio
from uuid_utils.compat import uuid7

from hivemind.actors import ActorSystem, ChildSpec, Policies, RowSupervisor
from hivemind.agents import Agent, Profiles, Resources, Resume, UserMessage, answer, answer_approval, give_up
from hivemind.agents.tools.tool import Outcome, Tool
from hivemind.budgets import Prices
from hivemind.guards import Guards
from hivemind.persistence import Database, migrate
from hivemind.providers import Calls
from hivemind.providers.patience import Patience
from hivemind.providers.scripted import Scripted

HELLO = UUID("01980000-0000-7000-8000-000000000001")
ANYTHING = {"type": "object"}


@dataclass
class Box:
    """The tools of every profile, with one policy each."""

    tools: dict[str, Tool] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, UUID]] = field(default_factory=list)

    def tool(self, name, result="done", *, policy="allow", repeatable=False, before=None, outbound=True):
        async def run(call):
            self.calls.append((name, call.id))
            if before is not None:
                await before()
            return result if isinstance(result, Outcome) else Outcome(result)

        self.tools[name] = Tool(
            name, f"Does {name}.", ANYTHING, run, repeatable=repeatable, outbound=outbound
        )
        self.policies[name] = policy

    def for_profile(self, profile):
        return tuple(self.tools.values())

    def find(self, profile, name):
        return self.tools.get(name)

    def policy(self, profile, name):
        return self.policies[name]


@dataclass
class Bench:
    """A system with agents alone, a recorded model and a box of tools."""

    system: ActorSystem
    database: Database
    resources: Resources
    box: Box
    model: Scripted
    agent_id: UUID = field(default_factory=uuid7)

    @property
    def agent(self):
        return self.system.at(f"/agents/{self.agent_id}")

    async def says(self, text="go", *, key=None):
        profile = await self.resources.profiles.by_slug("hello")
        message = UserMessage(text, profile, "somebody", True, ("test", key or str(self.agent_id)))
        return await answer(self.system, self.agent, message)

    async def row(self, sql, *params):
        return await self.database.fetch_one(sql, params)

    async def question(self):
        """Wait for the agent to ask a person; the approval's row."""
        while True:
            row = await self.row(
                "select * from approvals where state = 'pending' and agent_id = %s", self.agent_id
            )
            state = await self.row("select state from agents where id = %s", self.agent_id)
            if row and state["state"] == "waiting_approval":
                return row
            await trio.lowlevel.checkpoint()

    async def say_yes(self, row, *, yes=True, reason=None):
        agent_id = await answer_approval(self.database, row["id"], approve=yes, by="ann", reason=reason)
        assert agent_id == self.agent_id
        self.agent.tell(Resume())


@pytest.fixture(scope="module")
def guards(tmp_path_factory):
    return Guards.load(tmp_path_factory.mktemp("guards"))


@pytest.fixture
def on_bench(database_url, guards, caplog):
    caplog.set_level(logging.CRITICAL, "hivemind")

    def run(test, *answers, box=None, resources=None, **profile):
        box = box or Box()

        async def main():
            async with Database(database_url, size=6) as database:
                await migrate(database)
                for column, value in profile.items():
                    await database.execute(
                        f"update agent_profiles set {column} = %s where id = %s", (value, HELLO)
                    )
                async with agents(database, guards, box, answers, **(resources or {})) as bench:
                    with trio.fail_after(60):
                        await test(bench)

        trio.run(main)

    return run


@asynccontextmanager
async def agents(database, guards, box, answers, prices=None, calls=None, **more):
    model = Scripted(answers)
    calls = calls or Calls(model, Patience(pace_seconds=0))
    resources = Resources(
        database, guards, calls, Prices(prices or {}), Profiles(database), box, 60.0, 5.0, **more
    )
    policies = Policies.from_mapping({}, kinds=("agents", "rows"))
    policy = {"restart": "transient", "max_restarts": 5, "backoff_initial_seconds": 0.001}

    def child(name):
        return ChildSpec(name, Agent, (UUID(name), resources), policy=policy)

    async def on_give_up(name, last):
        await give_up(resources, UUID(name), last)

    async with ActorSystem(policies=policies) as system:
        await system.start(ChildSpec("agents", RowSupervisor, (child,), {"on_give_up": on_give_up}))
        yield Bench(system, database, resources, box, model)


@pytest.fixture
def box():
    """No tools yet."""
    return Box()


@pytest.fixture
def another(guards):
    """Another process on the same database, as far as agents can tell."""
    return lambda bench, *answers, **more: agents(bench.database, guards, bench.box, answers, **more)


@pytest.fixture
def agents_with():
    """Agents alone that call this provider: `async with agents_with(database, guards, calls) as bench`."""
    return lambda database, guards, calls: agents(
        database, guards, Box(), (), {"m": (1_000_000, 1_000_000)}, calls
    )

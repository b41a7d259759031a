"""What operators, the watchdog and outside daemons do to agents: the row first, then whoever works for it.

Who wants it and why is audited with the change. Only a kill does not wait for the database before what runs
here ends. What leads to which state is `lifecycle`.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import trio
from uuid_utils.compat import uuid7

from hivemind.actors import ActorDeadError, ActorSystem
from hivemind.agents import directives
from hivemind.agents.directives import Directive, Wanted
from hivemind.agents.events import EventLog
from hivemind.agents.journal import shard_of
from hivemind.agents.lifecycle import HELD, State, Wish, wished
from hivemind.agents.messages import Halt, Interrupt, Resume
from hivemind.audit import Action, record
from hivemind.errors import Conflict, NotFound
from hivemind.persistence import Database, Jsonb, load_queries

ReportedState = Literal["idle", "running", "waiting_approval", "done", "failed"]

# How long a kill waits for the turns that it ends to book what they really cost.
SETTLE_SECONDS = 0.05
_QUERIES = load_queries("hivemind.agents", "control.sql")
# Kills are audited where they are carried out, with all that goes with them.
_AUDITED: Mapping[tuple[str, Wish], Action] = {
    ("operator", "pause"): Action.OPERATOR_AGENT_PAUSED,
    ("operator", "resume"): Action.OPERATOR_AGENT_RESUMED,
    ("operator", "stop"): Action.OPERATOR_AGENT_STOPPED,
    ("watchdog", "pause"): Action.WATCHDOG_AGENT_PAUSED,
}


@dataclass(frozen=True, slots=True)
class Spawned:
    """An agent that was made, and its directive if it was given one."""

    agent_id: UUID
    directive: Directive | None


async def spawn(
    database: Database,
    profile_id: UUID,
    *,
    by: str,
    directive: Wanted | None = None,
    parent_id: UUID | None = None,
    external: bool = False,
) -> Spawned:
    """Make an agent that waits for messages, for its directive, or for what its daemon reports.

    Raises:
        NotFound: there is no such parent.
        Conflict: the parent has ended, or is not run here.
    """
    async with database.transaction() as transaction:
        if parent_id is not None:
            parent = await transaction.fetch_one(_QUERIES["lock"], (parent_id,))
            if parent is None or parent["state"] == "erased":
                raise NotFound("There is no such parent")
            if parent["state"] in HELD:
                raise Conflict(f"The parent is {parent['state']}")
        made = await directives.create(transaction, directive) if directive is not None else None
        agent_id = made.agent_id if made is not None else uuid7()
        values = {
            "id": agent_id,
            "profile_id": profile_id,
            "parent_id": parent_id,
            "caller": f"directive:{made.id}" if made else by,
            "shard": shard_of(agent_id),
            "external": external,
            "action": Action.AGENT_SPAWNED,
            "detail": Jsonb(
                {"by": by, "external": external, "parent": str(parent_id) if parent_id else None}
            ),
        }
        await transaction.execute(_QUERIES["spawn"], values)
    return Spawned(agent_id, made)


async def change(
    system: ActorSystem, database: Database, agent_id: UUID, wish: Wish, *, by: str, reason: str | None = None
) -> State:
    """Pause, resume, stop or kill an agent; the state that it is in now. `by` is `source:who`.

    Raises:
        NotFound: there is no such agent.
        Conflict: it makes no sense in the agent's state.
    """
    if wish == "kill":
        await _kill(system, database, agent_id, by=by, reason=reason)
        return "killed"
    async with database.transaction() as transaction:
        row = await transaction.fetch_one(_QUERIES["lock"], (agent_id,))
        if row is None or row["state"] == "erased":
            raise NotFound("There is no such agent")
        was: State = row["state"]
        state = wished(was, wish, row["work"])
        values = {
            "id": agent_id,
            "state": state,
            "action": _AUDITED[by.partition(":")[0], wish],
            "detail": Jsonb({"by": by, "reason": reason, "was": was}),
        }
        await transaction.execute(_QUERIES["change"], values)
    if row["external"]:
        return state
    if wish == "resume":
        tree = system.tree(f"/agents/{agent_id}")
        if tree is not None and tree.snapshot.state == "failed":
            # It was given up: it has its restarts again.
            await system.restart(f"/agents/{agent_id}")
        if row["work"] != "none" or was == "paused":
            system.at(f"/agents/{agent_id}").tell(Resume())
    elif _lives(system, agent_id) or (wish == "stop" and row["work"] != "none"):
        # Also where nobody works on it: a turn that is stopped has to end.
        with suppress(ActorDeadError):  # it was given up, and its turn ended with it
            system.at(f"/agents/{agent_id}").tell(Halt())
    return state


async def interrupt(
    system: ActorSystem, database: Database, agent_id: UUID, *, by: str, reason: str | None = None
) -> None:
    """End the turn that runs or waits; the agent goes on with what comes next.

    Raises:
        NotFound: there is no such agent.
        Conflict: it has no turn that could end.
    """
    row = await database.fetch_one(_QUERIES["lock"], (agent_id,))
    if row is None or row["state"] == "erased":
        raise NotFound("There is no such agent")
    if row["work"] == "none":
        raise Conflict("The agent has no turn to interrupt")
    detail: dict[str, object] = {"by": by, "reason": reason}
    action = Action.OPERATOR_TURN_INTERRUPTED
    await record(database, action, profile_id=row["profile_id"], agent_id=agent_id, detail=detail)
    with suppress(ActorDeadError):  # it was given up meanwhile, and its turn ended with it
        system.at(f"/agents/{agent_id}").tell(Interrupt())


async def family(database: Database, agent_id: UUID) -> list[UUID]:
    """The agents that work for this one, and for those."""
    return [row["id"] for row in await database.fetch_all(_QUERIES["family"], (agent_id,), repeatable=True)]


async def heartbeat(
    database: Database,
    agent_id: UUID,
    *,
    state: ReportedState | None = None,
    note: str | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    cost_micros: int | None = None,
) -> State:
    """Take a report of the daemon that runs an external agent; the state that the agent is to be in.

    Totals only grow, so a report that comes late or twice does no harm. What it cost counts in every cap that
    an agent's turns count in; where one is used up the agent is to pause.

    Raises:
        NotFound: there is no such agent.
        Conflict: it is run by this server.
    """
    values = {
        "id": agent_id,
        "state": state,
        "note": note,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cost_micros": cost_micros,
    }
    row = await database.fetch_one(_QUERIES["heartbeat"], values, repeatable=True)
    assert row is not None
    if row["state"] is None:
        found = await database.fetch_one(_QUERIES["lock"], (agent_id,), repeatable=True)
        if found is None or found["state"] == "erased":
            raise NotFound("There is no such agent")
        raise Conflict("This agent is run by the server: only external ones report")
    told: State = row["state"]
    return told


async def _kill(
    system: ActorSystem, database: Database, agent_id: UUID, *, by: str, reason: str | None
) -> None:
    ending = await _end_here(system, [agent_id])
    rows = await database.fetch_all(_QUERIES["below"], (agent_id,), repeatable=True)
    below = [row["id"] for row in rows]
    ending += await _end_here(system, [child for child in below if child != agent_id])
    with trio.move_on_after(SETTLE_SECONDS):
        for events in ending:
            await events.last()
    killed = await database.fetch_all(_QUERIES["kill"], (agent_id, by, reason, "The agent was killed"))
    if not killed and agent_id not in below:
        found = await database.fetch_one(_QUERIES["lock"], (agent_id,))
        if found is None or found["state"] == "erased":
            raise NotFound("There is no such agent")
        wished(found["state"], "kill")
    # Those that came to life meanwhile.
    await _end_here(system, [row["id"] for row in killed])


async def _end_here(system: ActorSystem, agents: Iterable[UUID]) -> list[EventLog]:
    """End what works here for these agents; the logs of the turns that end."""
    ending = []
    for agent_id in agents:
        ref = system.whereis(f"/agents/{agent_id}")
        if ref is None:
            continue
        with trio.move_on_after(SETTLE_SECONDS):
            try:
                events = await ref.call(Halt(now=True), timeout_seconds=None)
            except ActorDeadError:
                continue
            if events is not None:
                ending.append(events)
    return ending


def _lives(system: ActorSystem, agent_id: UUID) -> bool:
    return system.whereis(f"/agents/{agent_id}") is not None

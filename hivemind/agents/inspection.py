"""What people see of agents: the list, and everything that one did, step by step.

Reads rows only, so it shows agents that nobody works for as well. Texts in rows have passed the guards.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from hivemind.agents.lifecycle import State
from hivemind.errors import NotFound
from hivemind.persistence import Database, Row, load_queries

_QUERIES = load_queries("hivemind.agents", "inspection.sql")
_USAGE = ("input_tokens", "output_tokens", "cost_micros")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which agents are listed; None counts for nothing."""

    state: State | None = None
    profile: str | None = None
    parent_id: UUID | None = None


async def page(database: Database, wanted: Filter, after: UUID | None, limit: int) -> list[Row]:
    """Agents, newest first, from the one after `after`."""
    return await database.fetch_all(_QUERIES["agents"], _values(wanted, after, limit), repeatable=True)


async def agent(database: Database, agent_id: UUID) -> dict[str, object]:
    """One agent, what it has used in all, and who works for it.

    Raises:
        NotFound: there is no such agent.
    """
    values = {**_values(Filter(), None, 1), "id": agent_id}
    row = await database.fetch_one(_QUERIES["agents"], values, repeatable=True)
    if row is None:
        raise NotFound("There is no such agent")
    used = await database.fetch_one(_QUERIES["used"], (agent_id,), repeatable=True)
    children = await database.fetch_all(_QUERIES["children"], (agent_id,), repeatable=True)
    return {**row, "usage": used, "children": children}


async def turns(
    database: Database, agent_id: UUID, after: UUID | None, limit: int
) -> list[dict[str, object]]:
    """The turns of an agent, newest first, each with its steps, their calls of tools and the approvals."""
    rows = await database.fetch_all(_QUERIES["turns"], (agent_id, after, after, limit), repeatable=True)
    ids = [row["id"] for row in rows]
    steps = await database.fetch_all(_QUERIES["steps"], (ids,), repeatable=True) if ids else []
    effects = await database.fetch_all(_QUERIES["effects"], (ids,), repeatable=True) if steps else []
    asked = await database.fetch_all(_QUERIES["approvals"], (ids,), repeatable=True) if effects else []
    return told(rows, steps, effects, asked)


def told(
    turns: Sequence[Row], steps: Iterable[Row], effects: Iterable[Row], approvals: Iterable[Row]
) -> list[dict[str, object]]:
    """The rows put together: approvals in calls, calls in steps, steps in turns."""
    questions: dict[UUID, list[object]] = defaultdict(list)
    for row in approvals:
        questions[row["effect_id"]].append(_without(row, "turn_id", "effect_id"))
    calls: dict[tuple[UUID, int], list[object]] = defaultdict(list)
    for row in effects:
        call = _without(row, "turn_id", "step", "detail")
        calls[row["turn_id"], row["step"]].append(
            {**call, "verdict": row["detail"], "approvals": questions[row["id"]]}
        )
    made: dict[UUID, list[object]] = defaultdict(list)
    for row in steps:
        step = _without(row, "turn_id", "detail", *_USAGE)
        usage = {name: row[name] for name in _USAGE}
        step |= {"usage": usage, "verdict": row["detail"], "calls": calls[row["turn_id"], row["step"]]}
        made[row["turn_id"]].append(step)
    return [
        {
            **_without(row, *_USAGE, "error_code", "error_message", "input_verdict", "output_verdict"),
            "error": {"code": row["error_code"], "message": row["error_message"]}
            if row["error_code"]
            else None,
            "usage": {name: row[name] for name in _USAGE} if row["cost_micros"] is not None else None,
            "verdicts": {"input": row["input_verdict"], "output": row["output_verdict"]},
            "steps": made[row["id"]],
        }
        for row in turns
    ]


async def last_turn(database: Database, agent_id: UUID) -> UUID | None:
    """The turn that is under way, or else the last one; None where there was none."""
    row = await database.fetch_one(_QUERIES["last_turn"], (agent_id,), repeatable=True)
    return row["id"] if row else None


def _values(wanted: Filter, after: UUID | None, limit: int) -> dict[str, object]:
    return {
        "id": None,
        "after": after,
        "state": wanted.state,
        "profile": wanted.profile,
        "parent_id": wanted.parent_id,
        "limit": limit,
    }


def _without(row: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in row.items() if name not in names}

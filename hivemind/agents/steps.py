"""The steps of a turn as rows: what the model asked for, what each call of a tool may have changed.

Each function is one round trip and one transaction, states the epoch that the agent was claimed in, and may
be repeated after an outcome that was lost; false means that the turn is no longer this incarnation's. What is
to be done about it is `loop`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from hivemind.agents.events import Usage
from hivemind.persistence import Database, Jsonb, Row, load_queries
from hivemind.providers import ProviderMessage, ToolCall

EffectState = Literal["waiting", "approved", "started", "done", "failed", "denied", "unknown"]
_QUERIES = load_queries("hivemind.agents", "steps.sql")


@dataclass(slots=True)
class Effect:
    """One call of a tool; `id` is what makes it this one call, for the tool too.

    `ours` says that this incarnation has started it, or is about to: what another started may have happened.
    `known` is what is known of a call of which nobody can say whether it happened.
    """

    id: UUID
    call: ToolCall
    arguments: Mapping[str, Any]
    state: EffectState
    outcome: str | None = None
    ours: bool = True
    known: str | None = None

    @property
    def open(self) -> bool:
        """Whether the model has to be told yet what came of it."""
        return self.outcome is None


@dataclass(slots=True)
class Step:
    """One call to the model that asked for tools, and those calls in its order."""

    number: int
    model: str
    text: str
    usage: Usage
    effects: list[Effect] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """Whether a call of it has no outcome yet."""
        return any(effect.open for effect in self.effects)

    @property
    def under_way(self) -> bool:
        """Whether a call of it was begun and has no outcome yet."""
        return any(effect.state == "started" for effect in self.effects)

    def messages(self) -> Iterable[ProviderMessage]:
        """The step as the model reads it afterwards."""
        calls = tuple(effect.call for effect in self.effects)
        yield ProviderMessage("assistant", self.text, tool_calls=calls)
        for effect in self.effects:
            yield ProviderMessage("tool", effect.outcome or "", tool_call_id=effect.call.id)


async def record(
    database: Database,
    turn_id: UUID,
    epoch: int,
    step: Step,
    *,
    detail: Mapping[str, object],
    began_at: datetime,
    approval_seconds: float,
    on_deadline: str,
) -> bool:
    """Write a step down with the intent of each call: nothing of it has been done yet."""
    effects = [
        {
            "id": str(effect.id),
            "position": position,
            "call_id": effect.call.id,
            "tool": effect.call.name,
            "arguments": effect.arguments,
            "state": effect.state,
            "outcome": effect.outcome,
        }
        for position, effect in enumerate(step.effects)
    ]
    calls = [[e.call.id, e.call.name, e.call.arguments] for e in step.effects]
    used = step.usage
    return await _done(
        database,
        "record_step",
        turn_id,
        epoch,
        step.number,
        step.model,
        step.text,
        Jsonb(calls),
        used.input_tokens,
        used.output_tokens,
        used.cost_micros,
        Jsonb(dict(detail)),
        began_at,
        Jsonb(effects),
        approval_seconds,
        on_deadline,
    )


async def start(database: Database, turn_id: UUID, epoch: int, effects: Sequence[Effect]) -> bool:
    """Write down that calls which a person allowed are about to be made."""
    return await _done(database, "start_effects", turn_id, epoch, [effect.id for effect in effects])


async def finish(
    database: Database, turn_id: UUID, epoch: int, effect: Effect, detail: Mapping[str, object]
) -> bool:
    """Write down what a call came to."""
    return await _done(
        database,
        "end_effect",
        turn_id,
        epoch,
        effect.id,
        effect.state,
        effect.outcome,
        Jsonb(dict(detail)),
    )


async def park(
    database: Database, turn_id: UUID, epoch: int, doubts: Sequence[Effect], approval_seconds: float
) -> bool:
    """Write down that the turn waits for a person; calls in doubt become questions."""
    known = [effect.known for effect in doubts]
    return await _done(
        database, "park", turn_id, epoch, [effect.id for effect in doubts], known, approval_seconds
    )


async def load(database: Database, turn_id: UUID) -> list[Step]:
    """The steps of a turn as they were left."""
    rows = await database.fetch_all(_QUERIES["steps"], (turn_id,), repeatable=True)
    effects = await database.fetch_all(_QUERIES["effects"], (turn_id,), repeatable=True) if rows else []
    steps = []
    for row in rows:
        usage = Usage(row["input_tokens"], row["output_tokens"], row["cost_micros"])
        step = Step(row["step"], row["model"], row["text"], usage)
        # By place: a model may use one id for two calls of a step.
        written = {place: call[2] for place, call in enumerate(row["calls"])}
        step.effects = [_effect(effect, written) for effect in effects if effect["step"] == step.number]
        steps.append(step)
    return steps


def _effect(row: Row, written: Mapping[int, str]) -> Effect:
    call = ToolCall(row["call_id"], row["tool"], written[row["position"]])
    return Effect(row["id"], call, row["arguments"], row["state"], row["outcome"], ours=False)


async def answer_approval(
    database: Database, approval_id: UUID, *, approve: bool, by: str, reason: str | None
) -> UUID | None:
    """Answer a question once; the agent to be told, or None where there is none or it was answered."""
    row = await database.fetch_one(_QUERIES["answer_approval"], (approval_id, approve, by, reason))
    return row["agent"] if row else None


async def expire_approvals(database: Database) -> list[UUID]:
    """Answer what nobody answered in time; the agents to be told."""
    return [row["agent"] for row in await database.fetch_all(_QUERIES["expire_approvals"])]


async def _done(database: Database, query: str, *params: object) -> bool:
    row = await database.fetch_one(_QUERIES[query], params, repeatable=True)
    assert row is not None
    return bool(row["done"])

"""What an agent writes down: each function is one round trip and one transaction.

`admit` and `commit` are the only two writes of a plain turn. Both state the epoch that the agent was claimed
in, so a former incarnation that wakes up late writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from hivemind.agents.events import Failed, Reply, Usage
from hivemind.agents.given import Given, calls_as_rows, calls_of
from hivemind.agents.lifecycle import State
from hivemind.agents.transcript import Transcript
from hivemind.budgets import refusal
from hivemind.errors import (
    AgentEnded,
    BudgetExceeded,
    GuardFailed,
    GuardRefused,
    HivemindError,
    Interrupted,
    NotFound,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
)
from hivemind.persistence import Database, Jsonb, SqlError, load_queries
from hivemind.providers import ProviderMessage, StopReason, ToolCall

TurnState = Literal["answered", "failed", "interrupted"]
# How long a turn is a server's own after it has said so (`keeping`).
KEPT_SECONDS = 30.0
# The caller of a turn that goes on from a step of a recorded one.
FORK = "fork:"
# What may end a turn that was admitted, by the code in its row.
_ENDINGS: Mapping[str, type[HivemindError]] = {
    kind.code: kind
    for kind in (
        Interrupted,
        AgentEnded,
        GuardRefused,
        GuardFailed,
        BudgetExceeded,
        ProviderError,
        ProviderUnavailable,
        ProviderRejected,
    )
}
_QUERIES = load_queries("hivemind.agents", "queries.sql")


@dataclass(frozen=True, slots=True)
class Admission:
    """A message as it is to be written down; `text` and `given` have passed the guards.

    `cheaper` is the model, with its worst case, that takes the turn where a cap's soft share says so.
    """

    turn_id: UUID
    agent_id: UUID
    profile_id: UUID
    caller: str
    opens: bool
    epoch: int
    idempotency: tuple[str, str] | None
    model: str
    text: str
    reserve_micros: int
    lease_seconds: float
    detail: dict[str, object]
    cheaper: tuple[str, int] | None = None
    schedule_id: UUID | None = None
    parent_id: UUID | None = None
    given: Given | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """What became of an admission; `known` names the turn and agent of the first time.

    `fenced`: another incarnation owns the agent; `held`: nothing may begin in its state.

    `model` is the one to ask in that turn.
    """

    outcome: Literal["admitted", "known", "fenced", "held"]
    turn_id: UUID
    agent_id: UUID
    model: str | None = None


async def admit(database: Database, admission: Admission) -> Admitted:
    """Accept a message: conversation, turn, reservations and audit.

    Raises:
        BudgetExceeded: a cap does not cover the worst case; nothing was written.
        ApprovalRequired: a cap's soft share is reached and a person has to agree first; nothing was written.
        DatabaseUnavailable: nothing is known of the outcome; the same idempotency key finds out.
    """
    scope, key = admission.idempotency or (None, None)
    cheaper_model, cheaper_reserve = admission.cheaper or (None, None)
    given = admission.given
    try:
        row = await database.fetch_one(
            _QUERIES["admit" if given is None else "admit_given"],
            (
                *(() if given is None else _kept(Transcript.of(admission.text, given))),
                admission.turn_id,
                admission.agent_id,
                admission.profile_id,
                admission.caller,
                admission.opens,
                shard_of(admission.agent_id),
                admission.epoch,
                scope,
                key,
                admission.model,
                admission.text,
                admission.reserve_micros,
                admission.lease_seconds,
                Jsonb(admission.detail),
                cheaper_model,
                cheaper_reserve,
                admission.schedule_id,
                admission.parent_id,
            ),
        )
    except SqlError as raised:
        raise (refusal(raised) or raised) from raised
    assert row is not None
    return Admitted(
        row["outcome"], row["turn"] or admission.turn_id, row["agent"] or admission.agent_id, row["model"]
    )


def _kept(transcript: Transcript) -> tuple[object, ...]:
    return (
        Jsonb(transcript.parts),
        transcript.tip,
        transcript.after,
        transcript.instructions,
        transcript.tools,
        Jsonb(transcript.wishes),
    )


async def commit(
    database: Database,
    turn_id: UUID,
    epoch: int,
    state: TurnState,
    reply: str | None,
    usage: Usage,
    error: HivemindError | None,
    detail: dict[str, object],
    *,
    call: int | None = None,
    incomplete: str | None = None,
    calls: tuple[ToolCall, ...] = (),
) -> bool:
    """End a turn: reply, settled cost, audit. Whether this call did it; repeating it is harmless.

    `calls` are those that the client has to make. `usage` is that of the last call to the model, whose number
    is `call`; None where only the rows know.
    """
    row = await database.fetch_one(
        _QUERIES["commit_calls" if calls else "commit"],
        (
            turn_id,
            epoch,
            state,
            reply,
            call,
            usage.input_tokens,
            usage.output_tokens,
            usage.cost_micros,
            incomplete,
            error.code if error else None,
            error.message if error else None,
            Jsonb(detail),
            *((Jsonb(calls_as_rows(calls)), turn_id) if calls else ()),
        ),
        repeatable=True,
    )
    assert row is not None
    return bool(row["done"])


@dataclass(frozen=True, slots=True)
class Claim:
    """An agent as its new incarnation finds it; `turn_id` is the turn that was not ended."""

    epoch: int
    profile_id: UUID
    state: State
    turn_id: UUID | None
    attempts: int


async def claim(
    database: Database, agent_id: UUID, lease_seconds: float, claimant: UUID | None = None
) -> Claim:
    """Take the agent over in a new epoch; the second claim of an incarnation is no new attempt.

    Raises:
        NotFound: there is no such agent.
    """
    params = (agent_id, lease_seconds, claimant)
    row = await database.fetch_one(_QUERIES["claim"], params, repeatable=True)
    if row is None:
        raise NotFound("There is no such conversation")
    return Claim(row["epoch"], row["profile_id"], row["agent_state"], row["turn"], row["turn_attempts"] or 0)


async def history(database: Database, agent_id: UUID, limit: int) -> list[ProviderMessage]:
    """The newest messages that were answered, oldest first."""
    rows = await database.fetch_all(_QUERIES["history"], (agent_id, limit), repeatable=True)
    return [ProviderMessage(row["role"], row["text"]) for row in rows]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A turn that was admitted and has not ended."""

    turn_id: UUID
    caller: str
    text: str
    model: str
    given: Given | None = None

    @property
    def is_fork(self) -> bool:
        """Whether a process of its own has made it, outside of any server."""
        return self.caller.startswith(FORK)


async def unfinished(database: Database, turn_id: UUID) -> Unfinished | None:
    """A turn as it was admitted; None where it has ended."""
    row = await database.fetch_one(_QUERIES["unfinished"], (turn_id,), repeatable=True)
    if row is None:
        return None
    given = Given.of(row["given"]) if row["given"] is not None else None
    return Unfinished(turn_id, row["caller"], row["text"], row["model"], given)


async def ended_turn(database: Database, turn_id: UUID, agent_id: UUID) -> Reply | Failed | None:
    """How a turn of this agent ended; None while it has not.

    Raises:
        NotFound: the agent has no such turn.
    """
    row = await database.fetch_one(_QUERIES["ended_turn"], (turn_id, agent_id), repeatable=True)
    if row is None:
        raise NotFound("This conversation has no such turn")
    if row["state"] == "admitted":
        return None
    if row["state"] == "answered":
        usage = Usage(row["input_tokens"], row["output_tokens"], row["cost_micros"])
        calls = calls_of(row["calls"] or [])
        stop: StopReason = "tool" if calls else "length" if row["incomplete"] else "end"
        return Reply(turn_id, agent_id, row["text"], usage, row["incomplete"], calls, stop)
    return Failed(ending(row["error_code"], row["error_message"]))


def ending(code: str | None, message: str | None) -> HivemindError:
    """What ended a turn, from its row."""
    return _ENDINGS.get(code or "", ProviderError)(message)


async def unfinished_agents(database: Database, server: UUID | None = None) -> list[UUID]:
    """The agents that have a turn which this server may take up."""
    values = {"server": server, "kept_seconds": KEPT_SECONDS}
    found = await database.fetch_all(_QUERIES["unfinished_agents"], values, repeatable=True)
    return [row["agent_id"] for row in found]


async def give_up(database: Database, agent_id: UUID, failure: str) -> None:
    """Mark an agent that spent its restarts."""
    await database.execute(_QUERIES["give_up"], (failure, agent_id), repeatable=True)


def shard_of(agent_id: UUID) -> int:
    """Which of the 256 shards an agent belongs to (the random tail of a UUIDv7)."""
    return agent_id.bytes[-1]

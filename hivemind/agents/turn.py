"""One message in, one reply out: guard, admit, stream, commit.

Every message of the product goes through here, whatever door it came by, so no door goes round a guard or a
cap. Nothing is held across the model call but the reservation, which is a row.
"""

import json
import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from uuid import UUID

import trio
from uuid_utils.compat import uuid7

from hivemind.agents import gate, journal
from hivemind.agents.events import Accepted, Delta, EventLog, Failed, Reply, Usage
from hivemind.agents.journal import Admission, Admitted, TurnState
from hivemind.agents.messages import UserMessage
from hivemind.agents.profile import Profile, Profiles
from hivemind.audit import Action, record
from hivemind.budgets import Price, Prices, hold
from hivemind.errors import (
    BudgetExceeded,
    DatabaseUnavailable,
    GuardRefused,
    HivemindError,
    InputTooLong,
    Interrupted,
    ProviderError,
    Refused,
)
from hivemind.guards import Finding, Guards
from hivemind.persistence import Database
from hivemind.providers import Calls, ProviderMessage, ProviderRequest, TextDelta, ToolCall
from hivemind.providers import Usage as ProviderUsage

log = logging.getLogger("hivemind.agents")

_COMMIT_RETRY_SECONDS = 0.5
# A caller waits for this at the most before it is told that the database is away.
ADMIT_PATIENCE_SECONDS = 10.0
_ADMIT_RETRY_SECONDS = 0.1
# A cautious guess for text without its tokenizer, and the room that the request's frame takes.
_BYTES_PER_TOKEN = 3
_FRAME_TOKENS = 64
NOTHING_USED = Usage(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Resources:
    """What turns are made with; one for the whole process.

    `context_tokens` is the model's window, or None where the provider's is larger than any history.
    """

    database: Database
    guards: Guards
    calls: Calls
    prices: Prices
    profiles: Profiles
    lease_seconds: float
    guard_seconds: float
    context_tokens: int | None = None


@dataclass(slots=True)
class Turn:
    """A turn that was admitted: its request and price, and what has been released of the answer.

    `asked` says that a provider has the prompt, and is paid for it and for what it streamed. `taken_up` says
    that a former incarnation admitted the turn: what it held may have been given back, and `lost_micros` is
    what its calls cost at most, which nobody can say any more.
    """

    id: UUID
    agent_id: UUID
    epoch: int
    text: str
    request: ProviderRequest
    price: Price
    released: list[str] = field(default_factory=list)
    usage: ProviderUsage | None = None
    findings: tuple[Finding, ...] = ()
    asked: bool = False
    received_bytes: int = 0
    taken_up: bool = False
    lost_micros: int = 0

    @property
    def reply(self) -> str:
        """The answer so far, as it was released."""
        return "".join(self.released)

    def settled(self) -> Usage:
        """What is to be booked: the provider's word, or an estimate for what was streamed of a cut answer."""
        used = self.usage
        if used is None and not self.asked:
            return Usage(0, 0, self.lost_micros)
        if used is None:
            asked = sum(len(text.encode()) for text in _texts(self.request))
            read, written = asked // _BYTES_PER_TOKEN + 1, self.received_bytes // _BYTES_PER_TOKEN + 1
            used = ProviderUsage(read, written, estimated=True)
        cost = self.price.cost_micros(used.input_tokens, used.output_tokens)
        return Usage(used.input_tokens, used.output_tokens, cost + self.lost_micros)


def compose(
    profile: Profile, model: str, history: Sequence[ProviderMessage], text: str, context_tokens: int | None
) -> ProviderRequest:
    """The request for an answer to `text`, with as much of the newest history as profile and model take."""
    kept = list(history[-profile.history_messages :]) if profile.history_messages else []
    if context_tokens is not None:
        room = (context_tokens - profile.max_output_tokens - _FRAME_TOKENS) * _BYTES_PER_TOKEN
        room -= len(profile.prompt.encode()) + len(text.encode())
        while kept and sum(len(message.text.encode()) for message in kept) > room:
            kept.pop(0)
    while kept and kept[0].role != "user":
        kept.pop(0)
    messages = (*kept, ProviderMessage("user", text))
    return ProviderRequest(model, profile.prompt, messages, profile.max_output_tokens)


async def admit(
    resources: Resources,
    agent_id: UUID,
    epoch: int,
    history: Sequence[ProviderMessage],
    message: UserMessage,
) -> Turn | Admitted:
    """Pass a message through the gates and accept it; `Admitted` where it was known or is fenced off.

    Raises:
        ProviderUnavailable: a setting is missing without which no model can be asked.
        Refused: a gate refused it; that is in the audit log.
        DatabaseUnavailable: nothing is known of the outcome, and the database does not say in time.
    """
    profile = message.profile
    resources.calls.check()
    try:
        text, detail = await _guard_input(resources, profile, message.text)
        model = profile.model or resources.calls.default_model
        price = resources.prices.of(resources.calls.name, model)
        request = compose(profile, model, history, text, resources.context_tokens)
        cheaper = _cheaper(resources, profile, request)
        admitted = await _admitted(
            resources.database,
            Admission(
                uuid7(),
                agent_id,
                profile.id,
                message.caller,
                message.opens,
                epoch,
                message.idempotency,
                model,
                text,
                _worst_case_micros(price, request),
                resources.lease_seconds,
                detail,
                cheaper,
                message.schedule_id,
                message.parent_id,
            ),
        )
    except Refused as refusal:
        await _record_refusal(resources.database, agent_id, message, refusal)
        raise
    if admitted.outcome != "admitted":
        return admitted
    if admitted.model is not None and admitted.model != model:
        request = replace(request, model=admitted.model)
        price = resources.prices.of(resources.calls.name, admitted.model)
    return Turn(admitted.turn_id, agent_id, epoch, text, request, price)


async def _admitted(database: Database, admission: Admission) -> Admitted:
    """Write the admission down, asking again for a while where the answer was lost on its way."""
    deadline = trio.current_time() + ADMIT_PATIENCE_SECONDS
    while True:
        try:
            admitted = await journal.admit(database, admission)
        except DatabaseUnavailable:
            # Only its idempotency key can tell a message that is sent again from another one.
            if admission.idempotency is None or trio.current_time() >= deadline:
                raise
            log.warning("the answer of the database was lost: turn %s is asked for again", admission.turn_id)
            await trio.sleep(_ADMIT_RETRY_SECONDS)
            continue
        if admitted.outcome == "known" and admitted.turn_id == admission.turn_id:
            return replace(admitted, outcome="admitted")
        return admitted


def take_up(
    resources: Resources,
    profile: Profile,
    agent_id: UUID,
    epoch: int,
    history: Sequence[ProviderMessage],
    turn_id: UUID,
    text: str,
    model: str,
    lost_attempts: int,
) -> Turn:
    """A turn that a former incarnation had admitted; its text has passed the gates then.

    How far the lost attempts got is not known, so each is booked at its worst case.
    """
    request = compose(profile, model, history, text, resources.context_tokens)
    price = resources.prices.of(resources.calls.name, model)
    lost = lost_attempts * _worst_case_micros(price, request)
    return Turn(turn_id, agent_id, epoch, text, request, price, taken_up=True, lost_micros=lost)


async def answer(resources: Resources, turn: Turn, events: EventLog) -> None:
    """Stream the model's answer through the hold-back window into the events, and commit it.

    A provider that fails, or a cap that no longer covers it, ends the turn as failed; what was streamed is
    paid.
    """
    events.append(Accepted(turn.id, turn.agent_id))
    error: HivemindError | None = None
    try:
        if turn.taken_up:
            await _hold_again(resources, turn)
        await _stream(resources, turn, events)
    except (ProviderError, GuardRefused, BudgetExceeded, Interrupted) as failure:
        error = failure
        # A call that failed before it answered is not billed.
        turn.asked = turn.received_bytes > 0
    await end(resources, turn, events, "failed" if error else "answered", error)


async def end(
    resources: Resources, turn: Turn, events: EventLog, state: TurnState, error: HivemindError | None
) -> bool:
    """Commit the end of a turn and tell it; whether this incarnation was the one to end it.

    The message was accepted, so a database that is away is waited for as long as the agent lives.
    """
    usage = turn.settled()
    reply = turn.reply
    detail: dict[str, object] = {"findings": _summary(turn.findings)}
    if turn.lost_micros:
        detail["lost_micros"] = turn.lost_micros
    if error is not None:
        detail["error"] = error.code
        if isinstance(error, Refused):
            detail.update(error.detail)
    while True:
        try:
            done = await journal.commit(
                resources.database,
                turn.id,
                turn.epoch,
                state,
                reply if state == "answered" else None,
                usage,
                error,
                detail,
            )
        except DatabaseUnavailable:
            log.warning("the database is away: turn %s waits to be committed", turn.id)
            await trio.sleep(_COMMIT_RETRY_SECONDS)
            continue
        break
    if not done:
        # Ended before, by a commit whose answer was lost, or by whoever owns the agent now.
        ended = await journal.ended_turn(resources.database, turn.id, turn.agent_id)
        if ended is not None:
            events.append(ended)
            return isinstance(ended, Reply)
    if error is not None:
        events.append(Failed(error))
    else:
        events.append(Reply(turn.id, turn.agent_id, reply, usage))
    return done


def _texts(request: ProviderRequest) -> tuple[str, ...]:
    """Everything of a request that the model reads."""
    calls = (call for message in request.messages for call in message.tool_calls)
    return (
        request.system,
        *(message.text for message in request.messages),
        *(call.name + call.arguments for call in calls),
        *(f"{tool.name}{tool.description}{json.dumps(tool.parameters)}" for tool in request.tools),
    )


def _worst_case_micros(price: Price, request: ProviderRequest) -> int:
    return price.worst_case_micros(_texts(request), request.max_output_tokens)


def _cheaper(resources: Resources, profile: Profile, request: ProviderRequest) -> tuple[str, int] | None:
    """The model that takes the turn once a cap says so, and what it may cost there."""
    model = profile.cheaper_model
    if model is None:
        return None
    return model, _worst_case_micros(resources.prices.of(resources.calls.name, model), request)


async def _hold_again(resources: Resources, turn: Turn) -> None:
    if turn.price.free:
        return
    worst = turn.lost_micros + _worst_case_micros(turn.price, turn.request)
    while True:
        try:
            held = await hold(resources.database, turn.id, turn.epoch, worst, resources.lease_seconds)
        except DatabaseUnavailable:
            log.warning("the database is away: turn %s waits to hold its money again", turn.id)
            await trio.sleep(_COMMIT_RETRY_SECONDS)
            continue
        if not held:
            raise Interrupted("The conversation is being served elsewhere")
        return


async def _stream(resources: Resources, turn: Turn, events: EventLog) -> None:
    window, seconds = resources.guards.window(), resources.guard_seconds
    turn.asked = True
    async with aclosing(resources.calls.stream(turn.request)) as stream:
        async for group in stream:
            # What arrived together goes on together: one look of the guards and one event for all of it.
            if text := "".join([event.text for event in group if isinstance(event, TextDelta)]):
                turn.received_bytes += len(text.encode())
                _release(turn, events, await gate.passed(seconds, len(text), window.push, text))
            for event in group:
                if isinstance(event, ProviderUsage):
                    turn.usage = event
                elif isinstance(event, ToolCall):
                    raise ProviderError(f"The model called {event.name}, which it was not offered")
    _release(turn, events, await gate.passed(seconds, 0, window.finish))
    turn.findings = window.findings


def _release(turn: Turn, events: EventLog, text: str) -> None:
    if text:
        turn.released.append(text)
        events.append(Delta(text))


async def _guard_input(resources: Resources, profile: Profile, text: str) -> tuple[str, dict[str, object]]:
    if len(text) > profile.max_input_chars:
        raise InputTooLong(
            f"The message has {len(text)} characters; this agent takes {profile.max_input_chars}"
        )
    guards, threshold = resources.guards, profile.injection_threshold
    verdict = await gate.passed(resources.guard_seconds, len(text), guards.check_input, text, threshold)
    detail: dict[str, object] = {"score": round(verdict.score, 3), "findings": _summary(verdict.findings)}
    if verdict.refused and profile.on_injection == "refuse":
        refusal = GuardRefused("The message looks like an attempt to change the agent's instructions")
        refusal.detail = detail
        raise refusal
    return verdict.text, detail


def _summary(findings: Sequence[Finding]) -> list[dict[str, object]]:
    """What the audit log keeps of findings: rule and span, never the text."""
    return [{"rule": f.rule, "start": f.start, "end": f.end} for f in findings]


async def _record_refusal(database: Database, agent_id: UUID, message: UserMessage, refusal: Refused) -> None:
    await record(
        database,
        Action.TURN_REFUSED,
        profile_id=message.profile.id,
        agent_id=agent_id,
        caller=message.caller,
        detail={"code": refusal.code, **refusal.detail},
    )

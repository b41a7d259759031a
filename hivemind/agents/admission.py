"""A message becomes a turn: through the gates, and written down.

Every message of the product comes in here, whatever door it came by, so no door goes round a guard or a cap.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic
from uuid import UUID

import trio
from uuid_utils.compat import uuid7

from hivemind.agents import gate, journal
from hivemind.agents.gate import summary
from hivemind.agents.given import Gate, Given
from hivemind.agents.journal import Admission, Admitted, Unfinished
from hivemind.agents.messages import UserMessage
from hivemind.agents.profile import Profile
from hivemind.agents.steps import Step
from hivemind.agents.turn import Resources, Turn, compose, worst_case_micros
from hivemind.audit import Action
from hivemind.audit import record as record_audit
from hivemind.errors import (
    DatabaseUnavailable,
    GuardRefused,
    InputTooLong,
    InvalidFields,
    NotPermitted,
    Refused,
)
from hivemind.persistence import Database
from hivemind.providers import ProviderMessage, ProviderRequest, ToolSpec

log = logging.getLogger("hivemind.agents")

# A caller waits for this at the most before it is told that the database is away.
ADMIT_PATIENCE_SECONDS = 10.0
_ADMIT_RETRY_SECONDS = 0.1


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
        Refused: a gate refused it, or an operator has switched it off; that is in the audit log.
        DatabaseUnavailable: nothing is known of the outcome, and the database does not say in time.
    """
    profile, began_seconds = message.profile, monotonic()
    resources.calls.check()
    try:
        await resources.switch.check_new_turn()
        if profile.archived_at is not None:
            raise NotPermitted("This agent is archived and takes no messages")
        text, detail = await _guard_input(resources, profile, message.text)
        tools = offered(resources, profile)
        given = await _guard_given(resources, profile, message.given, tools, detail)
        model = profile.model or resources.calls.default_model
        price = resources.prices.of(resources.calls.name, model)
        request = compose(profile, model, history, text, resources.context_tokens, tools, given)
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
                worst_case_micros(price, request),
                resources.lease_seconds,
                detail,
                cheaper,
                message.schedule_id,
                message.parent_id,
                given,
            ),
        )
    except Refused as refusal:
        resources.counts.add("hivemind_refusals_total", (refusal.code,))
        await _record_refusal(resources.database, agent_id, message, refusal)
        raise
    if admitted.outcome != "admitted":
        return admitted
    if admitted.model is not None and admitted.model != model:
        request = replace(request, model=admitted.model)
        price = resources.prices.of(resources.calls.name, admitted.model)
    return Turn(
        admitted.turn_id,
        agent_id,
        epoch,
        profile,
        message.caller,
        text,
        request,
        price,
        given=given,
        began_seconds=began_seconds,
    )


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
    left: Unfinished,
    done: list[Step],
    lost_attempts: int,
) -> Turn:
    """A turn that a former incarnation had admitted, with its steps so far; its text has passed the gates.

    How far the attempts got that were lost since the last step is not known: each is booked at its worst.
    """
    tools = offered(resources, profile)
    context_tokens = resources.context_tokens
    request = compose(profile, left.model, history, left.text, context_tokens, tools, left.given)
    price = resources.prices.of(resources.calls.name, left.model)
    taken_up = Turn(
        left.turn_id,
        agent_id,
        epoch,
        profile,
        left.caller,
        left.text,
        request,
        price,
        True,
        given=left.given,
        steps=done,
    )
    taken_up.lost_micros = lost_attempts * worst_case_micros(price, taken_up.request)
    return taken_up


def offered(resources: Resources, profile: Profile) -> tuple[ToolSpec, ...]:
    """The tools of a profile as the model is told of them."""
    return tuple(
        ToolSpec(tool.name, tool.description, tool.parameters)
        for tool in resources.toolbox.for_profile(profile)
    )


def _cheaper(resources: Resources, profile: Profile, request: ProviderRequest) -> tuple[str, int] | None:
    """The model that takes the turn once a cap says so, and what it may cost there."""
    model = profile.cheaper_model
    if model is None:
        return None
    return model, worst_case_micros(resources.prices.of(resources.calls.name, model), request)


async def _guard_input(resources: Resources, profile: Profile, text: str) -> tuple[str, dict[str, object]]:
    if len(text) > profile.max_input_chars:
        raise InputTooLong(
            f"The message has {len(text)} characters; this agent takes {profile.max_input_chars}"
        )
    guards, threshold = resources.guards, profile.injection_threshold
    size = gate.size(guards, text)
    verdict = await gate.passed(resources.guard_seconds, size, guards.check_input, text, threshold)
    detail: dict[str, object] = {"score": round(verdict.score, 3), "findings": summary(verdict.findings)}
    if verdict.refused and profile.on_injection == "refuse":
        refusal = GuardRefused("The message looks like an attempt to change the agent's instructions")
        refusal.detail, refusal.text = detail, verdict.text
        raise refusal
    return verdict.text, detail


async def _guard_given(
    resources: Resources,
    profile: Profile,
    given: Given | None,
    tools: tuple[ToolSpec, ...],
    detail: dict[str, object],
) -> Given | None:
    """What the client gave along, as a model may read it; what the guards found goes to the detail.

    Raises:
        InvalidFields: a tool of the client has the name of one of the profile's.
    """
    if given is None:
        return None
    if taken := sorted({tool.name for tool in tools} & {tool.name for tool in given.tools}):
        raise InvalidFields(
            f"The agent has a tool of this name itself: {', '.join(taken)}",
            fields=(("tools", "has a name that is taken"),),
        )
    through = Gate(resources.guards, resources.guard_seconds, profile)
    clean = await through.passed(given)
    detail["given"] = through.findings
    return clean


async def _record_refusal(database: Database, agent_id: UUID, message: UserMessage, refusal: Refused) -> None:
    await record_audit(
        database,
        Action.TURN_REFUSED,
        profile_id=message.profile.id,
        agent_id=agent_id,
        caller=message.caller,
        detail={"code": refusal.code, "reason": refusal.message, **refusal.detail},
        text=refusal.text,
    )

"""A recorded turn goes on live from one of its steps, with another prompt or model.

A fork is a turn of its own in a conversation of its own: it comes through the same gates, holds and pays
its money and is audited like any other. What comes before the step is copied and costs nothing.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import trio
from uuid_utils.compat import uuid7

from hivemind.agents import admission, keeping, loop, steps
from hivemind.agents.events import EventLog, Failed, Usage
from hivemind.agents.journal import FORK
from hivemind.agents.messages import UserMessage
from hivemind.agents.replay import Recording, Tools, Unrecorded, diff, leaf
from hivemind.agents.steps import Effect, Step
from hivemind.agents.tools.toolbox import Toolbox
from hivemind.agents.turn import Resources, Turn
from hivemind.errors import Conflict, Interrupted, NotFound

_END_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Forked:
    """What a fork came to; `waits` names the tools that a person would have had to allow."""

    turn_id: UUID
    conversation_id: UUID
    steps: list[Step]
    reply: str | None
    error: str | None
    usage: Usage
    waits: tuple[str, ...]
    difference: str


async def fork(
    resources: Resources,
    recording: Recording,
    step: int,
    *,
    prompt: str | None = None,
    model: str | None = None,
    live_tools: bool = False,
) -> Forked:
    """Take a turn up at its call number `step` and answer it anew.

    Raises:
        NotFound: the turn has no such step.
        Unrecorded: the model wants a call that is not recorded, and tools are not live.
        Refused: a gate or a cap does not let it through.
    """
    if not 1 <= step <= len(recording.steps) + 1:
        raise NotFound(f"The turn has calls 1 to {len(recording.steps) + 1}; there is no {step}")
    if not live_tools:
        resources = replace(resources, toolbox=cast("Toolbox", Tools(recording)))
    profile = recording.frame.dressed(recording.profile)
    profile = replace(
        profile, prompt=profile.prompt if prompt is None else prompt, model=model or recording.model
    )
    message = UserMessage(
        recording.text, profile, f"{FORK}{recording.turn_id}", opens=True, given=recording.given
    )
    agent_id = uuid7()
    turn = await admission.admit(resources, agent_id, 1, recording.history, message)
    assert isinstance(turn, Turn)
    events = EventLog(1, turn.id)
    waits: tuple[str, ...] = ()
    try:
        # From its beginning, so that no server takes it for one of its own (`keeping.keep_on` for the rest).
        resources.in_hand[turn.id] = turn.epoch
        await keeping.keep(resources)
        await _copy(resources, recording, turn, step)
        await loop.answer(resources, turn, events, loop.time(turn.profile))
        if not events.ended:
            waits = tuple(effect.call.name for effect in turn.steps[-1].effects if effect.open)
            await loop.end(resources, turn, events, "interrupted", Interrupted())
    except BaseException as error:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _END_SECONDS):
            await loop.end(resources, turn, events, "interrupted", Interrupted())
        if isinstance(error, BaseExceptionGroup) and (found := error.subgroup(Unrecorded)) is not None:
            raise leaf(found) from error
        raise
    finally:
        resources.in_hand.pop(turn.id, None)
    last = events.events[-1]
    return Forked(
        turn.id,
        agent_id,
        turn.steps,
        None if isinstance(last, Failed) else turn.reply,
        last.error.message if isinstance(last, Failed) else None,
        turn.total(),
        waits,
        _difference(recording, turn),
    )


async def _copy(resources: Resources, recording: Recording, turn: Turn, step: int) -> None:
    """The steps before the fork, as rows of its own; nothing of them is done or paid again."""
    for old in recording.steps[: step - 1]:
        effects = [Effect(uuid7(), e.call, e.arguments, e.state, e.outcome or "") for e in old.effects]
        copied = Step(old.number, old.model, old.text, Usage(0, 0, 0), effects)
        own = await steps.record(
            resources.database,
            turn.id,
            turn.epoch,
            copied,
            detail={"copied_from": str(recording.turn_id)},
            began_at=datetime.now(UTC),
            approval_seconds=turn.profile.approval_seconds,
            on_deadline=turn.profile.on_approval_deadline,
        )
        if not own:
            raise Conflict("The fork is being served elsewhere")
        turn.steps.append(copied)
        if copied.text:
            turn.released.append(copied.text)


def _difference(recording: Recording, turn: Turn) -> str:
    """What was done and said then and now, as a unified diff; empty where nothing differs."""
    was, now = (
        "\n".join(f"{e.call.name}({e.call.arguments}) -> {e.state}" for s in told for e in s.effects)
        for told in (recording.steps, turn.steps)
    )
    return diff(f"{was}\n\n{recording.reply or ''}".strip(), f"{now}\n\n{turn.reply}".strip())

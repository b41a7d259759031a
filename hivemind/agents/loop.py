"""A turn on its way from the message to the answer: ask the model, make the calls that it wants, ask again.

The calls of tools are `effects`. What a person has to allow first, and what may or may not have happened,
ends the work for now: nothing is held while a turn waits.
"""

import logging
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from time import monotonic

import trio

from hivemind.agents import gate, journal, spans, steps
from hivemind.agents.effects import intend, work_off
from hivemind.agents.events import (
    Accepted,
    Delta,
    EventLog,
    Failed,
    Reply,
    ToolCalled,
    ToolEnded,
    Waiting,
)
from hivemind.agents.gate import summary
from hivemind.agents.given import Given
from hivemind.agents.handover import Sent, handed_over
from hivemind.agents.journal import TurnState
from hivemind.agents.profile import Profile
from hivemind.agents.recording import Frame
from hivemind.agents.tools.knowledge import NAME as KNOWLEDGE_SEARCH
from hivemind.agents.turn import Resources, Turn, asked_of, worst_case_micros
from hivemind.agents.writing import owned, written
from hivemind.budgets import hold
from hivemind.errors import (
    BudgetExceeded,
    DatabaseUnavailable,
    GuardRefused,
    HivemindError,
    Interrupted,
    ProviderError,
    Refused,
)
from hivemind.knowledge import refusal, reply_to
from hivemind.providers import Stop, TextDelta, ToolCall
from hivemind.providers import Usage as ProviderUsage

log = logging.getLogger("hivemind.agents")

_PARAGRAPH = "\n\n"


def time(profile: Profile) -> trio.CancelScope:
    """The scope of a turn of this profile: over when its time is."""
    return trio.CancelScope(relative_deadline=profile.bounds.max_turn_seconds)


async def answer(resources: Resources, turn: Turn, events: EventLog, scope: trio.CancelScope) -> None:
    """Work the turn off into the events until it has ended, and commit it, or until it has to wait.

    It waits for a person, or because its agent halts. A provider that fails, or a cap that no longer covers
    it, ends the turn as failed; what was streamed is paid. A bound that is reached ends it with
    what there is, and says so. Switched off, it ends at once. Whoever cancels `scope` (see `time`) ends it
    himself.
    """
    _tell_so_far(turn, events)
    await _keep_frame(resources, turn)
    error: HivemindError | None = None
    switch, in_hand = resources.switch, resources.in_hand
    switch.enter(scope)
    in_hand[turn.id] = turn.epoch
    try:
        with scope:
            if turn.taken_up and not turn.steps:
                await _hold(resources, turn)
            if await _waits(resources, turn, events):
                return
    except (ProviderError, GuardRefused, BudgetExceeded, Interrupted) as failure:
        error = failure
        # A call that failed before it answered is not billed.
        turn.asked = turn.received_bytes > 0
    finally:
        switch.leave(scope)
        if in_hand.get(turn.id) == turn.epoch:
            del in_hand[turn.id]
    if scope.cancelled_caught:
        if switch.is_all_off:
            await end(resources, turn, events, "interrupted", switch.refusal())
            return
        if trio.current_time() < scope.deadline:
            return
        turn.incomplete = "seconds"
    if error is None:
        _close(turn, events)
    await end(resources, turn, events, "failed" if error else "answered", error)


async def end(
    resources: Resources, turn: Turn, events: EventLog, state: TurnState, error: HivemindError | None
) -> bool:
    """Commit the end of a turn and tell it; whether this incarnation was the one to end it.

    The message was accepted, so a database that is away is waited for as long as the agent lives.
    """
    reply = turn.reply
    detail: dict[str, object] = {"findings": summary(turn.findings), "asked": asked_of(turn)}
    if turn.incomplete is not None:
        detail["incomplete"] = turn.incomplete
    if turn.unsupported:
        detail["unsupported"] = True
    if turn.lost_micros:
        detail["lost_micros"] = turn.lost_micros
    if error is not None:
        detail |= {"error": error.code, "reason": error.message}
        if isinstance(error, Refused):
            detail.update(error.detail)

    async def commit() -> bool:
        return await journal.commit(
            resources.database,
            turn.id,
            turn.epoch,
            state,
            reply if state == "answered" or (state == "interrupted" and reply) else None,
            turn.settled(),
            error,
            detail,
            call=len(turn.steps) + 1,
            incomplete=turn.incomplete,
            calls=turn.calls if state == "answered" else (),
        )

    with resources.traces.part("commit", {}):
        done = await written(commit, turn)
    if not done:
        # Ended before, by a commit whose answer was lost, or by whoever owns the agent now.
        ended = await journal.ended_turn(resources.database, turn.id, turn.agent_id)
        if ended is not None:
            events.append(ended)
            return isinstance(ended, Reply)
        # Nobody may be told what was not committed.
        error = Interrupted("The conversation is being served elsewhere")
    else:
        abandon(resources, turn)
        _count(resources, turn, state)
    if error is not None:
        events.append(Failed(error))
    else:
        stop = "length" if turn.incomplete else turn.stop
        events.append(Reply(turn.id, turn.agent_id, reply, turn.total(), turn.incomplete, turn.calls, stop))
    return done


def abandon(resources: Resources, turn: Turn) -> None:
    """Tell the tools whose calls were under way when the turn ended that nobody waits for them any more."""
    for effect in turn.steps[-1].effects if turn.steps else ():
        if effect.state == "started":
            tool = resources.toolbox.find(turn.profile, effect.call.name)
            if tool is not None and tool.abandon is not None:
                tool.abandon(effect.id)


def _count(resources: Resources, turn: Turn, state: TurnState) -> None:
    """What operators measure of a turn that has ended here."""
    counts, used = resources.counts, turn.total()
    profile = (turn.profile.slug,)
    counts.add("hivemind_turns_total", (*profile, state))
    counts.add("hivemind_tokens_total", (*profile, "input"), used.input_tokens)
    counts.add("hivemind_tokens_total", (*profile, "output"), used.output_tokens)
    counts.add("hivemind_cost_micros_total", profile, used.cost_micros)
    counts.time("hivemind_turn_seconds", profile, monotonic() - turn.began_seconds)
    if turn.first_seconds is not None:
        counts.time("hivemind_first_token_seconds", profile, turn.first_seconds)


def _tell_so_far(turn: Turn, events: EventLog) -> None:
    """What came before: all of it, or what persons have said while the turn waited."""
    if events.events:
        _tell_meanwhile(turn, events)
        return
    events.append(Accepted(turn.id, turn.agent_id))
    for step in turn.steps:
        if step.text:
            _tell(turn, events, step.text)
        for effect in step.effects:
            events.append(ToolCalled(effect.id, effect.call.name, effect.arguments))
            if effect.outcome is not None:
                events.append(ToolEnded(effect.id, effect.call.name, effect.state, effect.outcome))


def _tell_meanwhile(turn: Turn, events: EventLog) -> None:
    told = {event.effect_id for event in events.events if isinstance(event, ToolEnded)}
    for effect in turn.steps[-1].effects if turn.steps else ():
        if effect.outcome is not None and effect.id not in told:
            events.append(ToolEnded(effect.id, effect.call.name, effect.state, effect.outcome))


async def _waits(resources: Resources, turn: Turn, events: EventLog) -> bool:
    """Go on until there is an answer, complete or not (false), or until it has to wait (true)."""
    bounds = turn.profile.bounds
    while True:
        if turn.halting and not (turn.steps and turn.steps[-1].under_way):
            return await _halted(resources, turn, events)
        if turn.steps:
            if turn.steps[-1].open and not await work_off(resources, turn, turn.steps[-1], events):
                return True
            if turn.halting:
                return await _halted(resources, turn, events)
            turn.next_call()
            turn.incomplete = bounds.reached(len(turn.steps), turn.total())
            if turn.incomplete is not None:
                return False
            await _hold(resources, turn)
        began_at = datetime.now(UTC)
        wanted = await _ask(resources, turn, events)
        if not wanted:
            return False
        given = turn.given
        if given is not None and all(given.offers(call.name) for call in wanted):
            turn.calls = await _handed_over(resources, turn, given, wanted)
            return False
        made = [effect.call for step in turn.steps for effect in step.effects]
        if bounds.repeats(made, wanted):
            turn.incomplete = "same_call"
            return False
        await intend(resources, turn, wanted, began_at, events)


async def _halted(resources: Resources, turn: Turn, events: EventLog) -> bool:
    """Wait between two steps: nothing is under way."""
    await owned(lambda: steps.park(resources.database, turn.id, turn.epoch, (), 0), turn)
    events.append(Waiting(()))
    return True


# -- the model


async def _keep_frame(resources: Resources, turn: Turn) -> None:
    """Once for a process and a profile, a row; a turn that cannot be run again is better than none."""
    tools = turn.base.tools
    if turn.given is not None:
        tools = tools[: len(tools) - len(turn.given.tools)]
    frame = Frame.of(turn.profile, tools, resources.context_tokens)
    try:
        turn.frame = await resources.frames.keep(resources.database, frame)
    except DatabaseUnavailable:
        log.warning("the database is away: turn %s cannot be replayed", turn.id)


async def _ask(resources: Resources, turn: Turn, events: EventLog) -> list[ToolCall]:
    """One call to the model, streamed through the hold-back window; the calls of tools that it wants."""
    window, seconds = resources.guards.window(), resources.guard_seconds
    wanted: list[ToolCall] = []
    await resources.switch.known()
    turn.asked = True
    part = resources.traces.part(
        f"chat {turn.request.model}", spans.chat_facts(turn, resources.calls.name), calls_out=True
    )
    with part:
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
                        wanted.append(event)
                    elif isinstance(event, Stop):
                        turn.stop = event.reason
        _release(turn, events, await gate.passed(seconds, 0, window.finish))
        part.note(spans.chat_came_to(turn, len(wanted)))
    turn.findings += window.findings
    if wanted and not turn.request.tools:
        raise ProviderError(f"The model called {wanted[0].name}, which it was not offered")
    return wanted


async def _handed_over(
    resources: Resources, turn: Turn, given: Given, calls: Sequence[ToolCall]
) -> tuple[ToolCall, ...]:
    """Calls that the client makes, as it may read them."""
    seconds, check = resources.guard_seconds, resources.guards.check_output
    sent = Sent.of(turn.text, given)
    return tuple(
        [await gate.passed(seconds, len(call.arguments), handed_over, call, sent, check) for call in calls]
    )


def _release(turn: Turn, events: EventLog, text: str) -> None:
    if text:
        if turn.first_seconds is None:
            turn.first_seconds = monotonic() - turn.began_seconds
        if turn.steps and len(turn.released) == turn.step_began and turn.released:
            text = _PARAGRAPH + text
        turn.released.append(text)
        _tell(turn, events, text)


def _tell(turn: Turn, events: EventLog, text: str) -> None:
    """Give a piece of the answer to who listens, unless the answer has to be seen whole first."""
    if not turn.profile.documents_only:
        events.append(Delta(text))


def _say(turn: Turn, events: EventLog, text: str) -> None:
    """Add a sentence of ours to the answer."""
    text = _PARAGRAPH + text if turn.released else text
    turn.released.append(text)
    _tell(turn, events, text)


def _close(turn: Turn, events: EventLog) -> None:
    """What is still to be said or held back when the model has spoken."""
    if turn.incomplete is not None:
        _say(turn, events, turn.profile.bounds.told(turn.incomplete))
    if turn.profile.documents_only:
        _stand(turn, events)


def _stand(turn: Turn, events: EventLog) -> None:
    """Let an answer go out where passages that were found support it; else say that none do.

    To small talk the answer is ours: what the model said to it may claim anything.
    """
    if turn.calls:
        # Not an answer yet: what is said beside the calls is nothing that a document could support.
        turn.released.clear()
        return
    effects = [effect for step in turn.steps for effect in step.effects]
    shown = [effect.outcome or "" for effect in effects if effect.call.name == KNOWLEDGE_SEARCH]
    instead = refusal(turn.reply, shown)
    if instead is not None:
        greeting = reply_to(turn.text)
        turn.unsupported = greeting is None
        turn.released[:] = [greeting or instead]
    events.append(Delta(turn.reply))


async def _hold(resources: Resources, turn: Turn) -> None:
    """Hold what the turn has cost so far and the worst case of the call to come, in every cap.

    Raises:
        BudgetExceeded: a cap does not cover it.
    """
    if turn.price.free:
        return
    so_far = sum(step.usage.cost_micros for step in turn.steps)
    total = so_far + turn.lost_micros + worst_case_micros(turn.price, turn.request)

    async def held() -> bool:
        return await hold(resources.database, turn.id, turn.epoch, total, resources.lease_seconds)

    await owned(held, turn)

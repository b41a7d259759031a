"""The calls of tools that a step asks for: written down, made, guarded and written down again.

So after a crash nothing is done twice and nothing is forgotten. What a person has to allow first waits for a
person, and so does what may or may not have happened.
"""

from collections.abc import Sequence
from datetime import datetime

import trio
from uuid_utils.compat import uuid7

from hivemind.agents import gate, spans, steps
from hivemind.agents.events import EventLog, ToolCalled, ToolEnded, Waiting
from hivemind.agents.gate import summary
from hivemind.agents.given import WITHHELD
from hivemind.agents.steps import Effect, Step
from hivemind.agents.switch import Setting, Stage
from hivemind.agents.tools import arguments
from hivemind.agents.tools.tool import Call, Outcome, Tool
from hivemind.agents.turn import Resources, Turn, asked_of
from hivemind.agents.writing import owned
from hivemind.providers import ToolCall

_CALLS_AT_ONCE = 8
# Of a client's tool that was called beside one of ours: the client takes no results of ours along when it
# goes to make the call, so ours come first.
_NOT_YET = (
    "Not called yet: whoever asks runs this tool, and it cannot run beside the others. "
    "If you still want it now that they have answered, call it by itself."
)


async def intend(
    resources: Resources, turn: Turn, wanted: Sequence[ToolCall], began_at: datetime, events: EventLog
) -> None:
    """Write the step down: what the model said, and each call before it is made."""
    profile = turn.profile
    effects = [_intent(resources, turn, call) for call in wanted]
    step = Step(len(turn.steps) + 1, turn.request.model, turn.step_text, turn.settled(), effects)

    async def recorded() -> bool:
        return await steps.record(
            resources.database,
            turn.id,
            turn.epoch,
            step,
            detail={"findings": summary(turn.findings), "asked": asked_of(turn)},
            began_at=began_at,
            approval_seconds=profile.approval_seconds,
            on_deadline=profile.on_approval_deadline,
        )

    await owned(recorded, turn)
    turn.steps.append(step)
    turn.findings, turn.lost_micros = (), 0
    for effect in effects:
        events.append(ToolCalled(effect.id, effect.call.name, effect.arguments))
        if effect.outcome is not None:
            events.append(ToolEnded(effect.id, effect.call.name, effect.state, effect.outcome))


def _intent(resources: Resources, turn: Turn, call: ToolCall) -> Effect:
    """What becomes of a call that the model wants, before anything is done."""
    effect = Effect(uuid7(), call, {}, "started")
    if turn.given is not None and turn.given.offers(call.name):
        effect.state, effect.outcome = "failed", _NOT_YET
        return effect
    tool = resources.toolbox.find(turn.profile, call.name)
    if tool is None:
        effect.state, effect.outcome = "failed", f"There is no tool named {call.name!r}."
        return effect
    parsed = arguments.parse(tool, call.arguments)
    if isinstance(parsed, str):
        effect.state, effect.outcome = "failed", parsed
        return effect
    effect.arguments = parsed
    policy = resources.toolbox.policy(turn.profile, call.name)
    if off := _switched_off(tool, resources.switch.setting):
        effect.state, effect.outcome = "failed", off
    elif policy == "deny":
        effect.state, effect.outcome = "denied", "This agent may not use this tool."
    elif policy == "ask":
        effect.state = "waiting"
    elif turn.halting:
        effect.state = "approved"  # made when the turn goes on, if it does
    return effect


async def work_off(resources: Resources, turn: Turn, step: Step, events: EventLog) -> bool:
    """Make the calls of a step that may be made; whether all of them have an outcome now."""
    allowed = [effect for effect in step.effects if effect.state == "approved"]
    if allowed:
        await owned(lambda: steps.start(resources.database, turn.id, turn.epoch, allowed), turn)
        for effect in allowed:
            effect.state, effect.ours = "started", True
    started = [effect for effect in step.effects if effect.state == "started"]
    ready = [effect for effect in started if effect.ours or _repeatable(resources, turn, effect)]
    limit = trio.CapacityLimiter(_CALLS_AT_ONCE)
    if len(ready) == 1:
        await _make(resources, turn, ready[0], events, limit)
    elif ready:
        async with trio.open_nursery() as nursery:
            for effect in ready:
                nursery.start_soon(_make, resources, turn, effect, events, limit)
    if not step.open:
        return True
    doubts = [effect for effect in step.effects if effect.state == "started"]
    seconds = turn.profile.approval_seconds
    await owned(lambda: steps.park(resources.database, turn.id, turn.epoch, doubts, seconds), turn)
    events.append(Waiting(tuple(effect.id for effect in step.effects if effect.open)))
    return False


def _repeatable(resources: Resources, turn: Turn, effect: Effect) -> bool:
    """Whether a call that another incarnation began may be made again without asking."""
    tool = resources.toolbox.find(turn.profile, effect.call.name)
    return tool is not None and tool.repeatable


async def _make(
    resources: Resources, turn: Turn, effect: Effect, events: EventLog, limit: trio.CapacityLimiter
) -> None:
    """Make one call and write down what came of it."""
    tool = resources.toolbox.find(turn.profile, effect.call.name)
    async with limit:
        with resources.traces.part(f"execute_tool {effect.call.name}", spans.tool_facts(effect)) as part:
            outcome = (
                await _run(resources, tool, turn, effect)
                if tool
                else Outcome("The tool is no longer there.", failed=True)
            )
            if outcome.failed:
                part.note({"error.type": "unknown_outcome" if outcome.unknown else "failed"})
    text, detail = await _guarded(resources, turn, tool, outcome)
    if outcome.unknown and tool is not None and not tool.repeatable:
        # As if the process had died in it: a person is asked, with what is known.
        effect.ours, effect.known = False, text
        return
    effect.state, effect.outcome = ("failed" if outcome.failed else "done"), text
    await owned(lambda: steps.finish(resources.database, turn.id, turn.epoch, effect, detail), turn)
    events.append(ToolEnded(effect.id, effect.call.name, effect.state, text))


async def _run(resources: Resources, tool: Tool, turn: Turn, effect: Effect) -> Outcome:
    if off := _switched_off(tool, await resources.switch.known()):
        return Outcome(off, failed=True)
    call = Call(effect.id, turn.id, turn.agent_id, turn.profile.id, turn.caller, effect.arguments)
    with trio.move_on_after(tool.timeout_seconds):
        return await tool.run(call)
    late = f"No answer within {tool.timeout_seconds:g} s; it may have taken effect all the same."
    return Outcome(late, failed=True, unknown=True)


def _switched_off(tool: Tool, setting: Setting | None) -> str | None:
    """Why a call may not be made; a setting that nobody knows is waited for before it is."""
    if not tool.outbound or setting is None or setting.stage < Stage.TOOLS:
        return None
    return f"Not done, an operator has switched this off ({setting})."


async def _guarded(
    resources: Resources, turn: Turn, tool: Tool | None, outcome: Outcome
) -> tuple[str, dict[str, object]]:
    """The outcome as the model may read it: cut, scrubbed, and withheld where it gives orders."""
    text = outcome.text
    most = tool.max_result_chars if tool else len(text)
    if len(text) > most:
        text = f"{text[:most]}\n[Cut: {len(text) - most} more characters]"
    threshold = turn.profile.injection_threshold
    guards = resources.guards
    size = gate.size(guards, text)
    verdict = await gate.passed(resources.guard_seconds, size, guards.check_input, text, threshold)
    detail: dict[str, object] = {
        "tool": tool.name if tool else None,
        "score": round(verdict.score, 3),
        "findings": summary(verdict.findings),
    }
    if verdict.refused:
        return WITHHELD, {**detail, "withheld": True}
    return verdict.text, detail

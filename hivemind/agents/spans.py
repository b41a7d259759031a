"""What a trace says of a turn and its parts, by the conventions of OpenTelemetry for generative AI.

Never what somebody said: names, ids, numbers.
https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from hivemind.agents.events import EventLog, Failed, Reply, Waiting
from hivemind.agents.steps import Effect
from hivemind.agents.turn import Turn
from hivemind.traces import Fact


def turn_facts(turn: Turn) -> dict[str, Fact]:
    """Who answers whom."""
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": turn.profile.slug,
        "gen_ai.agent.id": str(turn.agent_id),
        "gen_ai.conversation.id": str(turn.agent_id),
        "hivemind.turn.id": str(turn.id),
        "hivemind.turn.epoch": turn.epoch,
    }


def came_to(turn: Turn, events: EventLog) -> dict[str, Fact]:
    """How the work on it ended, and what the turn has used by then."""
    used = turn.total()
    facts: dict[str, Fact] = {
        "gen_ai.usage.input_tokens": used.input_tokens,
        "gen_ai.usage.output_tokens": used.output_tokens,
        "hivemind.cost_micros": used.cost_micros,
        "hivemind.steps": len(turn.steps),
        "hivemind.findings": len(turn.findings),
    }
    last = events.events[-1] if events.events else None
    match last:
        case Reply():
            facts["hivemind.turn.state"] = "answered"
            if last.incomplete is not None:
                facts["hivemind.turn.incomplete"] = last.incomplete
        case Failed():
            facts |= {"hivemind.turn.state": "failed", "error.type": last.error.code}
        case Waiting():
            facts["hivemind.turn.state"] = "waiting"
    return facts


def chat_facts(turn: Turn, provider: str) -> dict[str, Fact]:
    """A call to the model."""
    request = turn.request
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": request.model,
        "gen_ai.request.max_tokens": request.max_output_tokens,
        "hivemind.step": len(turn.steps) + 1,
    }


def chat_came_to(turn: Turn, calls: int) -> dict[str, Fact]:
    """What it was used for, and how it stopped."""
    used = turn.settled()
    return {
        "gen_ai.usage.input_tokens": used.input_tokens,
        "gen_ai.usage.output_tokens": used.output_tokens,
        "hivemind.cost_micros": used.cost_micros,
        "hivemind.tool_calls": calls,
        "hivemind.stop": turn.stop,
    }


def tool_facts(effect: Effect) -> dict[str, Fact]:
    """A call of a tool; its id is also its idempotency key."""
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": effect.call.name,
        "gen_ai.tool.call.id": str(effect.id),
    }

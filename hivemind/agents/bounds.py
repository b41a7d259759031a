"""How far a turn may go before it has to stop with what it has: decisions, no clock and no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hivemind.agents.events import Usage
from hivemind.providers import ToolCall

Bound = Literal["steps", "seconds", "tokens", "cost", "same_call"]

_WORDS: dict[Bound, str] = {
    "steps": "the limit of {0.max_steps} steps was reached",
    "seconds": "the limit of {0.max_turn_seconds} seconds was reached",
    "tokens": "the limit of {0.max_turn_tokens} tokens was reached",
    "cost": "the cost limit of this turn was reached",
    "same_call": "the same call was made more than {0.max_same_calls} times",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of one turn of a profile; None is none."""

    max_steps: int = 16
    max_turn_seconds: int = 600
    max_turn_tokens: int | None = None
    max_turn_micros: int | None = None
    max_same_calls: int = 3

    def reached(self, steps: int, used: Usage) -> Bound | None:
        """The bound that forbids another call to the model after so many."""
        if steps >= self.max_steps:
            return "steps"
        if (
            self.max_turn_tokens is not None
            and used.input_tokens + used.output_tokens >= self.max_turn_tokens
        ):
            return "tokens"
        if self.max_turn_micros is not None and used.cost_micros >= self.max_turn_micros:
            return "cost"
        return None

    def repeats(self, made: Iterable[ToolCall], wanted: Iterable[ToolCall]) -> bool:
        """Whether a call is wanted that was made as often as it may be, name and arguments alike."""
        earlier = [(call.name, call.arguments) for call in made]
        return any(earlier.count((call.name, call.arguments)) >= self.max_same_calls for call in wanted)

    def told(self, bound: Bound) -> str:
        """What a person reads at the end of an answer that was cut short."""
        return f"[Incomplete: {_WORDS[bound].format(self)} before the work was done.]"

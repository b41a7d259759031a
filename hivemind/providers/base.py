"""The contract between a turn and whatever model answers it.

One request in, a stream of events out. Nothing here knows a wire format, a retry or a clock: the formats
are one module each, the rest is `calls`.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["user", "assistant", "tool"]
StopReason = Literal["end", "length", "tool", "refused"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model's wish to call a tool; `arguments` is the JSON text that the model wrote, unchecked."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that the model may call; `parameters` is a JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ProviderMessage:
    """One message of the history; a `tool` message answers the call named by `tool_call_id`."""

    role: Role
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """Everything that a model needs for one answer; `model` empty means the provider's default.

    `tool_choice` is `required`, `none`, the name of one of the tools, or None where the model chooses. `stop`
    are texts that end the answer and are no part of it.
    """

    model: str
    system: str
    messages: tuple[ProviderMessage, ...]
    max_output_tokens: int
    temperature: float | None = None
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What the call cost in tokens; `estimated` when the server did not say.

    `input_tokens` are all that were read, from a cache or not. What costs more than its count, as writing a
    cache does, counts as the tokens that cost as much: a cost by these figures is never too low.
    """

    input_tokens: int
    output_tokens: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the model stopped."""

    reason: StopReason


ProviderEvent = TextDelta | ToolCall | Usage | Stop


class Provider(Protocol):
    """A model behind some wire format.

    A good stream is any number of `TextDelta` and `ToolCall`, then exactly one `Stop`, then exactly one
    `Usage`; an answer that ends in any other way raises one of `errors.Provider*`. Events come in groups, as
    they came over the wire, and no group is empty: waiting and its limits cost by the group.
    """

    @property
    def name(self) -> str:
        """The name as in `HIVEMIND_LLM_PROVIDER`."""

    @property
    def default_model(self) -> str:
        """The model that answers when a request names none."""

    def stream(self, request: ProviderRequest) -> AsyncGenerator[Sequence[ProviderEvent], None]:
        """Ask for one answer; closing the iterator ends the call and its connection."""

    def check(self) -> None:
        """Raise what every call would raise as the provider is configured; nothing is asked."""

    async def ping(self) -> None:
        """Return when the provider would take a call; raise what a call would raise."""

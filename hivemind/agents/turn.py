"""A turn: what it is made with, what it asks the model, and what it has come to so far.

Accepting one is `admission`, answering it `loop`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from uuid import UUID

from uuid_utils.compat import uuid7

from hivemind.agents.bounds import Bound
from hivemind.agents.events import Usage
from hivemind.agents.given import Given
from hivemind.agents.profile import Profile, Profiles
from hivemind.agents.recording import Frames, digest
from hivemind.agents.steps import Step
from hivemind.agents.switch import Switch
from hivemind.agents.tools.toolbox import Toolbox
from hivemind.budgets import Price, Prices
from hivemind.guards import Finding, Guards
from hivemind.knowledge import PROMPT as DOCUMENTS_ONLY
from hivemind.metrics import Counts
from hivemind.persistence import Database
from hivemind.providers import Calls, ProviderMessage, ProviderRequest, StopReason, ToolCall, ToolSpec
from hivemind.providers import Usage as ProviderUsage
from hivemind.traces import OFF, Traces

# A cautious guess for text without its tokenizer, and the room that the request's frame takes.
_BYTES_PER_TOKEN = 3
_FRAME_TOKENS = 64
NOTHING_USED = Usage(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Resources:
    """What turns are made with; one for the whole process.

    `context_tokens` is the model's window, or None where the provider's is larger than any history. `in_hand`
    are the turns that this process, the server `server`, works on at the moment, each with its epoch;
    `max_attempts` is how often a turn may be cut off in one place.
    """

    database: Database
    guards: Guards
    calls: Calls
    prices: Prices
    profiles: Profiles
    toolbox: Toolbox
    lease_seconds: float
    guard_seconds: float
    context_tokens: int | None = None
    switch: Switch = field(default_factory=Switch.left_on)
    frames: Frames = field(default_factory=Frames)
    counts: Counts = field(default_factory=Counts)
    traces: Traces = OFF
    server: UUID = field(default_factory=uuid7)
    in_hand: dict[UUID, int] = field(default_factory=dict)
    max_attempts: int = 3


@dataclass(slots=True)
class Turn:
    """A turn that was admitted: who it is for, its request and price, and what was released of its answer.

    `request` is what the model is asked now; `base` what it was asked first. `asked` says that a provider has
    the prompt, and is paid for it and for what it streamed. `taken_up` says that a former incarnation
    admitted the turn: what it held may have been given back, and `lost_micros` is what its calls cost at
    most, which nobody can say any more. `calls` are those that end the turn because the client makes them.
    `unsupported` says that an answer was withheld because no document supports it, `halting` that nothing
    more is to be begun. `frame` names what its requests are made with, where that could be kept.
    """

    id: UUID
    agent_id: UUID
    epoch: int
    profile: Profile
    caller: str
    text: str
    base: ProviderRequest
    price: Price
    taken_up: bool = False
    lost_micros: int = 0
    given: Given | None = None
    steps: list[Step] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    usage: ProviderUsage | None = None
    findings: tuple[Finding, ...] = ()
    incomplete: Bound | None = None
    halting: bool = False
    calls: tuple[ToolCall, ...] = ()
    stop: StopReason = "end"
    unsupported: bool = False
    frame: str | None = None
    asked: bool = False
    received_bytes: int = 0
    began_seconds: float = field(default_factory=monotonic)
    first_seconds: float | None = None
    request: ProviderRequest = field(init=False)
    step_began: int = field(init=False)

    def __post_init__(self) -> None:
        for step in self.steps:
            if step.text:
                self.released.append(step.text)
        self.next_call()

    def next_call(self) -> None:
        """Ask the model again, with what the steps so far have come to."""
        if self.steps:
            told = [message for step in self.steps for message in step.messages()]
            # A call that had to be made has been made.
            self.request = replace(self.base, messages=(*self.base.messages, *told), tool_choice=None)
        else:
            self.request = self.base
        self.usage, self.asked, self.received_bytes = None, False, 0
        self.step_began = len(self.released)

    @property
    def reply(self) -> str:
        """The answer so far, as it was released."""
        return "".join(self.released)

    @property
    def step_text(self) -> str:
        """What was released of the answer to the call that is under way."""
        return "".join(self.released[self.step_began :])

    def settled(self) -> Usage:
        """What is to be booked for the call under way: the provider's word, or a guess at what was cut."""
        used = self.usage
        if used is None and not self.asked:
            return Usage(0, 0, self.lost_micros)
        if used is None:
            asked = sum(len(text.encode()) for text in texts(self.request))
            read, written = asked // _BYTES_PER_TOKEN + 1, self.received_bytes // _BYTES_PER_TOKEN + 1
            used = ProviderUsage(read, written, estimated=True)
        cost = self.price.cost_micros(used.input_tokens, used.output_tokens)
        return Usage(used.input_tokens, used.output_tokens, cost + self.lost_micros)

    def total(self) -> Usage:
        """What the turn has used in all."""
        used = self.settled()
        for step in self.steps:
            used = used + step.usage
        return used


def compose(
    profile: Profile,
    model: str,
    history: Sequence[ProviderMessage],
    text: str,
    context_tokens: int | None,
    tools: tuple[ToolSpec, ...] = (),
    given: Given | None = None,
) -> ProviderRequest:
    """The request for an answer to `text`, with as much of the newest history as profile and model take.

    What the client gave along comes beside what is the profile's: it may ask for a shorter answer, not for a
    longer one.
    """
    system = f"{profile.prompt}\n\n{DOCUMENTS_ONLY}" if profile.documents_only else profile.prompt
    most = profile.max_output_tokens
    after: tuple[ProviderMessage, ...] = ()
    if given is not None:
        system = "\n\n".join(part for part in (system, given.instructions) if part)
        most = min(most, given.max_output_tokens or most)
        history, after, tools = given.before, given.after, (*tools, *given.tools)
    kept = list(history[-profile.history_messages :]) if profile.history_messages else []
    if context_tokens is not None:
        room = (context_tokens - most - _FRAME_TOKENS) * _BYTES_PER_TOKEN
        room -= len(system.encode()) + len(text.encode()) + sum(len(m.text.encode()) for m in after)
        while kept and sum(len(message.text.encode()) for message in kept) > room:
            kept.pop(0)
    while kept and kept[0].role != "user":
        kept.pop(0)
    messages = (*kept, ProviderMessage("user", text), *after)
    request = ProviderRequest(model, system, messages, most, tools=tools)
    if given is None:
        return request
    return replace(request, temperature=given.temperature, tool_choice=given.tool_choice, stop=given.stop)


def texts(request: ProviderRequest) -> tuple[str, ...]:
    """Everything of a request that the model reads."""
    calls = (call for message in request.messages for call in message.tool_calls)
    return (
        request.system,
        *(message.text for message in request.messages),
        *(call.name + call.arguments for call in calls),
        *(f"{tool.name}{tool.description}{json.dumps(tool.parameters)}" for tool in request.tools),
    )


def worst_case_micros(price: Price, request: ProviderRequest) -> int:
    """What the call can cost at most."""
    return price.worst_case_micros(texts(request), request.max_output_tokens)


def asked_of(turn: Turn) -> dict[str, object]:
    """What is kept of the call under way."""
    return {"frame": turn.frame, "request": digest(turn.request)}

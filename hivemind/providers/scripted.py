"""A model that plays a recording: for tests, simulations and demonstrations without a provider.

A recording is a list of answers, each a list of steps. The first answer whose `when` is in the last user
message is played; several with the same `when` take turns. In a file it is JSON:

    [{"when": "weather", "steps": [{"text": "Let me look."}, {"tool": {"name": "weather", "arguments": {}}}]},
     {"steps": [{"pause_seconds": 0.1}, {"text": "Hello. "}, {"text": "How can I help?"}]},
     {"when": "boom", "steps": [{"text": "It "}, {"fail": "cut"}]}]
"""

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

import orjson
import trio
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hivemind.errors import ConfigError
from hivemind.providers.base import ProviderEvent, ProviderRequest, Stop, TextDelta, ToolCall, Usage
from hivemind.providers.dialect import estimate_input, estimate_tokens
from hivemind.providers.failures import CallFailed, FailureKind

_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing happens for a while."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Fail:
    """The call fails here."""

    kind: FailureKind
    status: int | None = None
    retry_after_seconds: float | None = None


Step = ProviderEvent | Pause | Fail


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said when the last user message contains `when`."""

    steps: tuple[Step, ...]
    when: str = ""


DEMO = (Answer((TextDelta("This is a recording. "), TextDelta("Connect a model to converse."))),)


@dataclass(slots=True)
class Scripted:
    """Plays its answers; remembers the latest requests for tests to look at.

    A `Stop` and a `Usage` that the recording leaves out are added, so that every answer ends as a good one.
    """

    answers: Sequence[Answer] = DEMO
    name: str = "scripted"
    default_model: str = "scripted"
    requests: deque[ProviderRequest] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _played: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a recording; raise `ConfigError` for one that cannot be played."""
        try:
            recorded = _ANSWERS.validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ConfigError(f"the recording {path} cannot be read: {error}") from error
        return cls([Answer(tuple(_step(step) for step in answer.steps), answer.when) for answer in recorded])

    async def stream(self, request: ProviderRequest) -> AsyncGenerator[Sequence[ProviderEvent], None]:
        """Play the next fitting answer."""
        self.requests.append(request)
        said: list[str] = []
        stop: Stop | None = None
        usage: Usage | None = None
        called = False
        for step in self._choose(request).steps:
            await trio.lowlevel.checkpoint()
            match step:
                case Pause(seconds):
                    await trio.sleep(seconds)
                case Fail(kind, status, retry_after_seconds):
                    raise CallFailed(
                        kind, "as recorded", status=status, retry_after_seconds=retry_after_seconds
                    )
                case Stop():
                    stop = step
                case Usage():
                    usage = step
                case TextDelta(text):
                    said.append(text)
                    yield (step,)
                case ToolCall(_, name, arguments):
                    called = True
                    said.append(name + arguments)
                    yield (step,)
        usage = usage or Usage(estimate_input(request), estimate_tokens(said), estimated=True)
        yield stop or Stop("tool" if called else "end"), usage

    def check(self) -> None:
        """A recording needs nothing."""

    async def ping(self) -> None:
        """A recording is always there."""
        await trio.lowlevel.checkpoint()

    def _choose(self, request: ProviderRequest) -> Answer:
        last = next((m.text for m in reversed(request.messages) if m.role == "user"), "")
        first = next((answer for answer in self.answers if answer.when in last), None)
        if first is None:
            raise CallFailed("status", "the recording has no answer to this", status=404)
        turn = self._played.get(first.when, 0)
        self._played[first.when] = turn + 1
        same = [answer for answer in self.answers if answer.when == first.when]
        return same[turn % len(same)]


class _Tool(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    arguments: dict[str, object] = {}
    id: str = "call_0"


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: Annotated[str, Field(min_length=1)] | None = None
    tool: _Tool | None = None
    pause_seconds: Annotated[float, Field(ge=0)] | None = None
    fail: FailureKind | None = None
    status: int | None = None
    retry_after_seconds: float | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: list[_Step]
    when: str = ""


_ANSWERS = TypeAdapter(Annotated[list[_Answer], Field(min_length=1)])


def _step(step: _Step) -> Step:
    if step.text is not None:
        return TextDelta(step.text)
    if step.tool is not None:
        return ToolCall(step.tool.id, step.tool.name, orjson.dumps(step.tool.arguments).decode())
    if step.fail is not None:
        return Fail(step.fail, step.status, step.retry_after_seconds)
    return Pause(step.pause_seconds or 0)

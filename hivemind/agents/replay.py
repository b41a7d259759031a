"""A turn is run again from its recording: the same loop, with recorded calls in place of models and tools.

Nothing is written and nothing leaves the process: a call that is not in the recording ends the replay.
Going on from a step with another prompt or model is `fork`.
"""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import unified_diff
from typing import Any, cast
from uuid import UUID

import orjson
import trio

from hivemind.agents import gate, journal, loop, steps
from hivemind.agents.events import EventLog, Failed, Usage
from hivemind.agents.given import Given, calls_of
from hivemind.agents.profile import Profile, Profiles
from hivemind.agents.recording import Frame, digest
from hivemind.agents.steps import Effect, Step
from hivemind.agents.tools.tool import Call, Outcome, Tool
from hivemind.agents.tools.toolbox import Toolbox
from hivemind.agents.turn import Resources, Turn, compose
from hivemind.budgets import Price, Prices
from hivemind.errors import Conflict, NotFound
from hivemind.guards import Guards
from hivemind.persistence import Database, Row, load_queries
from hivemind.providers import (
    Calls,
    ProviderEvent,
    ProviderMessage,
    ProviderRequest,
    Stop,
    TextDelta,
    ToolCall,
    ToolSpec,
)
from hivemind.providers import Usage as ProviderUsage
from hivemind.providers.patience import Patience

_QUERIES = load_queries("hivemind.agents", "replay.sql")
_ANY_LENGTH = 1 << 30
_GUARD_SECONDS = 60.0
_PARAGRAPH = "\n\n"
_OURS = re.compile(r"(?:\A|\n\n)\[Incomplete: [^\n]*\]\Z")
_NO_CALL = ("steps", "tokens", "cost")


class Unrecorded(Exception):
    """A call was made that is not in the recording: which one, and how it differs."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one call to the model came to, as it was recorded; times are None where they were not."""

    number: int
    text: str
    calls: tuple[ToolCall, ...]
    usage: Usage
    frame: str | None
    request: str | None
    began_at: datetime | None
    ended_at: datetime | None
    findings: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Recording:
    """A turn that has ended, with everything that it was made of."""

    turn_id: UUID
    agent_id: UUID
    profile: Profile
    caller: str
    state: str
    model: str
    text: str
    reply: str | None
    incomplete: str | None
    error_code: str | None
    error_message: str | None
    given: Given | None
    frame: Frame
    history: tuple[ProviderMessage, ...]
    steps: list[Step]
    said: list[Said]
    last_calls: tuple[ToolCall, ...]
    details: Mapping[UUID, Mapping[str, Any]] = field(default_factory=dict)

    def request(self) -> ProviderRequest:
        """What the model was asked first."""
        return compose(
            self.frame.dressed(self.profile),
            self.model,
            self.history,
            self.text,
            self.frame.context_tokens,
            self.frame.tools,
            self.given,
        )


async def load(database: Database, profiles: Profiles, turn_id: UUID) -> Recording:
    """Read a turn.

    Raises:
        NotFound: there is no such turn, or it was erased, or made before turns were recorded.
        Conflict: it has not ended.
    """
    row = await database.fetch_one(_QUERIES["turn"], (turn_id,), repeatable=True)
    if row is None:
        raise NotFound("There is no such turn, or what was said in it has been erased")
    if row["state"] == "admitted":
        raise Conflict("The turn has not ended", remedy="wait for its answer, or interrupt it")
    done = await steps.load(database, turn_id)
    said = [_said(told) for told in await database.fetch_all(_QUERIES["steps"], (turn_id,), repeatable=True)]
    for number, step in enumerate(done):
        said[number] = replace(
            said[number], text=step.text, calls=tuple(e.call for e in step.effects), usage=step.usage
        )
    last = await _last(database, row, done, said)
    asked = [call.frame for call in (*said, *([last] if last else [])) if call.frame]
    kept = await database.fetch_one(_QUERIES["frame"], (asked[0],), repeatable=True) if asked else None
    if kept is None:
        raise NotFound("The turn was not recorded: it ended before it had asked the model, or is too old")
    frame = Frame.read(kept["frame"])
    history = await database.fetch_all(
        _QUERIES["history"], (row["agent_id"], row["message"], frame.history_messages), repeatable=True
    )
    return Recording(
        turn_id,
        row["agent_id"],
        await profiles.by_id(row["profile_id"]),
        row["caller"],
        row["state"],
        row["model"],
        row["text"],
        row["reply"],
        row["incomplete"],
        row["error_code"],
        row["error_message"],
        Given.of(row["given"]) if row["given"] is not None else None,
        frame,
        tuple(ProviderMessage(told["role"], told["text"]) for told in history),
        done,
        [*said, *([last] if last else [])],
        calls_of(row["calls"] or []),
    )


def _said(row: Row) -> Said:
    asked = row["detail"].get("asked") or {}
    return Said(
        row["step"],
        "",
        (),
        Usage(0, 0, 0),
        asked.get("frame"),
        asked.get("request"),
        row["began_at"],
        row["ended_at"],
        row["detail"].get("findings", ()),
    )


async def _last(database: Database, row: Row, done: Sequence[Step], said: Sequence[Said]) -> Said | None:
    """The call that ended the turn; None where a bound came before it."""
    if row["incomplete"] in _NO_CALL:
        return None
    number = len(done) + 1
    cost = await database.fetch_one(_QUERIES["last_cost"], (row["id"], number), repeatable=True)
    used = Usage(cost["input_tokens"], cost["output_tokens"], cost["cost_micros"]) if cost else Usage(0, 0, 0)
    text = _OURS.sub("", row["reply"] or "") if row["incomplete"] else row["reply"] or ""
    before = "".join(step.text for step in done)
    calls = calls_of(row["calls"] or [])
    if row["incomplete"] == "same_call" and done:
        made = [effect.call for step in done for effect in step.effects]
        calls = (
            max(
                made, key=lambda call: sum((c.name, c.arguments) == (call.name, call.arguments) for c in made)
            ),
        )
    asked = row["asked"] or {}
    began = said[-1].ended_at if said else row["admitted_at"]
    text = text.removeprefix(before)
    return Said(number, text, calls, used, asked.get("frame"), asked.get("request"), began, row["ended_at"])


# -- stand-ins


class _Model:
    """Answers as recorded, and only what was recorded to be asked."""

    name = "recording"

    def __init__(self, recording: Recording) -> None:
        self.default_model = recording.model
        self.recording = recording
        self.made = 0
        self.spoken = False

    def check(self) -> None:
        """A recording needs nothing."""

    async def ping(self) -> None:
        """A recording is always there."""
        await trio.lowlevel.checkpoint()

    async def stream(self, request: ProviderRequest) -> AsyncGenerator[Sequence[ProviderEvent], None]:
        """The recorded answer to this request."""
        await trio.lowlevel.checkpoint()
        recording, self.made = self.recording, self.made + 1
        if self.made > len(recording.said):
            raise Unrecorded(
                f"Call {self.made} to the model is not in the recording, which has {len(recording.said)}"
            )
        said = recording.said[self.made - 1]
        told = [message for step in recording.steps[: self.made - 1] for message in step.messages()]
        base = recording.request()
        expected = replace(
            base, messages=(*base.messages, *told), tool_choice=None if told else base.tool_choice
        )
        if request != expected:
            raise Unrecorded(
                f"Call {self.made} to the model is not the recorded one: {differs(expected, request)}"
            )
        if said.request is not None and said.request != digest(request):
            raise Unrecorded(
                f"Call {self.made} to the model is not the recorded one: what is recorded makes another "
                "request today than it did then (its digest differs)"
            )
        failed = recording.state != "answered" and self.made == len(recording.said)
        if failed:
            raise journal.ending(recording.error_code, recording.error_message)
        text = said.text.removeprefix(_PARAGRAPH) if self.spoken else said.text
        if text:
            self.spoken = True
            yield (TextDelta(text),)
        if said.calls:
            yield said.calls
        used = said.usage
        yield Stop("tool" if said.calls else "end"), ProviderUsage(used.input_tokens, used.output_tokens)


class Tools:
    """The tools of a recording: each recorded call can be made once, any other not at all.

    With `anywhere`, recorded calls of any step are taken; else those of the step that the model has come to.
    """

    def __init__(
        self, recording: Recording, model: _Model | None = None, *, allow: Sequence[ToolSpec] = ()
    ) -> None:
        self._recording = recording
        self._model = model
        self._made: set[UUID] = set()
        self._tools = {
            spec.name: Tool(
                spec.name,
                spec.description,
                spec.parameters,
                self._runs(spec.name),
                repeatable=True,
                max_result_chars=_ANY_LENGTH,
                timeout_seconds=_GUARD_SECONDS,
            )
            for spec in (*recording.frame.tools, *allow)
        }

    def for_profile(self, _: object) -> tuple[Tool, ...]:
        """What was offered."""
        return tuple(self._tools.values())

    def find(self, _: object, name: str) -> Tool | None:
        """A tool that was offered."""
        return self._tools.get(name)

    def policy(self, _: object, __: str) -> str:
        """What was decided then is part of what is recorded."""
        return "allow"

    def _runs(self, name: str) -> Any:
        async def run(call: Call) -> Outcome:
            await trio.lowlevel.checkpoint()
            effect = self._find(name, call.arguments)
            if effect is None:
                raise Unrecorded(self._missing(name, call.arguments))
            self._made.add(effect.id)
            return Outcome(effect.outcome or "", failed=effect.state != "done")

        return run

    def _of_step(self) -> list[Effect]:
        done = self._recording.steps
        if self._model is not None:
            done = done[self._model.made - 1 : self._model.made]
        return [effect for step in done for effect in step.effects]

    def _find(self, name: str, arguments: Mapping[str, Any]) -> Effect | None:
        for effect in self._of_step():
            if effect.id not in self._made and effect.call.name == name and effect.arguments == arguments:
                return effect
        return None

    def _missing(self, name: str, arguments: Mapping[str, Any]) -> str:
        recorded = [
            f"{effect.call.name}({orjson.dumps(effect.arguments).decode()})"
            for effect in self._of_step()
            if effect.id not in self._made
        ]
        return (
            f"The call {name}({orjson.dumps(arguments).decode()}) is not in the recording; "
            f"left of it: {', '.join(recorded) or 'none'}"
        )


class _Paper:
    """Takes what a turn writes and keeps none of it; there is nothing to read."""

    async def fetch_one(self, _: str, __: object = (), *, repeatable: bool = False) -> Row:
        """Done, as far as the turn can tell."""
        del repeatable
        return {"done": True}

    async def execute(self, _: str, __: object = (), *, repeatable: bool = False) -> int:
        """Done, as far as the turn can tell."""
        del repeatable
        return 1


# -- running it again


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay came to; the same as then where there is no difference."""

    steps: list[dict[str, object]]
    differences: list[str]
    reply: str | None

    @property
    def same(self) -> bool:
        """Whether today's code, guards and prompt give what was recorded."""
        return not self.differences


async def replay(recording: Recording, guards: Guards) -> Replayed:
    """Run a turn again and compare.

    Raises:
        Unrecorded: it makes a call that is not in the recording.
    """
    differences = [*await _today(recording, guards)]
    model = _Model(recording)
    resources = Resources(
        cast("Database", _Paper()),
        guards,
        Calls(model, Patience(pace_seconds=0)),
        Prices({}),
        cast("Profiles", None),
        cast("Toolbox", Tools(recording, model)),
        1.0,
        _GUARD_SECONDS,
        recording.frame.context_tokens,
    )
    turn = Turn(
        recording.turn_id,
        recording.agent_id,
        0,
        recording.frame.dressed(recording.profile),
        recording.caller,
        recording.text,
        recording.request(),
        Price(0, 0),
        given=recording.given,
    )
    events = EventLog(0, turn.id)
    try:
        await loop.answer(resources, turn, events, loop.time(turn.profile))
    except BaseExceptionGroup as group:
        found = group.subgroup(Unrecorded)
        if found is None:
            raise
        raise leaf(found) from group
    last = events.events[-1]
    differences += _compared(recording, turn, last.error.code if isinstance(last, Failed) else None)
    told = list(zip(recording.said, [*turn.steps, None], strict=False))
    return Replayed([_told(said, step, recording) for said, step in told], differences, turn.reply or None)


async def _today(recording: Recording, guards: Guards) -> list[str]:
    """What today's profile and guards would make of the message, before any call."""
    profile, was = recording.profile, recording.frame
    found = []
    if profile.prompt != was.prompt:
        found.append("the prompt was changed since:\n" + diff(was.prompt, profile.prompt))
    found += [
        f"{name} was {getattr(was, name)} and is {getattr(profile, name)} today"
        for name in ("documents_only", "max_output_tokens", "history_messages")
        if getattr(profile, name) != getattr(was, name)
    ]
    threshold = profile.injection_threshold
    text = recording.text
    verdict = await gate.passed(_GUARD_SECONDS, len(text), guards.check_input, text, threshold)
    if verdict.refused and profile.on_injection == "refuse":
        found.append(f"today's guards refuse the message (score {verdict.score:.2f})")
    if verdict.text != text:
        found.append("today's guards change the message:\n" + diff(text, verdict.text))
    return found


def _compared(recording: Recording, turn: Turn, failed: str | None) -> list[str]:
    found = []
    for was, now in zip(recording.steps, turn.steps, strict=False):
        if was.text != now.text:
            found.append(f"step {was.number}: another text is released:\n" + diff(was.text, now.text))
        for before, after in zip(was.effects, now.effects, strict=False):
            if before.outcome != after.outcome:
                found.append(
                    f"step {was.number}: {before.call.name} tells the model something else:\n"
                    + diff(before.outcome or "", after.outcome or "")
                )
    if len(recording.steps) != len(turn.steps):
        found.append(f"it took {len(recording.steps)} steps with tools and takes {len(turn.steps)} today")
    if failed != recording.error_code:
        found.append(
            f"it ended with {recording.error_code or 'an answer'} and ends with {failed or 'an answer'}"
        )
    elif recording.incomplete == "seconds":
        pass  # How far it gets is the clock's business.
    elif failed is None and recording.reply is not None and recording.reply != turn.reply:
        found.append("another answer is given:\n" + diff(recording.reply, turn.reply))
    return found


def _told(said: Said, step: Step | None, recording: Recording) -> dict[str, object]:
    seconds = (said.ended_at - said.began_at).total_seconds() if said.ended_at and said.began_at else None
    return {
        "step": said.number,
        "seconds": seconds,
        "input_tokens": said.usage.input_tokens,
        "output_tokens": said.usage.output_tokens,
        "cost_micros": said.usage.cost_micros,
        "text": said.text,
        "findings": list(said.findings),
        "calls": [
            {
                "tool": effect.call.name,
                "arguments": effect.arguments,
                "state": effect.state,
                "outcome": effect.outcome,
            }
            for effect in (
                recording.steps[said.number - 1].effects if said.number <= len(recording.steps) else ()
            )
        ],
        "replayed": step is not None or said.number > len(recording.steps),
    }


def differs(expected: ProviderRequest, request: ProviderRequest) -> str:
    """How a request is not the one that was expected, in the words of a person who looks for the cause."""
    for name in ("model", "max_output_tokens", "temperature", "tool_choice", "stop"):
        was, now = getattr(expected, name), getattr(request, name)
        if was != now:
            return f"{name} was {was!r} and is {now!r}"
    if expected.system != request.system:
        return "the system prompt differs:\n" + diff(expected.system, request.system)
    if expected.tools != request.tools:
        was, now = ([tool.name for tool in tools] for tools in (expected.tools, request.tools))
        return f"the tools were {was} and are {now}" if was != now else "a tool is described differently"
    for number, (was, now) in enumerate(zip(expected.messages, request.messages, strict=False), 1):
        if was != now:
            if was.text != now.text:
                return f"message {number} ({now.role}) differs:\n" + diff(was.text, now.text)
            return f"message {number} ({now.role}) has other calls"
    return f"it had {len(expected.messages)} messages and has {len(request.messages)}"


def diff(was: str, now: str) -> str:
    """Two texts as a unified diff; empty where they are the same."""
    lines = unified_diff(was.splitlines(), now.splitlines(), "then", "today", lineterm="", n=1)
    return "\n".join(f"    {line}" for line in lines)


def leaf(group: BaseExceptionGroup[Unrecorded]) -> Unrecorded:
    """The one that is told of, where calls that ran at once were cut off with it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Unrecorded)
    return error

"""What a client that keeps its conversation itself sends along with a message: the rest of it, its own tools.

All of it passes the guards before a model sees it, as the message does: who sends a history could have made
it up. How it becomes a request is `turn.compose`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import orjson

from hivemind.agents import gate
from hivemind.agents.profile import Profile
from hivemind.errors import GuardRefused, InputTooLong, NotPermitted
from hivemind.guards import Guards, InputVerdict
from hivemind.guards.document import passed_json
from hivemind.providers import ProviderMessage, ToolCall, ToolSpec

WITHHELD = "[The result was withheld: it looks like an attempt to change your instructions.]"


@dataclass(frozen=True, slots=True)
class Given:
    """Of one request; `before` and `after` are the messages on either side of the one that is answered.

    `tools` are the client's: calls of them are handed to it and end the turn.
    """

    instructions: str = ""
    before: tuple[ProviderMessage, ...] = ()
    after: tuple[ProviderMessage, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()

    def offers(self, name: str) -> bool:
        """Whether a tool is the client's."""
        return any(tool.name == name for tool in self.tools)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """From what `transcript` stored of it."""
        return cls(
            document["instructions"],
            tuple(_message(message) for message in document["before"]),
            tuple(_message(message) for message in document["after"]),
            tuple(ToolSpec(*tool) for tool in document["tools"]),
            document["tool_choice"],
            document["max_output_tokens"],
            document["temperature"],
            tuple(document["stop"]),
        )


def calls_of(rows: list[list[str]]) -> tuple[ToolCall, ...]:
    """Calls as they are stored."""
    return tuple(ToolCall(*row) for row in rows)


def calls_as_rows(calls: tuple[ToolCall, ...]) -> list[list[str]]:
    """Calls as they are to be stored."""
    return [[call.id, call.name, call.arguments] for call in calls]


@dataclass(slots=True)
class Gate:
    """Lets through what was given, piece by piece; `findings` name the piece, for the audit log."""

    guards: Guards
    timeout_seconds: float
    profile: Profile
    findings: list[dict[str, object]] = field(default_factory=list)
    _clean: set[str] = field(default_factory=set)

    async def passed(self, given: Given) -> Given:
        """What was given as a model may read it.

        Raises:
            Refused: the profile or a guard does not let it through.
        """
        if given.instructions and self.profile.on_client_instructions == "refuse":
            raise NotPermitted("This agent takes no instructions beside its own")
        instructions = await self._said("instructions", given.instructions) if given.instructions else ""
        before = [await self._message(f"before.{n}", message) for n, message in enumerate(given.before)]
        after = [await self._message(f"after.{n}", message) for n, message in enumerate(given.after)]
        tools = [await self._tool(f"tools.{n}", tool) for n, tool in enumerate(given.tools)]
        stop = [(await self._verdict("stop", text)).text for text in given.stop]
        return replace(
            given,
            instructions=instructions,
            before=tuple(before),
            after=tuple(after),
            tools=tuple(tools),
            stop=tuple(stop),
        )

    async def _message(self, part: str, message: ProviderMessage) -> ProviderMessage:
        text = message.text
        if message.role == "tool":
            verdict = await self._verdict(part, text)
            return replace(message, text=WITHHELD if verdict.refused else verdict.text)
        text = await self._said(part, text, limited=message.role == "user") if text else ""
        calls = [
            replace(call, arguments=await self._json(part, call.arguments)) for call in message.tool_calls
        ]
        return replace(message, text=text, tool_calls=tuple(calls))

    async def _tool(self, part: str, tool: ToolSpec) -> ToolSpec:
        description = await self._said(part, tool.description, limited=False) if tool.description else ""
        written = orjson.dumps(tool.parameters).decode()
        clean = await self._json(part, written)
        parameters = tool.parameters if clean == written else orjson.loads(clean)
        return ToolSpec(tool.name, description, parameters)

    async def _json(self, part: str, text: str) -> str:
        """JSON with each of its strings scrubbed; each, and the whole, is judged as what is said is."""
        verdicts: list[InputVerdict] = []

        def check(piece: str) -> str:
            # The words of schemas, and tools that are alike, come again and again.
            if piece in self._clean:
                return piece
            verdict = self.guards.check_input(piece, self.profile.injection_threshold, classify=False)
            if verdict.findings or verdict.refused:
                verdicts.append(verdict)
            elif verdict.text == piece:
                self._clean.add(piece)
            return verdict.text

        clean = await gate.passed(self.timeout_seconds, len(text), passed_json, text, check)
        for verdict in verdicts:
            self._note(part, verdict)
            self._refuse(verdict)
        if self.guards.waits:
            await self._said(part, clean, limited=False)
        return clean

    async def _said(self, part: str, text: str, *, limited: bool = True) -> str:
        most = self.profile.max_input_chars
        if limited and len(text) > most:
            raise InputTooLong(f"The text at {part} has {len(text)} characters; this agent takes {most}")
        verdict = await self._verdict(part, text)
        self._refuse(verdict)
        return verdict.text

    async def _verdict(self, part: str, text: str) -> InputVerdict:
        threshold = self.profile.injection_threshold
        size = gate.size(self.guards, text)
        verdict = await gate.passed(self.timeout_seconds, size, self.guards.check_input, text, threshold)
        self._note(part, verdict)
        return verdict

    def _note(self, part: str, verdict: InputVerdict) -> None:
        self.findings += [{"part": part, **found} for found in gate.summary(verdict.findings)]

    def _refuse(self, verdict: InputVerdict) -> None:
        if not verdict.refused or self.profile.on_injection != "refuse":
            return
        refusal = GuardRefused("The conversation looks like an attempt to change the agent's instructions")
        refusal.detail = {"score": round(verdict.score, 3), "findings": self.findings}
        refusal.text = verdict.text
        raise refusal


def as_row(message: ProviderMessage) -> list[object]:
    """A message as it is to be stored."""
    return [message.role, message.text, calls_as_rows(message.tool_calls), message.tool_call_id]


def _message(row: list[Any]) -> ProviderMessage:
    return ProviderMessage(row[0], row[1], calls_of(row[2]), row[3])

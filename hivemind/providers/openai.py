"""Chat Completions: OpenAI, everything that calls itself compatible with it, and the local model."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from hivemind.providers.base import (
    ProviderEvent,
    ProviderMessage,
    ProviderRequest,
    Stop,
    StopReason,
    TextDelta,
    ToolCall,
    Usage,
)
from hivemind.providers.dialect import (
    error_text,
    estimate_input,
    estimate_tokens,
    fresh_ids,
    header,
    parse,
)
from hivemind.providers.failures import CallFailed
from hivemind.providers.sse import Events

_REASONS: dict[str, StopReason] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "tool",
    "function_call": "tool",
    "content_filter": "refused",
}


@dataclass(frozen=True, slots=True)
class OpenAI:
    """The dialect; `name` tells OpenAI itself from those who speak like it."""

    name: Literal["openai", "openai-compat", "local"]
    path: str = "/chat/completions"

    def headers(self, key: str | None) -> list[tuple[bytes, bytes]]:
        """A bearer token when there is a key; compatible servers often want none."""
        lines = [header("content-type", "application/json"), header("accept", "text/event-stream")]
        return [*lines, header("authorization", f"Bearer {key}")] if key else lines

    def encode(self, request: ProviderRequest) -> bytes:
        """A streamed call that ends with its usage."""
        messages: list[dict[str, object]] = []
        if request.system:
            messages.append({"role": "system", "content": request.system})
        messages.extend(_message(message) for message in request.messages)
        # OpenAI's newer models refuse the older name; most compatible servers know only the older one.
        limit = "max_completion_tokens" if self.name == "openai" else "max_tokens"
        body: dict[str, object] = {
            "model": request.model,
            "messages": messages,
            limit: request.max_output_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": t.name, "description": t.description, "parameters": t.parameters},
                }
                for t in request.tools
            ]
            if request.tool_choice is not None:
                body["tool_choice"] = _choice(request.tool_choice)
        if request.stop:
            body["stop"] = list(request.stop)
        return orjson.dumps(body)

    def reader(self, request: ProviderRequest) -> "OpenAIReader":
        """A reader for one streamed completion."""
        return OpenAIReader(request)

    def ping(self, model: str) -> tuple[bytes, str, bytes | None]:
        """OpenAI can be asked for one model; of the others only the list is sure to be there."""
        return b"GET", f"/models/{model}" if self.name == "openai" else "/models", None


class OpenAIReader:
    """Reads chunks until `[DONE]`; tool calls arrive in pieces and come out whole."""

    def __init__(self, request: ProviderRequest) -> None:
        self.done = False
        self._request = request
        self._events = Events()
        self._calls: list[list[str]] = []
        self._open: dict[int | None, list[str]] = {}
        self._text: list[str] = []
        self._stop: StopReason | None = None
        self._usage: Usage | None = None

    def read(self, chunk: bytes) -> Iterator[ProviderEvent]:
        """Yield the events that this chunk completes; what it says is one piece of text."""
        said: list[str] = []
        try:
            for data in self._events.feed(chunk):
                if self.done:
                    break
                if data != b"[DONE]":
                    self._read(parse(data), said)
                    continue
                if said:
                    yield self._spoken(said)
                yield from self._end()
        except CallFailed:
            if said:
                yield self._spoken(said)
            raise
        if said:
            yield self._spoken(said)

    def finish(self) -> Iterator[ProviderEvent]:
        """Some servers leave `[DONE]` out; a finish reason is what makes an answer whole."""
        if not self.done:
            yield from self._end()

    def _read(self, body: dict[str, Any], said: list[str]) -> None:
        if body.get("error"):
            code = body["error"].get("code") if isinstance(body["error"], dict) else None
            raise CallFailed(
                "status", error_text(orjson.dumps(body)), status=code if isinstance(code, int) else 500
            )
        usage = body.get("usage")
        try:
            if usage:
                self._usage = Usage(int(usage["prompt_tokens"]), int(usage["completion_tokens"]))
            for choice in body.get("choices") or ():
                self._choice(choice, said)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CallFailed("malformed", f"an unknown shape: {orjson.dumps(body)[:80]!r}") from error

    def _choice(self, choice: dict[str, Any], said: list[str]) -> None:
        delta = choice.get("delta") or {}
        text = delta.get("content") or delta.get("refusal")
        if delta.get("refusal"):
            self._stop = "refused"
        if text:
            if not isinstance(text, str):
                raise TypeError("text was expected")
            said.append(text)
        for piece in delta.get("tool_calls") or ():
            self._piece(piece)
        reason = choice.get("finish_reason")
        if reason and self._stop is None:
            self._stop = _REASONS.get(reason, "end")

    def _spoken(self, said: list[str]) -> TextDelta:
        """What was said since the last piece, which is then empty."""
        text = "".join(said)
        said.clear()
        self._text.append(text)
        return TextDelta(text)

    def _piece(self, piece: dict[str, Any]) -> None:
        """The index tells calls apart, except with servers that give all the same one, or none."""
        index = None if piece.get("index") is None else int(piece["index"])
        identity = piece.get("id")
        function = piece.get("function") or {}
        call = self._open.get(index)
        if call is None or (identity and function.get("name") and call[0] and identity != call[0]):
            call = self._open[index] = ["", "", ""]
            self._calls.append(call)
        # Some servers make up a new id for each piece: the first is the call's.
        call[0] = call[0] or identity or ""
        call[1] = function.get("name") or call[1]
        call[2] += function.get("arguments") or ""

    def _end(self) -> Iterator[ProviderEvent]:
        if self._stop is None:
            raise CallFailed("cut", "the stream ended without a finish reason")
        self.done = True
        ids = fresh_ids(self._request)
        calls = [ToolCall(c[0] or next(ids), c[1], c[2] or "{}") for c in self._calls]
        yield from calls
        # Some servers say `stop` after a tool call.
        yield Stop("tool" if calls and self._stop == "end" else self._stop)
        said = [*self._text, *(c.name + c.arguments for c in calls)]
        yield self._usage or Usage(estimate_input(self._request), estimate_tokens(said), estimated=True)


def _choice(choice: str) -> object:
    if choice in ("required", "none"):
        return choice
    return {"type": "function", "function": {"name": choice}}


def _message(message: ProviderMessage) -> dict[str, object]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
    body: dict[str, object] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        body["content"] = message.text or None
        body["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in message.tool_calls
        ]
    return body

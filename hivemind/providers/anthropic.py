"""Anthropic's Messages API."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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
    arguments_of,
    error_text,
    estimate_input,
    estimate_tokens,
    header,
    parse,
    spoken,
)
from hivemind.providers.failures import CallFailed
from hivemind.providers.sse import Events

_VERSION = "2023-06-01"
_MAX_TEMPERATURE = 1.0
_REASONS: dict[str, StopReason] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "pause_turn": "end",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool",
    "refusal": "refused",
}
_COUNTED = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
# The status that each error has when it comes before the stream, as the API documents them.
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


@dataclass(frozen=True, slots=True)
class Anthropic:
    """The dialect of the Messages API."""

    name: str = "anthropic"
    path: str = "/v1/messages"

    def headers(self, key: str | None) -> list[tuple[bytes, bytes]]:
        """The key goes in a header of its own, with the version that this module speaks."""
        lines = [
            header("content-type", "application/json"),
            header("accept", "text/event-stream"),
            header("anthropic-version", _VERSION),
        ]
        return [*lines, header("x-api-key", key)] if key else lines

    def encode(self, request: ProviderRequest) -> bytes:
        """A streamed call."""
        body: dict[str, object] = {
            "model": request.model,
            "max_tokens": request.max_output_tokens,
            "messages": _messages(request.messages),
            "stream": True,
        }
        if request.system:
            body["system"] = request.system
        if request.temperature is not None:
            body["temperature"] = min(request.temperature, _MAX_TEMPERATURE)
        # A sequence of blanks is refused here.
        if stop := [text for text in request.stop if text.strip()]:
            body["stop_sequences"] = stop
        if request.tools:
            body["tools"] = [
                {"name": t.name, "description": t.description, "input_schema": t.parameters}
                for t in request.tools
            ]
            if request.tool_choice is not None:
                body["tool_choice"] = _choice(request.tool_choice)
        return orjson.dumps(body)

    def reader(self, request: ProviderRequest) -> "AnthropicReader":
        """A reader for one streamed message."""
        return AnthropicReader(request)

    def ping(self, model: str) -> tuple[bytes, str, bytes | None]:
        """Ask about the model: free, and wrong keys and unknown models both show."""
        return b"GET", f"/v1/models/{model}", None


class AnthropicReader:
    """Reads events until `message_stop`; a tool's input arrives in pieces and comes out whole."""

    def __init__(self, request: ProviderRequest) -> None:
        self.done = False
        self._request = request
        self._events = Events()
        self._tool: list[str] | None = None
        self._said: list[str] = []
        self._stop: StopReason | None = None
        self._counts: dict[str, int] = {}

    def read(self, chunk: bytes) -> Iterator[ProviderEvent]:
        """Yield the events that this chunk completes."""
        for data in self._events.feed(chunk):
            if self.done:
                return
            body = parse(data)
            try:
                yield from self._read(body)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise CallFailed("malformed", f"an unknown shape: {data[:80]!r}") from error

    def finish(self) -> Iterator[ProviderEvent]:
        """Without `message_stop` an answer is not whole."""
        if not self.done:
            raise CallFailed("cut", "the stream ended before message_stop")
        yield from ()

    def _read(self, body: dict[str, Any]) -> Iterator[ProviderEvent]:
        match body["type"]:
            case "content_block_delta":
                yield from self._delta(body["delta"])
            case "content_block_start":
                yield from self._block(body["content_block"])
            case "content_block_stop" if self._tool is not None:
                identity, name, whole, pieces = self._tool
                self._tool = None
                self._said.append(name + (pieces or whole))
                yield ToolCall(identity, name, pieces or whole)
            case "message_start":
                self._count(body["message"].get("usage") or {})
            case "message_delta":
                reason = body["delta"].get("stop_reason")
                self._stop = _REASONS.get(reason, "end") if reason else self._stop
                self._count(body.get("usage") or {})
            case "message_stop":
                yield from self._end()
            case "error":
                status = _STATUSES.get(body["error"]["type"], 500)
                raise CallFailed("status", error_text(orjson.dumps(body)), status=status)
            case _:  # `ping`, and kinds that the API may add, as its versioning policy says
                pass

    def _block(self, block: dict[str, Any]) -> Iterator[ProviderEvent]:
        if block["type"] == "tool_use":
            # Some who speak this format give the input whole and send no pieces.
            self._tool = [block["id"], block["name"], orjson.dumps(block.get("input") or {}).decode(), ""]
        elif block["type"] == "text" and block.get("text"):
            yield self._text(block["text"])

    def _delta(self, delta: dict[str, Any]) -> Iterator[ProviderEvent]:
        if delta["type"] == "text_delta":
            if delta["text"]:
                yield self._text(delta["text"])
        elif delta["type"] == "input_json_delta" and self._tool is not None:
            self._tool[3] += delta["partial_json"]

    def _text(self, text: str) -> TextDelta:
        delta = spoken(text)
        self._said.append(text)
        return delta

    def _count(self, usage: dict[str, Any]) -> None:
        """Figures are totals so far, and later events may leave out what earlier ones said."""
        found = {name: usage.get(name) for name in _COUNTED}
        found["short_writes"] = (usage.get("cache_creation") or {}).get("ephemeral_5m_input_tokens")
        for name, value in found.items():
            if value is not None:
                self._counts[name] = max(self._counts.get(name, 0), int(value))

    def _input(self) -> int | None:
        """All that was read; writing the cache costs 1.25 times its tokens, or twice when for an hour."""
        counts = self._counts
        if "input_tokens" not in counts:
            return None
        written = counts.get("cache_creation_input_tokens", 0)
        short = min(counts.get("short_writes", 0), written)
        dear = -(-short * 5 // 4) + (written - short) * 2
        return counts["input_tokens"] + counts.get("cache_read_input_tokens", 0) + dear

    def _end(self) -> Iterator[ProviderEvent]:
        if self._stop is None:
            raise CallFailed("cut", "the message stopped without a reason")
        self.done = True
        yield Stop(self._stop)
        read, said = self._input(), self._counts.get("output_tokens")
        yield Usage(
            estimate_input(self._request) if read is None else read,
            estimate_tokens(self._said) if said is None else said,
            estimated=read is None or said is None,
        )


def _choice(choice: str) -> dict[str, str]:
    if choice == "required":
        return {"type": "any"}
    return {"type": "none"} if choice == "none" else {"type": "tool", "name": choice}


def _messages(messages: tuple[ProviderMessage, ...]) -> list[dict[str, object]]:
    """Tool results are blocks of a user's message here, and results of one round share one message."""
    out: list[dict[str, object]] = []
    results: list[dict[str, object]] = []
    for message in messages:
        if message.role == "tool":
            if not results:
                out.append({"role": "user", "content": results})
            results.append(
                {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.text}
            )
            continue
        results = []
        if not message.tool_calls:
            # An answer without a word is refused when it is sent back.
            if message.text or message.role == "user":
                out.append({"role": message.role, "content": message.text})
            continue
        blocks: list[dict[str, object]] = [{"type": "text", "text": message.text}] if message.text else []
        blocks += [
            {"type": "tool_use", "id": c.id, "name": c.name, "input": arguments_of(c)}
            for c in message.tool_calls
        ]
        out.append({"role": message.role, "content": blocks})
    return out

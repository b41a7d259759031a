"""Ollama's own API (`/api/chat`): one JSON object a line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from hivemind.providers.base import (
    ProviderEvent,
    ProviderMessage,
    ProviderRequest,
    Stop,
    ToolCall,
    Usage,
)
from hivemind.providers.dialect import (
    arguments_of,
    error_text,
    estimate_input,
    estimate_tokens,
    fresh_ids,
    header,
    parse,
    spoken,
)
from hivemind.providers.failures import CallFailed
from hivemind.providers.sse import Lines


@dataclass(frozen=True, slots=True)
class Ollama:
    """The dialect of `/api/chat`."""

    name: str = "ollama"
    path: str = "/api/chat"

    def headers(self, key: str | None) -> list[tuple[bytes, bytes]]:
        """Ollama has no keys; a proxy in front of it may."""
        lines = [header("content-type", "application/json")]
        return [*lines, header("authorization", f"Bearer {key}")] if key else lines

    def encode(self, request: ProviderRequest) -> bytes:
        """A streamed call."""
        messages: list[dict[str, object]] = []
        if request.system:
            messages.append({"role": "system", "content": request.system})
        names: dict[str | None, str] = {}
        for message in request.messages:
            names.update({call.id: call.name for call in message.tool_calls})
            messages.append(_message(message, names))
        options: dict[str, object] = {"num_predict": request.max_output_tokens}
        if request.temperature is not None:
            options["temperature"] = request.temperature
        if request.stop:
            options["stop"] = list(request.stop)
        body: dict[str, object] = {
            "model": request.model,
            "messages": messages,
            "stream": True,
            "options": options,
        }
        # There is no way to say which tool; none is said by offering none.
        if request.tools and request.tool_choice != "none":
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": t.name, "description": t.description, "parameters": t.parameters},
                }
                for t in request.tools
            ]
        return orjson.dumps(body)

    def reader(self, request: ProviderRequest) -> "OllamaReader":
        """A reader for one streamed answer."""
        return OllamaReader(request)

    def ping(self, model: str) -> tuple[bytes, str, bytes | None]:
        """Ask about the model: one that was never pulled shows."""
        return b"POST", "/api/show", orjson.dumps({"model": model})


class OllamaReader:
    """Reads lines until the one that says `done`."""

    def __init__(self, request: ProviderRequest) -> None:
        self.done = False
        self._request = request
        self._lines = Lines()
        self._said: list[str] = []
        self._ids = fresh_ids(request)
        self._called = False

    def read(self, chunk: bytes) -> Iterator[ProviderEvent]:
        """Yield the events that this chunk completes."""
        for line in self._lines.feed(chunk):
            yield from self._line(line)

    def finish(self) -> Iterator[ProviderEvent]:
        """The last line may lack its end; the one that says `done` may not be missing."""
        yield from self._line(self._lines.finish())
        if not self.done:
            raise CallFailed("cut", "the stream ended before done")

    def _line(self, line: bytes) -> Iterator[ProviderEvent]:
        if not line or self.done:
            return
        body = parse(line)
        if body.get("error"):
            raise CallFailed("status", error_text(line), status=500)
        try:
            yield from self._read(body)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CallFailed("malformed", f"an unknown shape: {line[:80]!r}") from error

    def _read(self, body: dict[str, Any]) -> Iterator[ProviderEvent]:
        message = body.get("message") or {}
        if message.get("content"):
            yield spoken(message["content"])
            self._said.append(message["content"])
        for call in message.get("tool_calls") or ():
            function = call["function"]
            arguments = orjson.dumps(function.get("arguments") or {}).decode()
            self._said.append(function["name"] + arguments)
            yield ToolCall(call.get("id") or next(self._ids), function["name"], arguments)
            self._called = True
        if body.get("done"):
            self.done = True
            length = body.get("done_reason") == "length"
            yield Stop("length" if length else "tool" if self._called else "end")
            read, said = body.get("prompt_eval_count"), body.get("eval_count")
            yield Usage(
                estimate_input(self._request) if read is None else int(read),
                estimate_tokens(self._said) if said is None else int(said),
                estimated=read is None or said is None,
            )


def _message(message: ProviderMessage, names: dict[str | None, str]) -> dict[str, object]:
    body: dict[str, object] = {"role": message.role, "content": message.text}
    if message.role == "tool":
        body["tool_name"] = names.get(message.tool_call_id, "")
    if message.tool_calls:
        body["tool_calls"] = [
            {"function": {"name": c.name, "arguments": arguments_of(c)}} for c in message.tool_calls
        ]
    return body

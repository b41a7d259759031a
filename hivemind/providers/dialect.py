"""What a wire format has to say: how a request is written and how an answer is read.

A dialect is pure; `remote` does the talking. Shared here is what every format needs: reading JSON that may
be broken, and counting tokens when a server does not.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Protocol

import orjson

from hivemind.providers.base import ProviderEvent, ProviderRequest, TextDelta, ToolCall
from hivemind.providers.failures import CallFailed

# English and code come to about four characters a token with every tokenizer in use; other scripts to fewer,
# so an estimate by UTF-8 bytes errs to the dear side for them, which is the safe one for a cap.
_BYTES_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4


class Reader(Protocol):
    """Reads one answer; `done` turns true with the last event."""

    done: bool

    def read(self, chunk: bytes) -> Iterator[ProviderEvent]:
        """Yield the events that this chunk completes; raise `CallFailed` for nonsense or a reported error."""

    def finish(self) -> Iterator[ProviderEvent]:
        """The body has ended: yield what is left, or raise `CallFailed` when the answer was cut."""


class Dialect(Protocol):
    """One wire format with its headers and paths."""

    @property
    def name(self) -> str:
        """The name as in `HIVEMIND_LLM_PROVIDER`."""

    @property
    def path(self) -> str:
        """Where calls go, below the endpoint."""

    def headers(self, key: str | None) -> list[tuple[bytes, bytes]]:
        """What goes with every request."""

    def encode(self, request: ProviderRequest) -> bytes:
        """The body of a streamed call."""

    def reader(self, request: ProviderRequest) -> Reader:
        """A reader for the answer to this request."""

    def ping(self, model: str) -> tuple[bytes, str, bytes | None]:
        """Method, path and body of a free call that proves endpoint and key, and where it can the model."""


def spoken(text: object) -> TextDelta:
    """A piece of the answer; raises `TypeError` where a server sends something else for text."""
    if not isinstance(text, str):
        raise TypeError(f"text was expected, not {type(text).__name__}")
    return TextDelta(text)


def parse(data: bytes) -> dict[str, Any]:
    """One JSON object; anything else is a failure of the provider."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise CallFailed("malformed", f"not JSON: {data[:80]!r}") from error
    if not isinstance(value, dict):
        raise CallFailed("malformed", f"not a JSON object: {data[:80]!r}")
    return value


def error_text(body: bytes) -> str:
    """What an error body says, whichever of the usual shapes it has."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:300].decode("utf-8", "replace")
    error = value.get("error", value) if isinstance(value, dict) else value
    if isinstance(error, dict):
        error = error.get("message") or error.get("type") or error
    return str(error)[:300]


def arguments_of(call: ToolCall) -> dict[str, Any]:
    """A call's arguments for formats that want an object; what never was one is shown as it was."""
    try:
        value = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else {"invalid_arguments": call.arguments}


def fresh_ids(request: ProviderRequest) -> Iterator[str]:
    """Ids for calls that came without: none that the history already has."""
    used = {call.id for message in request.messages for call in message.tool_calls}
    return (identity for n in count() if (identity := f"call_{n}") not in used)


def estimate_input(request: ProviderRequest) -> int:
    """About how many tokens a request has."""
    texts: list[str] = [request.system]
    for message in request.messages:
        texts.append(message.text)
        texts.extend(call.name + call.arguments for call in message.tool_calls)
    texts.extend(tool.name + tool.description for tool in request.tools)
    size = sum(len(orjson.dumps(tool.parameters)) for tool in request.tools if tool.parameters)
    return (
        estimate_tokens(texts) + size // _BYTES_PER_TOKEN + _TOKENS_PER_MESSAGE * (1 + len(request.messages))
    )


def estimate_tokens(texts: Sequence[str]) -> int:
    """About how many tokens these texts have."""
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return -(-size // _BYTES_PER_TOKEN)


def header(name: str, value: str) -> tuple[bytes, bytes]:
    """A header as it goes over the wire."""
    return name.encode("ascii"), value.encode("latin-1")

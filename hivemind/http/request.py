"""What a hot handler is given and what it gives back, free of any server or framework."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel

from hivemind.http import bodies

Headers = list[tuple[bytes, bytes]]
Model = TypeVar("Model", bound=BaseModel)

JSON_HEADERS: Headers = [(b"content-type", b"application/json")]


@dataclass(slots=True)
class Request:
    """One request, whole; its headers are gone through once, its query only when it is asked for."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    raw_headers: Headers = field(default_factory=list)
    query_string: bytes = b""
    body: bytes = b""
    peer: str = ""
    _headers: dict[bytes, bytes] | None = None

    def header(self, name: bytes) -> str | None:
        """The value of a header (lower-case name); of a repeated one all values, joined by commas."""
        headers = self._headers
        if headers is None:
            headers = self._headers = dict(self.raw_headers)
            if len(headers) != len(self.raw_headers):
                self._headers = headers = _joined(self.raw_headers)
        value = headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def query(self) -> dict[str, str]:
        """The query's fields; of a repeated one the last."""
        if not self.query_string:
            return {}
        return dict(parse_qsl(self.query_string.decode("latin-1"), keep_blank_values=True))

    def parse(self, model: type[Model]) -> Model:
        """The body as a `model`, or an error of ours that says what is wrong with it."""
        return bodies.parse(model, self.body, self.header(b"content-type"))

    def accepts(self, media_type: str) -> bool:
        """Whether the client asks for this very type; wildcards do not count."""
        accepted = self.header(b"accept")
        return accepted is not None and media_type in accepted


@dataclass(slots=True)
class Reply:
    """One whole reply."""

    status: int = 200
    body: bytes = b""
    headers: Headers = field(default_factory=lambda: list(JSON_HEADERS))

    @classmethod
    def of(cls, value: object, status: int = 200) -> "Reply":
        """The JSON of a value."""
        return cls(status, orjson.dumps(value))


@dataclass(slots=True)
class EventStream:
    """A reply that comes piece by piece; each piece is one whole server-sent event.

    The status goes out with the first piece: an error before it is answered like any other. The iteration is
    cancelled when the client leaves.
    """

    chunks: AsyncIterator[bytes]
    headers: Headers = field(default_factory=list)
    guard: Callable[[], Awaitable[None]] | None = None
    """Runs beside the stream, and ends it by raising."""


def event(name: str, data: object, event_id: str | None = None) -> bytes:
    """One server-sent event with JSON data."""
    head = f"id: {event_id}\nevent: {name}\ndata: " if event_id is not None else f"event: {name}\ndata: "
    return head.encode() + orjson.dumps(data) + b"\n\n"


def _joined(raw: Headers) -> dict[bytes, bytes]:
    joined: dict[bytes, bytes] = {}
    for name, value in raw:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined

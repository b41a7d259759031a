"""JSON bodies: of requests, read up to a cap, checked, and parsed once into a model; and of answers.

Every way in which a body can be wrong ends in an error of ours that says what to mend. Slow bodies are the
connection's business (`connection.py`), and what the values mean is the handler's.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from quart import Response, request

from hivemind.errors import BodyTooLarge, InvalidFields, InvalidRequest, UnsupportedMediaType
from hivemind.settings import ServerSettings

Model = TypeVar("Model", bound=BaseModel)
Receive = Callable[[], Awaitable[Mapping[str, Any]]]

MAX_DEPTH = 32

_OPENING, _CLOSING = frozenset(b"[{"), frozenset(b"]}")
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_JSON_TYPES = ("application/json", "text/json")
# Longer lists of mistakes help nobody and are made by machines.
_MAX_FIELDS = 20


class Disconnected(ConnectionError):
    """The client left: there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How many bytes of a body are read: the usual, and more below some paths."""

    usual: int
    larger: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: ServerSettings) -> "BodyLimits":
        """What the settings say; documents come below their path and its mirror."""
        documents = settings.max_document_bytes
        return cls(
            settings.max_body_bytes, {"/api/v1/knowledge": documents, "/api/admin/knowledge": documents}
        )

    def at(self, path: str) -> int:
        """The limit of one path."""
        return next((most for below, most in self.larger.items() if path.startswith(below)), self.usual)


async def read(receive: Receive, content_length: bytes | None, limit: int) -> bytes:
    """The whole body; raises before more than `limit` bytes are held."""
    if content_length is not None and declared_length(content_length) > limit:
        raise too_large(limit)
    message = await receive()
    if message["type"] != "http.request":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] != "http.request":
                raise Disconnected
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise too_large(limit)
            parts.append(part)
        body = b"".join(parts)
    if len(body) > limit:
        raise too_large(limit)
    return body


def declared_length(content_length: bytes) -> int:
    """The number in a Content-Length header."""
    if not content_length.isdigit() or len(content_length) > 20:
        raise InvalidRequest("The Content-Length header is not a number")
    return int(content_length)


def too_large(limit: int) -> BodyTooLarge:
    """The refusal of a body above the cap."""
    return BodyTooLarge(f"The request body is larger than the {limit:,} bytes that this server reads")


def parse(model: type[Model], body: bytes, content_type: str | None = "application/json") -> Model:
    """The body as a `model`: one pass of the parser, after a cheap look for what it would let by."""
    check_type(content_type)
    check_text(body)
    try:
        # orjson and not pydantic's own parser, which takes NaN, Infinity and 1e999 for numbers.
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The request body is not JSON: {error}") from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _kindly(error) from None


async def sent(model: type[Model]) -> Model:
    """The body of the request at hand, as Quart has it, as a `model`."""
    data = await request.get_data(as_text=False)
    assert isinstance(data, bytes)
    return parse(model, data, request.headers.get("Content-Type"))


def answer(value: object, status: int = 200) -> Response:
    """JSON as Quart takes it."""
    return Response(orjson.dumps(value, default=str), status, content_type="application/json")


def check_type(content_type: str | None) -> None:
    """Raise unless the body is declared as JSON in UTF-8."""
    kind, _, parameters = (content_type or "").partition(";")
    kind = kind.strip().lower()
    if kind not in _JSON_TYPES and not (kind.startswith("application/") and kind.endswith("+json")):
        said = f"not {kind[:80]}" if kind else "and has to say so"
        raise UnsupportedMediaType(f"The request body has to be application/json, {said}")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"').lower()
        if name.strip().lower() == "charset" and charset not in ("utf-8", "utf8", "us-ascii"):
            raise UnsupportedMediaType("The request body has to be UTF-8")


def check_text(body: bytes) -> None:
    """Raise on what is no JSON text for us: empty, not UTF-8, NUL characters, too deep."""
    if not body:
        raise InvalidRequest("The request body is empty")
    if body.startswith(b"\xef\xbb\xbf"):
        raise InvalidRequest("The request body begins with a byte order mark")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The request body is not UTF-8 (at byte {error.start})") from None
    # Postgres cannot store U+0000, so it is refused here, where there is still somebody to tell. An escaped
    # backslash before "u0000" is text about it, and that is looked at byte by byte only when it occurs.
    if b"\0" in body or (b"\\u0000" in body and _escapes_nul(body)):
        raise InvalidRequest("The request body holds a NUL character")
    # Only a body with that many brackets can be that deep: a chat message is never walked.
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and depth(body) > MAX_DEPTH:
        raise InvalidRequest(f"The request body is nested deeper than {MAX_DEPTH} levels")


def depth(body: bytes) -> int:
    """How deep the brackets outside of strings go; it stops at one more than is allowed."""
    deepest = level = 0
    in_string = escaped = False
    for byte in body:
        if in_string:
            if escaped:
                escaped = False
            elif byte == _BACKSLASH:
                escaped = True
            elif byte == _QUOTE:
                in_string = False
        elif byte == _QUOTE:
            in_string = True
        elif byte in _OPENING:
            level += 1
            deepest = max(deepest, level)
            if deepest > MAX_DEPTH:
                break
        elif byte in _CLOSING:
            level -= 1
    return deepest


def _escapes_nul(body: bytes) -> bool:
    return b"\\u0000" in body.replace(b"\\\\", b"")


def _kindly(error: ValidationError) -> InvalidRequest:
    mistakes = error.errors(include_url=False, include_context=False, include_input=False)
    fields = tuple((_place(mistake["loc"]), mistake["msg"]) for mistake in mistakes[:_MAX_FIELDS])
    if fields[0][0] == "":
        return InvalidRequest("The request body has to be a JSON object")
    named = ", ".join(dict.fromkeys(field for field, _ in fields))
    return InvalidFields(f"Missing or wrong: {named}", fields=fields)


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(step)[:80] for step in location)

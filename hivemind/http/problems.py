"""What a client is told when something went wrong: the only table from error class to status.

Also puts the envelope on what Quart itself answers (`install`). Which error is raised is not decided here;
an error that is not Hivemind's own is answered as `internal_error`, with nothing of its text.
"""

import logging
import math
from collections.abc import Iterable
from http import HTTPStatus

import orjson
from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException

from hivemind import errors

Headers = list[tuple[bytes, bytes]]

log = logging.getLogger("hivemind.http")

STATUSES: dict[type[errors.HivemindError], int] = {
    errors.HivemindError: 500,
    errors.InvalidRequest: 400,
    errors.BodyTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.MethodNotAllowed: 405,
    errors.InvalidFields: 422,
    errors.NotAuthenticated: 401,
    errors.IdentityProviderUnavailable: 503,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Refused: 403,
    errors.RateLimited: 429,
    errors.Overloaded: 503,
    errors.SwitchedOff: 503,
    errors.InputTooLong: 413,
    errors.GuardRefused: 422,
    errors.GuardFailed: 503,
    errors.BudgetExceeded: 402,
    errors.ApprovalRequired: 402,
    errors.PriceUnknown: 503,
    errors.Interrupted: 409,
    errors.AgentUnavailable: 503,
    errors.DatabaseUnavailable: 503,
    errors.ProviderError: 502,
    errors.ProviderUnavailable: 503,
}

# What the protocol code and Quart decide by status alone, before any of our own code sees a request.
BY_STATUS: dict[int, tuple[str, str]] = {
    400: (errors.InvalidRequest.code, "The request is not well formed HTTP"),
    401: (errors.NotAuthenticated.code, "This needs a key or a session"),
    403: (errors.NotPermitted.code, "This is not allowed for this caller"),
    404: (errors.NotFound.code, "There is nothing at this address"),
    405: (errors.MethodNotAllowed.code, "This address does not answer to this method"),
    408: ("request_timeout", "The request took too long to arrive"),
    413: (errors.BodyTooLarge.code, "The request body is larger than this server reads"),
    415: (errors.UnsupportedMediaType.code, "The request body has to be application/json"),
    431: ("headers_too_large", "The request's headers are larger than this server reads"),
    501: ("not_implemented", "The request uses a transfer coding that this server does not know"),
    503: (errors.Overloaded.code, "The server has more work than it can take: try again later"),
    505: ("version_not_supported", "This server speaks HTTP/1.1"),
}


def status_of(error: BaseException) -> int:
    """The status of the nearest class in the table; 500 for what is not ours."""
    for cls in type(error).__mro__:
        if (status := STATUSES.get(cls)) is not None:
            return status
    return 500


def own_error(error: BaseException) -> errors.HivemindError | None:
    """The one of ours that this is, or that a nursery wrapped; None where anything unexpected is in it."""
    if isinstance(error, errors.HivemindError):
        return error
    if isinstance(error, BaseExceptionGroup):
        ours = [own_error(inner) for inner in error.exceptions]
        return ours[0] if all(ours) else None
    return None


def envelope(error: BaseException) -> dict[str, object]:
    """The `error` object that tells a client about `error`."""
    ours = own_error(error) or errors.HivemindError()
    told: dict[str, object] = {"code": ours.code, "message": ours.message}
    if ours.retry_after_seconds is not None:
        told["retry_after_seconds"] = math.ceil(ours.retry_after_seconds)
    if ours.remedy:
        told["remedy"] = ours.remedy
    if isinstance(ours, errors.InvalidFields):
        told["fields"] = [{"field": field, "problem": problem} for field, problem in ours.fields]
    return {"error": told}


def answer(error: BaseException) -> tuple[int, bytes, Headers]:
    """Status, body and headers of the reply to a request that ended in `error`."""
    ours = own_error(error) or errors.HivemindError()
    headers = [(b"content-type", b"application/json")]
    if ours.retry_after_seconds is not None:
        headers.append((b"retry-after", str(math.ceil(ours.retry_after_seconds)).encode()))
    if isinstance(ours, errors.MethodNotAllowed):
        headers.append((b"allow", allow(ours.allowed)))
    if isinstance(ours, errors.NotAuthenticated):
        headers.append((b"www-authenticate", b"X-API-Key"))
    return status_of(ours), orjson.dumps(envelope(ours)), headers


def answer_status(status: int) -> tuple[bytes, Headers]:
    """Body and headers of a reply that the protocol code or Quart decided by its status alone."""
    code, message = BY_STATUS.get(status, ("request_failed", _phrase(status)))
    body = orjson.dumps({"error": {"code": code, "message": message}})
    return body, [(b"content-type", b"application/json")]


def allow(methods: Iterable[str]) -> bytes:
    """The `Allow` header of an address: what it was given, and what every address answers to."""
    known = set(methods) | {"OPTIONS"}
    if "GET" in known:
        known.add("HEAD")
    return ", ".join(sorted(known)).encode()


def install(app: Quart) -> None:
    """Make Quart answer its own and its handlers' errors, and OPTIONS, as the hot lane does."""

    async def own(error: errors.HivemindError) -> Response:
        return response(error)

    async def of_http(error: HTTPException) -> Response:
        return http_response(error)

    async def unexpected(error: Exception) -> Response:
        ours = own_error(error)
        if ours is None:
            log.error("%s %s failed", request.method, request.path, exc_info=error)
        return _response(*answer(error))

    async def options(response: Response) -> Response:
        if request.method == "OPTIONS" and response.status_code == HTTPStatus.OK:
            response.status_code = HTTPStatus.NO_CONTENT
            response.headers.pop("Content-Type", None)
            response.headers["Allow"] = ", ".join(sorted(response.allow))
        return response

    app.register_error_handler(errors.HivemindError, own)
    app.register_error_handler(HTTPException, of_http)
    app.register_error_handler(Exception, unexpected)
    app.after_request(options)


def response(error: BaseException) -> Response:
    """The reply as Quart takes it."""
    return _response(*answer(error))


def http_response(error: HTTPException) -> Response:
    """The reply to what Quart decided by its status, such as an address that it does not know."""
    status = error.code or 500
    body, headers = answer_status(status)
    methods = getattr(error, "valid_methods", None)
    if methods:
        headers.append((b"allow", allow(methods)))
    return _response(status, body, headers)


def _response(status: int, body: bytes, headers: Headers) -> Response:
    return Response(body, status, {name.decode(): value.decode() for name, value in headers})


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "The request failed"

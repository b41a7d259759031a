"""The hot lane: an ASGI callable that serves the busy routes itself and leaves the rest to Quart.

A hot handler is a plain async function from `Request` to `Reply` or `EventStream`, or one that talks to a
`WebSocket`; it runs without any server. Routing, the body cap and the one way of errors are here; the routes
and what they do are the caller's.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from hivemind.errors import MethodNotAllowed, NotFound
from hivemind.http import bodies, problems
from hivemind.http.paths import Paths
from hivemind.http.request import EventStream, Reply, Request
from hivemind.http.streams import Pump, Send
from hivemind.http.websocket import WebSocket, WebSocketClosed
from hivemind.metrics import Counts

Scope = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]
Handler = Callable[[Request], Awaitable[Reply | EventStream]]
SocketHandler = Callable[[Request, WebSocket], Awaitable[None]]

MIRROR = "/api/admin/"
"""What stands below `/api/v1/` answers here too, where browsers of the published product look for it."""

__all__ = ["EventStream", "Lane", "Reply", "Request", "Route", "SocketRoute", "WebSocket", "WebSocketClosed"]

log = logging.getLogger("hivemind.http")


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path with `{names}` for whole segments, and who answers."""

    method: str
    path: str
    handler: Handler


@dataclass(frozen=True, slots=True)
class SocketRoute:
    """A path at which a WebSocket may be opened, and who talks to it."""

    path: str
    handler: SocketHandler


class Lane:
    """Answers every request exactly once: a handler's error becomes the envelope, and so does its absence.

    An exception that is not ours is logged with its traceback and told as `internal_error`; it ends one
    request. The same holds for the application behind.
    """

    def __init__(
        self,
        routes: Iterable[Route | SocketRoute],
        app: App,
        *,
        body_limits: bodies.BodyLimits,
        counts: Counts | None = None,
    ) -> None:
        self.routes = tuple(routes)
        self._app = app
        self._body_limits = body_limits
        self._counts = counts or Counts()
        self._paths = Paths[_Place]()
        self._sockets = Paths[SocketHandler]()
        for route in self.routes:
            if isinstance(route, SocketRoute):
                self._sockets.at(route.path, partial(_same, route.handler))
            else:
                place = self._paths.at(route.path, partial(_Place, route.path))
                place.handlers[route.method] = route.handler

    async def __call__(self, scope: Scope, receive: bodies.Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope.get("path", "").startswith(MIRROR):
            scope = {**scope, "path": f"/api/v1/{scope['path'][len(MIRROR) :]}"}
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: bodies.Receive, send: Send) -> None:
        started = False

        async def sending(message: dict[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        found = self._paths.find(scope["path"])
        try:
            if found is not None:
                reply = await self._answer(scope, receive, found[0].handlers, found[1])
            elif scope["path"].startswith("/"):
                await self._app(
                    scope, _Capped(scope, receive, self._body_limits.at(scope["path"])).receive, sending
                )
                return
            else:  # `*`, a proxy's form or nothing at all: Quart fails on some of these
                reply = Reply(*problems.answer(NotFound()))
            if isinstance(reply, EventStream):
                self._count(scope, found, 200)
                await Pump(reply, receive, sending).run()
                return
        except bodies.Disconnected:
            return
        except Exception as error:
            if started:
                raise
            reply = _told(scope, error)
        self._count(scope, found, reply.status)
        body = reply.body
        headers = [*reply.headers, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _count(self, scope: Scope, found: "tuple[_Place, object] | None", status: int) -> None:
        if found is not None:
            place, method = found[0], scope["method"]
            known = method if method in place.handlers else "other"
            self._counts.add("hivemind_http_requests_total", (known, place.path, str(status)))

    async def _answer(
        self,
        scope: Scope,
        receive: bodies.Receive,
        handlers: Mapping[str, Handler],
        params: Mapping[str, str],
    ) -> Reply | EventStream:
        method = scope["method"]
        handler = handlers.get(method) or (handlers.get("GET") if method == "HEAD" else None)
        if handler is None:
            if method == "OPTIONS":
                return Reply(204, b"", [(b"allow", problems.allow(handlers))])
            raise MethodNotAllowed(allowed=tuple(handlers))
        request = _request(scope, method, params)
        length = next((value for name, value in request.raw_headers if name == b"content-length"), None)
        request.body = await bodies.read(receive, length, self._body_limits.usual)
        return await handler(request)

    async def _websocket(self, scope: Scope, receive: bodies.Receive, send: Send) -> None:
        found = self._sockets.find(scope["path"])
        if found is None:
            await self._app(scope, receive, send)
            return
        handler, params = found
        await receive()  # websocket.connect, which says nothing
        socket = WebSocket(receive, send)
        failure: Exception | None = None
        try:
            await handler(_request(scope, "GET", params), socket)
        except* WebSocketClosed:
            log.debug("%s was left by its client", scope["path"])
        except* Exception as errors:  # noqa: BLE001 - logged and told to the client
            failure = errors
            _log(scope, errors)
        await socket.finish(failure)


class _Place:
    """What stands at a path of the lane."""

    __slots__ = ("handlers", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.handlers: dict[str, Handler] = {}


class _Capped:
    """What Quart reads a body through: it never sees more than the cap."""

    def __init__(self, scope: Scope, receive: bodies.Receive, limit: int) -> None:
        self._receive, self._limit, self._size = receive, limit, 0
        for name, value in scope["headers"]:
            if name == b"content-length" and bodies.declared_length(value) > limit:
                raise bodies.too_large(limit)

    async def receive(self) -> Mapping[str, Any]:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            raise bodies.too_large(self._limit)
        return message


def _same(handler: SocketHandler) -> SocketHandler:
    return handler


def _request(scope: Scope, method: str, params: Mapping[str, str]) -> Request:
    client = scope.get("client")
    return Request(
        method,
        scope["path"],
        params,
        scope["headers"],
        scope.get("query_string", b""),
        peer=client[0] if client else "",
    )


def _log(scope: Scope, error: Exception) -> None:
    if problems.own_error(error) is None:
        method = scope.get("method", "WS")
        log.error("%s %s failed", method, scope["path"], exc_info=error, extra={"path": scope["path"]})


def _told(scope: Scope, error: Exception) -> Reply:
    _log(scope, error)
    return Reply(*problems.answer(error))

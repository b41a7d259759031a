"""The only maker of HTTP clients: one per other side, for the life of the process.

It runs on httpx2's own engine (`httpcore2`) rather than on its client: nobody here wants redirects, cookies
or encodings guessed, and a call costs a third less processor time. Proxies in the environment are not used.
What is said over a connection, when to give up and when to ask again is the caller's business.
"""

import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpcore2
import trio

from hivemind.errors import ConfigError, Unreachable

Headers = Sequence[tuple[bytes, bytes]]

_PORTS = {"http": 80, "https": 443}
_KEEPALIVE_SECONDS = 30.0
# After its last word a server owes us only the end of the body; past this its connection is not worth it.
_DRAIN_SECONDS = 1.0


@cache
def trusted() -> ssl.SSLContext:
    """Certificates that the system trusts, or those of SSL_CERT_FILE; made once, since it takes 25 ms."""
    return httpcore2.default_ssl_context()


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart once, so that no call does it again."""

    url: httpcore2.URL
    origin: httpcore2.Origin
    host: bytes
    site: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a URL apart; raise `ConfigError` for one that cannot be called."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"{text!r} is not a URL: {error}") from error
        if parts.scheme not in _PORTS or not parts.hostname or not text.isascii():
            raise ConfigError(f"{text!r} is not an http:// or https:// URL")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        url = httpcore2.URL(scheme=parts.scheme, host=parts.hostname, port=port, target=path)
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        host = name if port in (None, _PORTS[parts.scheme]) else f"{name}:{port}"
        return cls(url, url.origin, host.encode(), str(url.origin))


class Reply:
    """A status, headers and a body that arrives; valid inside the block that made it."""

    def __init__(self, response: httpcore2.Response) -> None:
        self.status = response.status
        self._response = response
        self._body = response.aiter_stream()

    def header(self, name: bytes) -> str | None:
        """The first value of a header, named in lower case."""
        for key, value in self._response.headers:
            if key.lower() == name:
                return value.decode("latin-1")
        return None

    async def read(self) -> bytes:
        """The next piece of the body as it came off the wire; empty at its end."""
        try:
            return await anext(self._body, b"")
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise Unreachable(_say(error, "the connection broke off")) from error

    async def start(self, limit: int) -> bytes:
        """The first `limit` bytes of the body."""
        body = b""
        while len(body) < limit and (chunk := await self.read()):
            body += chunk
        return body[:limit]

    async def drain(self) -> None:
        """Read on to the end if that comes soon, so that the connection can be used again."""
        with trio.move_on_after(_DRAIN_SECONDS), suppress(Unreachable):
            while await self.read():
                pass

    async def close(self) -> None:
        """End the reply; unless its body was read to the end, its connection closes."""
        await self._body.aclose()
        await self._response.aclose()


class _Wire(httpcore2.AsyncNetworkStream):
    """What is written goes out with the next read: head and body of a request in one piece, not two."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._unsent = b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Keep it for the next read."""
        del timeout
        self._unsent += buffer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Send what was written, then wait for what comes."""
        if self._unsent:
            unsent, self._unsent = self._unsent, b""
            # A server may refuse a request before it has read it whole: its answer says more than the error.
            with suppress(httpcore2.WriteError):
                await self._stream.write(unsent, timeout)
        return await self._stream.read(max_bytes, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Shake hands on the bare connection."""
        return _Wire(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What the engine asks about the socket."""
        return self._stream.get_extra_info(info)


class _Backend(httpcore2.TrioBackend):
    """Connections that write as `_Wire` does."""

    async def connect_tcp(self, *args: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        """Connect."""
        return _Wire(await super().connect_tcp(*args, **options))


class HttpClient:
    """At most `max_connections` to one origin; a call that ends in any way gives its place back.

    There are no read or write timeouts: the caller's cancel scope ends a call, and ending it closes the
    connection unless the reply had been read to its end. Idle connections wait on a stack, the latest on
    top: the engine's own pool asks the kernel about every one of them, twice a call.
    """

    def __init__(
        self, *, max_connections: int = 256, connect_seconds: float = 10, pool_seconds: float = 10
    ) -> None:
        self._max_connections = max_connections
        self._pool_seconds = pool_seconds
        self._extensions = {"timeout": {"connect": connect_seconds}}
        self._backend = _Backend()
        self._places = trio.Semaphore(max_connections)
        self._idle: dict[str, deque[httpcore2.AsyncHTTPConnection]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every idle connection; those in use end with their calls."""
        for idle in self._idle.values():
            while idle:
                await _close(idle.pop())

    @asynccontextmanager
    async def call(
        self, target: Target, headers: Headers, body: bytes | None, *, method: bytes = b"POST"
    ) -> AsyncIterator[Reply]:
        """Send one request; raise `Unreachable` when no reply can be had."""
        lines = [(b"Host", target.host), *headers]
        if body is not None:
            lines.append((b"Content-Length", b"%d" % len(body)))
        request = httpcore2.Request(
            method, target.url, headers=lines, content=body, extensions=self._extensions
        )
        await self._take_place()
        try:
            async with self._connection(target) as connection:
                reply = Reply(await _send(connection, request))
                try:
                    yield reply
                finally:
                    # Must not be cut short by the very cancellation that ended the call.
                    with trio.CancelScope(shield=True):
                        await reply.close()
        finally:
            self._places.release()

    def facts(self) -> dict[str, object]:
        """How many connections there are and how many of them are in use."""
        in_use = self._max_connections - self._places.value
        return {"connections": in_use + sum(map(len, self._idle.values())), "in_use": in_use}

    async def _take_place(self) -> None:
        try:
            self._places.acquire_nowait()
        except trio.WouldBlock:
            with trio.move_on_after(self._pool_seconds) as scope:
                await self._places.acquire()
            if scope.cancelled_caught:
                raise Unreachable(f"all {self._max_connections} connections are in use") from None

    @asynccontextmanager
    async def _connection(self, target: Target) -> AsyncIterator[httpcore2.AsyncHTTPConnection]:
        idle = self._idle.setdefault(target.site, deque())
        connection = None
        while idle and connection is None:
            connection = idle.pop()
            if connection.has_expired():
                await _close(connection)
                connection = None
        if connection is None:
            connection = httpcore2.AsyncHTTPConnection(
                target.origin,
                ssl_context=trusted(),
                keepalive_expiry=_KEEPALIVE_SECONDS,
                network_backend=self._backend,
            )
        try:
            yield connection
        finally:
            if connection.is_idle() and not connection.is_closed():
                idle.append(connection)
            else:
                await _close(connection)
            # The oldest are at the bottom, out of sight of calls: one look a call keeps them from piling up.
            if len(idle) > 1 and idle[0].has_expired():
                await _close(idle.popleft())


async def _send(connection: httpcore2.AsyncHTTPConnection, request: httpcore2.Request) -> httpcore2.Response:
    try:
        return await connection.handle_async_request(request)
    except httpcore2.ConnectTimeout as error:
        raise Unreachable("connecting took too long") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise Unreachable(_say(error, "no connection")) from error


async def _close(connection: httpcore2.AsyncHTTPConnection) -> None:
    with trio.CancelScope(shield=True):
        await connection.aclose()


def _say(error: Exception, fallback: str) -> str:
    """The words of the innermost cause: the engine wraps the operating system's errors in empty ones."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return str(cause) or str(error) or fallback

"""The only maker of HTTP clients: one per other side, for the life of the process.

It keeps the connections of `http1` rather than using a whole client: nobody here wants redirects, cookies or
encodings guessed, and a call costs half of the processor time. Proxies in the environment are not used.
What is said over a connection, when to give up and when to ask again is the caller's business.
"""

import os
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import h11
import trio

from hivemind.errors import ConfigError, Unreachable
from hivemind.http1 import Connection, Headers, Reply, words

__all__ = ["Headers", "HttpClient", "Reply", "Target", "trusted"]

_PORTS = {"http": 80, "https": 443}
_KEEPALIVE_SECONDS = 30.0
# Where the system's certificates are when Python was not built on this system: Alpine and BSD, Red Hat,
# Debian, SUSE.
_BUNDLES = (
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
)


@cache
def trusted() -> ssl.SSLContext:
    """Certificates that the system trusts, or those of SSL_CERT_FILE or SSL_CERT_DIR; made once."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    chosen = "SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ
    if not chosen and not context.cert_store_stats()["x509_ca"]:
        bundle = next((path for path in _BUNDLES if Path(path).is_file()), None)
        if bundle is not None:
            context.load_verify_locations(bundle)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Site(NamedTuple):
    """Where connections go."""

    secure: bool
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart once, so that no call does it again; `host` is what goes into the header."""

    site: Site
    host: bytes
    path: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take a URL apart; raise `ConfigError` for one that cannot be called."""
        try:
            parts = urlsplit(text)
            port = parts.port
            name = parts.hostname or ""
            name.encode("idna")
        except ValueError as error:
            raise ConfigError(f"{text!r} is not a URL: {error}") from error
        if parts.scheme not in _PORTS or not name or not text.isascii():
            raise ConfigError(f"{text!r} is not an http:// or https:// URL")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = f"[{name}]" if ":" in name else name
        if port not in (None, _PORTS[parts.scheme]):
            host = f"{host}:{port}"
        try:
            h11.Request(method="GET", target=path, headers=[("Host", host)])
        except h11.LocalProtocolError as error:
            raise ConfigError(f"{text!r} is not a URL: {error}") from error
        site = Site(parts.scheme == "https", name, _PORTS[parts.scheme] if port is None else port)
        return cls(site, host.encode(), path.encode())


class HttpClient:
    """At most `max_connections` in use; a call that ends in any way gives its place back.

    There are no read or write timeouts: the caller's cancel scope ends a call, and ending it closes the
    connection unless the reply had been read to its end. Idle connections wait on a stack, the latest on top.
    """

    def __init__(
        self, *, max_connections: int = 256, connect_seconds: float = 10, pool_seconds: float = 10
    ) -> None:
        self._max_connections = max_connections
        self._connect_seconds = connect_seconds
        self._pool_seconds = pool_seconds
        self._places = trio.Semaphore(max_connections)
        self._idle: dict[Site, deque[Connection]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every idle connection; those in use end with their calls."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    @asynccontextmanager
    async def call(
        self, target: Target, headers: Headers, body: bytes | None, *, method: bytes = b"POST"
    ) -> AsyncIterator[Reply]:
        """Send one request; raise `Unreachable` when no reply can be had."""
        lines = [(b"Host", target.host), *headers]
        if body is not None:
            lines.append((b"Content-Length", b"%d" % len(body)))
        await self._take_place()
        connection = None
        try:
            connection = self._kept(target.site) or await self._connect(target.site)
            yield await connection.ask(method, target.path, lines, body or b"")
        finally:
            self._places.release()
            if connection is not None:
                self._keep(target.site, connection)

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

    def _kept(self, site: Site) -> Connection | None:
        idle = self._idle.get(site)
        while idle:
            connection = idle.pop()
            if not connection.is_stale(_KEEPALIVE_SECONDS):
                return connection
            connection.close()
        return None

    def _keep(self, site: Site, connection: Connection) -> None:
        if not connection.settle():
            connection.close()
            return
        idle = self._idle.setdefault(site, deque())
        idle.append(connection)
        # The oldest are at the bottom, out of sight of calls: one look a call keeps them from piling up.
        if len(idle) > 1 and idle[0].is_stale(_KEEPALIVE_SECONDS):
            idle.popleft().close()

    async def _connect(self, site: Site) -> Connection:
        try:
            with trio.fail_after(self._connect_seconds):
                stream = await trio.open_tcp_stream(site.host, site.port)
                return Connection(await _shake_hands(stream, site.host) if site.secure else stream)
        except trio.TooSlowError as error:
            raise Unreachable("connecting took too long") from error
        except (OSError, trio.BrokenResourceError) as error:
            raise Unreachable(words(error)) from error


async def _shake_hands(stream: trio.SocketStream, host: str) -> trio.SSLStream[trio.SocketStream]:
    tls = trio.SSLStream(stream, trusted(), server_hostname=host, https_compatible=True)
    try:
        await tls.do_handshake()
    except BaseException:
        stream.socket.close()
        raise
    return tls

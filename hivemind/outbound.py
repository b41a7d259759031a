"""The only maker of HTTP clients: one per other side, for the life of the process.

It keeps the connections of `http1` rather than using a whole client: nobody here wants redirects, cookies or
encodings guessed, and a call costs half of the processor time. Proxies in the environment are not used.
Where somebody else chooses the URL, `targets` says which addresses may be called.
What is said over a connection, when to give up and when to ask again is the caller's business.
"""

import os
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import h11
import trio

from hivemind.errors import ConfigError, TargetRefused, Unreachable
from hivemind.http1 import Connection, Headers, Reply, words
from hivemind.targets import Targets

__all__ = ["Headers", "HttpClient", "Reply", "Target", "trusted"]

_PORTS = {"http": 80, "https": 443}
_KEEPALIVE_SECONDS = 30.0
# A name has several addresses so that one may be down: the next is tried soon.
_NEXT_ADDRESS_SECONDS = 2.0
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
    With `targets` a connection is made only to an address that they let by, the very one that was looked at.
    """

    def __init__(
        self,
        *,
        max_connections: int = 256,
        connect_seconds: float = 10,
        pool_seconds: float = 10,
        targets: Targets | None = None,
    ) -> None:
        self._targets = targets
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
                stream = await self._open(site)
                return Connection(await _shake_hands(stream, site.host) if site.secure else stream)
        except trio.TooSlowError as error:
            raise Unreachable("connecting took too long") from error
        except (OSError, trio.BrokenResourceError) as error:
            raise Unreachable(words(error)) from error

    async def _open(self, site: Site) -> trio.SocketStream:
        if self._targets is None:
            return await trio.open_tcp_stream(site.host, site.port)
        found = await trio.socket.getaddrinfo(site.host, site.port, type=trio.socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            # One that is refused spoils the name: which of them is tried would be up to whoever owns it.
            if (why := self._targets.refusal(address)) is not None:
                raise TargetRefused(f"{site.host} is {why}")
        return await _first(addresses, site.port)


async def _first(addresses: Sequence[str], port: int) -> trio.SocketStream:
    """A connection to the first address that takes one; they are given as they were checked."""
    for address in addresses[:-1]:
        with suppress(OSError), trio.move_on_after(_NEXT_ADDRESS_SECONDS):
            return await trio.open_tcp_stream(address, port)
    return await trio.open_tcp_stream(addresses[-1], port)


async def _shake_hands(stream: trio.SocketStream, host: str) -> trio.SSLStream[trio.SocketStream]:
    tls = trio.SSLStream(stream, trusted(), server_hostname=host, https_compatible=True)
    try:
        await tls.do_handshake()
    except BaseException:
        stream.socket.close()
        raise
    return tls

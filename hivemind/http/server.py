"""Accepts connections, keeps them under their cap, and drains them when told to stop.

One connection is `connection.py`'s; what is answered is the application's.
"""

import errno
import logging
import math
import resource
import socket
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext

from hivemind.errors import ConfigError, Overloaded
from hivemind.http import problems
from hivemind.http.connection import Connection
from hivemind.http.lane import App
from hivemind.settings import ServerSettings

MAX_HEADER_BYTES = 16_384
# Files that the process needs beside its connections: database, log, model, libraries.
SPARE_FILES = 256

log = logging.getLogger("hivemind.http")


class Stop(Protocol):
    """Tells when to stop; a `trio.Event` is one."""

    async def wait(self) -> object:
        """Return when the server has to stop."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Where the server listens."""

    host: str
    port: int


class Server:
    """Every open connection is in `connections`, never more than the cap, and none outlives the drain."""

    def __init__(self, app: App, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings
        self._config, self._context = _hypercorn_config(settings), WorkerContext(None)
        self.connections: set[Connection] = set()

    async def run(self, stop: Stop, task_status: trio.TaskStatus[Bound]) -> None:
        """Serve until `stop`, then drain."""
        listeners = await _listen(self._settings)
        lifespan = Lifespan(ASGIWrapper(self._app), self._config, {})
        async with trio.open_nursery() as outer:
            await outer.start(lifespan.handle_lifespan)
            await lifespan.wait_for_startup()
            async with trio.open_nursery() as clients:
                async with trio.open_nursery() as accepting:
                    accepting.start_soon(
                        partial(trio.serve_listeners, self._serve, listeners, handler_nursery=clients)
                    )
                    task_status.started(Bound(*listeners[0].socket.getsockname()[:2]))
                    await stop.wait()
                    accepting.cancel_scope.cancel()
                for listener in listeners:
                    await listener.aclose()
                clients.cancel_scope.deadline = trio.current_time() + self._settings.drain_seconds
                await self._drain()
            await lifespan.wait_for_shutdown()
            outer.cancel_scope.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        if len(self.connections) >= self._settings.max_connections and not self._evict():
            await _turn_away(stream)
            return
        connection = Connection(self._app, self._config, self._context, stream, self._settings)
        self.connections.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)

    def _evict(self) -> bool:
        """End the connection that has been idle longest: it holds a place that somebody needs."""
        idle = [connection for connection in self.connections if connection.idle]
        if not idle:
            return False
        longest = min(idle, key=lambda connection: connection.idle_since)
        self.connections.discard(longest)
        longest.evict()
        return True

    async def _drain(self) -> None:
        await self._context.terminated.set()
        for connection in list(self.connections):
            await connection.drain()


async def serve(
    app: App,
    settings: ServerSettings,
    *,
    stop: Stop,
    task_status: trio.TaskStatus[Bound] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an ASGI application until `stop`; `task_status` gets the address that it listens on."""
    _allow_files(settings.max_connections + SPARE_FILES)
    await Server(app, settings).run(stop, task_status)


def _hypercorn_config(settings: ServerSettings) -> Config:
    config = Config()
    config.errorlog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = MAX_HEADER_BYTES
    config.keep_alive_max_requests = math.inf  # type: ignore[assignment] # a limit would only cost reconnects
    config.websocket_max_message_size = settings.max_body_bytes
    return config


async def _listen(settings: ServerSettings) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(settings.port, host=settings.host)
    except socket.gaierror:
        raise ConfigError(
            f"{settings.host} is no address of this machine",
            remedy="Set server.host to one, such as 127.0.0.1",
        ) from None
    except OSError as error:
        where = f"{settings.host} port {settings.port}"
        said, remedy = _LISTEN_PROBLEMS.get(
            error.errno or 0, (f"cannot be listened on: {error.strerror}", None)
        )
        raise ConfigError(f"{where} {said}", remedy=remedy) from error


_LISTEN_PROBLEMS: dict[int, tuple[str, str | None]] = {
    errno.EADDRINUSE: ("is already in use", "Stop what listens there, or set server.port to another port"),
    errno.EACCES: ("may not be used by this user", "Set server.port to 1024 or above"),
    errno.EADDRNOTAVAIL: ("is no address of this machine", "Set server.host to one, such as 127.0.0.1"),
}


async def _turn_away(stream: trio.SocketStream) -> None:
    status, body, headers = problems.answer(Overloaded(retry_after_seconds=1))
    headers += [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    head = b"".join(b"%s: %s\r\n" % pair for pair in headers)
    with trio.move_on_after(1):
        try:
            await stream.send_all(b"HTTP/1.1 %d Busy\r\n%s\r\n%s" % (status, head, body))
            await stream.send_eof()
            await stream.receive_some(1024)
        except (OSError, trio.BrokenResourceError):
            log.debug("a client that was turned away did not wait for it")
    await trio.aclose_forcefully(stream)


def _allow_files(wanted: int) -> None:
    """Raise the process's own limit on open files as far as it may, so that the cap is ours."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))

"""One client's connection: reads, deadlines and bounded sends around the protocol, and its end.

Stands where hypercorn's `TCPServer` and `TaskGroup` stand, whose shielded sends and escaping exceptions hang
or end the whole process. Accepting, the cap and the drain of all connections are `server.py`'s.
"""

import contextlib
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from hivemind.http.bodies import BodyLimits, Disconnected
from hivemind.http.protocol import Protocol
from hivemind.settings import ServerSettings

Send = Callable[[Any], Awaitable[None]]

MAX_RECEIVE = 65_536
MAX_WAITING_MESSAGES = 10
LINGER_SECONDS = 1
LINGER_BYTES = 1_048_576

log = logging.getLogger("hivemind.http")


class Connection:
    """Whatever a client does ends at most this connection, and every wait on the client has a deadline."""

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        config: Config,
        context: WorkerContext,
        stream: trio.SocketStream,
        settings: ServerSettings,
    ) -> None:
        self._app, self._config, self._context = app, config, context
        self._stream, self._settings, self._body_limits = stream, settings, BodyLimits.of(settings)
        self._send_lock = trio.Lock()
        self._serving = trio.CancelScope()
        self._reading = trio.CancelScope()
        self._closed = self._left = False
        self._heard_at = self.idle_since = trio.current_time()
        self._request_due = math.inf
        self._protocol: Protocol
        self._nursery: trio.Nursery

    @property
    def idle(self) -> bool:
        """Whether no request is here or on its way."""
        return self._protocol.stream is None and self._request_due == math.inf

    async def run(self) -> None:
        """Serve until either side has had enough."""
        try:
            sock = self._stream.socket
            client = parse_socket_addr(sock.family, sock.getpeername())
            server = parse_socket_addr(sock.family, sock.getsockname())
            async with trio.open_nursery() as self._nursery:
                self._protocol = Protocol(
                    ASGIWrapper(self._app),
                    self._config,
                    self._context,
                    self,  # has the two methods of a task group that the protocol uses
                    ConnectionState({}),
                    False,
                    client,
                    server,
                    self._protocol_send,
                    body_limits=self._body_limits,
                )
                with self._serving:
                    await self._read()
                await self._protocol.handle(Closed())
            with trio.move_on_after(LINGER_SECONDS):
                await self._linger()
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as gone:
            log.debug("connection ended: %r", gone.exceptions)
        except* Exception:
            log.info("connection ended", exc_info=True)
        finally:
            await trio.aclose_forcefully(self._stream)

    async def drain(self) -> None:
        """The server stops: an idle connection ends now, another after what it is doing."""
        if (socket := self._protocol.socket) is not None:
            await socket.going_away()
        elif self._protocol.stream is None:
            self._close()

    def evict(self) -> None:
        """Make room for another client."""
        self._close()

    async def _read(self) -> None:
        protocol = self._protocol
        while True:
            data: bytes | bytearray = b""
            with (
                trio.CancelScope(deadline=self._read_deadline()) as self._reading,
                contextlib.suppress(trio.BrokenResourceError),
            ):
                data = await self._stream.receive_some(MAX_RECEIVE)
            if self._reading.cancelled_caught:
                if not await self._still_wanted():
                    break
                continue
            self._heard_at = trio.current_time()
            self._left = not data
            await protocol.handle(RawData(bytes(data)))
            if self._left:
                break
            self._request_due = (
                min(self._request_due, self._heard_at + self._settings.header_timeout_seconds)
                if protocol.receiving
                else math.inf
            )

    def _read_deadline(self) -> float:
        if self._request_due != math.inf:
            return self._request_due
        if self._protocol.stream is None:
            return self.idle_since + self._settings.idle_timeout_seconds
        if self._protocol.socket is not None:
            return trio.current_time() + self._settings.idle_timeout_seconds / 3
        return math.inf

    async def _still_wanted(self) -> bool:
        """Decide what a silence means: a slow request, an idle client, or a WebSocket to be asked."""
        now = trio.current_time()
        if now >= self._request_due:
            await self._protocol.refuse(408)
            return False
        if (socket := self._protocol.socket) is not None:
            if now - self._heard_at >= self._settings.idle_timeout_seconds:
                return False
            await socket.ping()
            return True
        return (
            self._protocol.stream is not None or now < self.idle_since + self._settings.idle_timeout_seconds
        )

    async def _protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Closed):
            self._close()
        elif isinstance(event, Updated) and event.idle:
            self.idle_since = trio.current_time()
            self._reading.deadline = self._read_deadline()

    async def _write(self, data: bytes) -> None:
        if self._closed:
            return
        sent = False
        try:
            async with self._send_lock:
                with trio.move_on_after(self._settings.send_timeout_seconds):
                    await self._stream.send_all(data)
                    sent = True
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            # Half a message cannot be taken back: after it, nothing more may follow on this connection.
            if not sent:
                self._left = True
                self._close()

    def _close(self) -> None:
        self._closed = True
        self._serving.cancel()

    async def _linger(self) -> None:
        """Let a client that is still sending read our answer: a socket closed over unread data is reset."""
        if self._left:
            return
        try:
            await self._stream.send_eof()
            unread = LINGER_BYTES
            while unread > 0 and (data := await self._stream.receive_some(MAX_RECEIVE)):
                unread -= len(data)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            return

    async def spawn_app(
        self, app: Any, _config: Config, scope: Any, send: Callable[[Any], Awaitable[None]]
    ) -> Callable[[Any], Awaitable[None]]:
        """Start the application on one request; gives the protocol what it puts messages in with."""
        inbox = Inbox()

        async def send_if_open(message: Any) -> None:
            if self._closed:
                # A loop that only sends would otherwise never let anybody else run.
                await trio.lowlevel.checkpoint()
                raise Disconnected
            await send(message)

        self._nursery.start_soon(self._run_app, app, scope, inbox, send_if_open, send)
        return inbox.put

    def spawn(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Start a task of the protocol's own."""
        self._nursery.start_soon(task, *args)

    async def _run_app(
        self, app: Any, scope: Any, inbox: "Inbox", send: Send, ended: Callable[[None], Awaitable[None]]
    ) -> None:
        try:
            await app(scope, inbox.get, send, None, None)
        except* Disconnected:
            log.debug("%s was left by its client", scope["path"])
        except* Exception:
            log.exception("the application failed on %s", scope["path"])
        inbox.close()
        await ended(None)


class Inbox:
    """The messages of one request on their way to the application.

    A put waits when the application does not read, which stops the reading from the client; the message that
    the client is gone always gets in, and nobody waits for an application that has ended.
    """

    def __init__(self) -> None:
        self._messages: deque[Any] = deque()
        self._changed = trio.lowlevel.ParkingLot()
        self._closed = False

    async def put(self, message: Any) -> None:
        """Add a message."""
        last = message["type"].endswith("disconnect")
        while len(self._messages) >= MAX_WAITING_MESSAGES and not last and not self._closed:
            await self._changed.park()
        self._messages.append(message)
        self._changed.unpark_all()

    async def get(self) -> Any:
        """Take the next message; the last one, that the client is gone, is given again and again."""
        while not self._messages:
            await self._changed.park()
        message = self._messages[0]
        if not message["type"].endswith("disconnect"):
            self._messages.popleft()
            self._changed.unpark_all()
        else:
            await trio.lowlevel.checkpoint()
        return message

    def close(self) -> None:
        """The application has ended: nobody reads any more."""
        self._closed = True
        self._changed.unpark_all()

"""Sends an event stream: one piece at a time while the reader keeps up, joined when it falls behind.

What the pieces say is the handler's business. A quiet stream carries a comment now and then, which keeps
proxies from closing it and finds out whether anybody is still there.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import trio

from hivemind.http import bodies, problems
from hivemind.http.request import EventStream, Headers, event

Send = Callable[[dict[str, Any]], Awaitable[None]]

JOIN_SECONDS = 0.01
HEARTBEAT_SECONDS = 15
MAX_WAITING_BYTES = 65_536

_COMMENT = b":\n\n"
_HEADERS: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]

log = logging.getLogger("hivemind.http")


class Pump:
    """Moves pieces from a handler's iterator to the client.

    At most `MAX_WAITING_BYTES` and one piece wait here; a reader that is slower than that slows the iterator.
    """

    def __init__(self, stream: EventStream, receive: bodies.Receive, send: Send) -> None:
        self._stream, self._receive, self._send = stream, receive, send
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._ended = trio.Event()
        self._started = False
        self._arrived = trio.Event()
        self._taken = trio.Event()

    async def run(self) -> None:
        """Send the stream to its end; return early when the client leaves."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, nursery.cancel_scope)
                nursery.start_soon(self._pull)
                if self._stream.guard is not None:
                    nursery.start_soon(self._stream.guard)
                with contextlib.suppress(bodies.Disconnected):
                    await self._push()
                nursery.cancel_scope.cancel()
        except Exception as error:
            if not self._started:
                raise
            await self._finish_with(error)

    async def _watch(self, scope: trio.CancelScope) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    async def _pull(self) -> None:
        async with _closing(self._stream.chunks) as chunks:
            async for piece in chunks:
                self._waiting.append(piece)
                self._waiting_bytes += len(piece)
                self._arrived.set()
                while self._waiting_bytes > MAX_WAITING_BYTES:
                    self._taken = trio.Event()
                    await self._taken.wait()
        self._ended.set()
        self._arrived.set()

    async def _push(self) -> None:
        while True:
            if not self._waiting:
                if self._ended.is_set():
                    break
                self._arrived = trio.Event()
                with trio.move_on_after(HEARTBEAT_SECONDS) as quiet:
                    await self._arrived.wait()
                if quiet.cancelled_caught:
                    await self._out(_COMMENT)
                continue
            pieces = self._take()
            await self._out(pieces[0] if len(pieces) == 1 else b"".join(pieces))
            if len(self._waiting) > 1 and not self._ended.is_set():
                with trio.move_on_after(JOIN_SECONDS):
                    await self._ended.wait()
        if not self._started:
            await self._start()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _take(self) -> list[bytes]:
        pieces, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._taken.set()
        return pieces

    async def _out(self, piece: bytes) -> None:
        if not self._started:
            await self._start()
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _start(self) -> None:
        self._started = True
        headers = _HEADERS + self._stream.headers
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _finish_with(self, error: Exception) -> None:
        """Tell of an error after the status is out; what the handler gave before it goes first."""
        if problems.own_error(error) is None:
            log.error("an event stream failed", exc_info=error)
        last = b"".join(self._take()) + event("error", problems.envelope(error))
        await self._send({"type": "http.response.body", "body": last, "more_body": False})


@contextlib.asynccontextmanager
async def _closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """A generator that is left early runs its `finally` now, not when it is collected."""
    try:
        yield chunks
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()

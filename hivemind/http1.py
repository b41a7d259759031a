"""One HTTP/1.1 connection as a client: h11 keeps the protocol, trio moves the bytes.

Which connection a call gets and how many there may be is `outbound`; when to give up is the caller's cancel
scope. Closing never waits, so that what ends a call needs no shield.
"""

from collections.abc import Sequence
from contextlib import suppress

import h11
import trio

from hivemind.errors import Unreachable

Headers = Sequence[tuple[bytes, bytes]]
Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]

_READ_BYTES = 64 * 1024
# Status line and headers together: what is longer is no answer to us.
_MAX_HEAD_BYTES = 100 * 1024
# After its last word a server owes us only the end of the body; past this its connection is not worth it.
_DRAIN_SECONDS = 1.0


class Connection:
    """Carries one call at a time; only a call that both sides ended as agreed leaves it fit for another."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._socket = (stream.transport_stream if isinstance(stream, trio.SSLStream) else stream).socket
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._sent = True
        self._ended = True
        self._nonsense = ""
        self._idle_since = trio.current_time()

    async def ask(self, method: bytes, path: bytes, headers: Headers, body: bytes) -> "Reply":
        """Send a request in one piece and wait for the head of its reply."""
        self._ended = False
        request = self._encode(method, path, headers, body)
        try:
            await self._stream.send_all(request)
        except trio.BrokenResourceError:
            # A server may refuse a request before it has read it whole: its answer says more than the error.
            self._sent = False
        while not isinstance(event := await self._event(), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise Unreachable("the server closed the connection without an answer")
        return Reply(event, self)

    async def read(self) -> bytes:
        """What has come of the body, waiting when nothing has; empty at its end."""
        pieces: list[bytes] = []
        while not self._ended:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as error:
                self._nonsense = self._nonsense or str(error)
                if pieces:
                    # What came before the nonsense counts; h11 refuses again at the next read.
                    break
                raise Unreachable(self._nonsense) from error
            if isinstance(event, h11.Data):
                pieces.append(event.data)
            elif event is not h11.NEED_DATA:
                self._ended = True
            elif pieces:
                break
            else:
                await self._receive()
        return b"".join(pieces)

    async def drain(self) -> None:
        """Read on to the end if that comes soon, so that the connection can be used again."""
        if not self._ended:
            with trio.move_on_after(_DRAIN_SECONDS), suppress(Unreachable):
                while not self._ended:
                    await self.read()

    def settle(self) -> bool:
        """After a call: whether another one may follow."""
        protocol = self._protocol
        # What came behind the body would be taken for the next answer, or was the connection's end.
        if not self._sent or protocol.trailing_data != (b"", False):
            return False
        if protocol.our_state is not h11.DONE or protocol.their_state is not h11.DONE:
            return False
        protocol.start_next_cycle()
        self._idle_since = trio.current_time()
        return True

    def is_stale(self, keepalive_seconds: float) -> bool:
        """Whether it was idle too long or the server ended it: nothing else makes an idle socket readable."""
        return trio.current_time() - self._idle_since > keepalive_seconds or self._socket.is_readable()

    def close(self) -> None:
        """Close the socket, now."""
        self._socket.close()

    def _encode(self, method: bytes, path: bytes, headers: Headers, body: bytes) -> bytes:
        send = self._protocol.send
        try:
            head = send(h11.Request(method=method, target=path, headers=list(headers)))
            return b"".join(
                part or b"" for part in (head, send(h11.Data(data=body)), send(h11.EndOfMessage()))
            )
        except h11.LocalProtocolError:
            # Without its words and its cause: h11 quotes the header, and that may be the key.
            raise Unreachable("a header of the request cannot be sent") from None

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            while (event := self._protocol.next_event()) is h11.NEED_DATA:
                await self._receive()
        except h11.RemoteProtocolError as error:
            raise Unreachable(str(error)) from error
        return event

    async def _receive(self) -> None:
        try:
            data = await self._stream.receive_some(_READ_BYTES)
        except trio.BrokenResourceError as error:
            raise Unreachable(words(error)) from error
        if not data and self._protocol.their_state is h11.SEND_RESPONSE:
            raise Unreachable("the server closed the connection without an answer")
        self._protocol.receive_data(bytes(data))


class Reply:
    """A status, headers and a body that arrives; valid inside the block that made it."""

    def __init__(self, head: h11.Response, connection: Connection) -> None:
        self.status = head.status_code
        self.read = connection.read
        self.drain = connection.drain
        self._headers = head.headers

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """All headers, their names in lower case."""
        return list(self._headers)

    def header(self, name: bytes) -> str | None:
        """The first value of a header, named in lower case."""
        return next((value.decode("latin-1") for key, value in self._headers if key == name), None)

    async def start(self, limit: int) -> bytes:
        """The first `limit` bytes of the body."""
        body = b""
        while len(body) < limit and (chunk := await self.read()):
            body += chunk
        return body[:limit]


def words(error: BaseException) -> str:
    """The words of the innermost cause: trio wraps the operating system's errors in its own."""
    cause = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner.exceptions[0] if isinstance(inner, BaseExceptionGroup) else inner
    return str(cause) or str(error) or "the connection broke off"

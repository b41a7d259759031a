"""One HTTP/1.1 connection as a client: llhttp (in httptools) reads the protocol, trio moves the bytes.

Which connection a call gets and how many there may be is `outbound`; when to give up is the caller's cancel
scope. Closing never waits, so that what ends a call needs no shield.
"""

import select
from collections.abc import Sequence
from contextlib import suppress

import trio
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

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
        self._sent = True
        self._read_whole = False
        self._answer = _Answer()
        self._idle_since = trio.current_time()
        self._told = select.poll()
        self._told.register(self._socket, select.POLLIN)

    async def ask(self, method: bytes, path: bytes, headers: Headers, body: bytes) -> "Reply":
        """Send a request in one piece and wait for the head of its reply."""
        answer, self._read_whole = _Answer(), False
        self._answer = answer
        request = _encode(method, path, headers, body)
        try:
            await self._stream.send_all(request)
        except trio.BrokenResourceError:
            # A server may refuse a request before it has read it whole: its answer says more than the error.
            self._sent = False
        while not answer.begun:
            if answer.nonsense:
                raise Unreachable(answer.nonsense)
            await self._receive()
        return Reply(answer, self)

    async def read(self) -> bytes:
        """What has come of the body, waiting when nothing has; empty at its end."""
        answer = self._answer
        while not answer.pieces and not answer.ended:
            if answer.nonsense:
                raise Unreachable(answer.nonsense)
            await self._receive()
        self._read_whole = answer.ended
        pieces, answer.pieces = answer.pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def drain(self) -> None:
        """Read on to the end if that comes soon, so that the connection can be used again."""
        if not self._read_whole:
            with trio.move_on_after(_DRAIN_SECONDS), suppress(Unreachable):
                while await self.read():
                    pass

    def settle(self) -> bool:
        """After a call: whether another one may follow.

        An answer that was not read to its end tells nothing of the server's wish to go on.
        """
        if not (self._sent and self._read_whole and self._answer.keeps_alive):
            return False
        self._idle_since = trio.current_time()
        return True

    def is_stale(self, keepalive_seconds: float) -> bool:
        """Whether it was idle too long or the server ended it: nothing else makes an idle socket readable."""
        return trio.current_time() - self._idle_since > keepalive_seconds or bool(self._told.poll(0))

    def close(self) -> None:
        """Close the socket, now."""
        self._socket.close()

    async def _receive(self) -> None:
        try:
            data = await self._stream.receive_some(_READ_BYTES)
        except trio.BrokenResourceError as error:
            raise Unreachable(words(error)) from error
        self._answer.feed(data)


class _Answer:
    """What a server says to one request, as far as it has come.

    `begun`: status and headers are whole; `ended`: so is the body. After `nonsense` nothing more is read.
    """

    __slots__ = (
        "_head_bytes",
        "_parser",
        "begun",
        "ended",
        "headers",
        "keeps_alive",
        "nonsense",
        "pieces",
        "status",
    )

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._head_bytes = 0
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.begun = self.ended = self.keeps_alive = False
        self.nonsense = ""

    def feed(self, data: bytes | bytearray) -> None:
        """Take what has arrived; nothing is the end of the connection."""
        if not data:
            self._cut()
            return
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.nonsense = self.nonsense or "the server switches to another protocol unasked"
        except HttpParserError as error:
            # Behind the end of the body it only spoils the connection.
            self.nonsense, self.keeps_alive = self.nonsense or f"not HTTP/1.1: {error}", False
        if not self.begun:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self.nonsense = "the headers of the answer are too long"

    def _cut(self) -> None:
        if not self.begun:
            self.nonsense = "the server closed the connection without an answer"
        elif self._has_length():
            self.nonsense = "the server closed the connection before the end of its answer"
        else:
            self.ended = True

    def _has_length(self) -> bool:
        """Whether the end of the body is told by anything but the connection's."""
        return any(
            name == b"content-length" or (name == b"transfer-encoding" and value.lower().endswith(b"chunked"))
            for name, value in self.headers
        )

    # -- what llhttp calls, in the order of the message; trailers and what follows the end are of no use

    def on_message_begin(self) -> None:
        if self.ended:  # it would be taken for the next answer
            self.keeps_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.begun:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self.ended:
            return
        status = self._parser.get_status_code()
        if status == 101:
            self.nonsense = "the server switches to another protocol unasked"
        elif status < 200:
            self.headers.clear()
        else:
            self.status, self.begun = status, True

    def on_body(self, data: bytes) -> None:
        if not self.ended:
            self.pieces.append(data)

    def on_message_complete(self) -> None:
        if self.begun and not self.ended:
            self.ended, self.keeps_alive = True, self._parser.should_keep_alive()


class Reply:
    """A status, headers and a body that arrives; valid inside the block that made it."""

    def __init__(self, answer: _Answer, connection: Connection) -> None:
        self.status = answer.status
        self.read = connection.read
        self.drain = connection.drain
        self._headers = answer.headers

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


def _encode(method: bytes, path: bytes, headers: Headers, body: bytes) -> bytes:
    """Raise `Unreachable` where a line would not end at its end."""
    parts = [method, b" ", path, b" HTTP/1.1\r\n"]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n")
    head = b"".join(parts)
    lines = len(headers) + 2
    if head.count(b"\r") != lines or head.count(b"\n") != lines or b"\0" in head:
        # Without the words: they may be the key.
        raise Unreachable("a header of the request cannot be sent")
    return head + body


def words(error: BaseException) -> str:
    """The words of the innermost cause: trio wraps the operating system's errors in its own."""
    cause = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner.exceptions[0] if isinstance(inner, BaseExceptionGroup) else inner
    return str(cause) or str(error) or "the connection broke off"

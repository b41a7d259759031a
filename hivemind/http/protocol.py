"""HTTP/1.1 and WebSocket as hypercorn's protocol code speaks them, with our corrections.

Corrected here: no HTTP/2, no compressed frames (a bomb is cheap to send), an oversize or broken frame closes
with its code, our envelope on what the protocol refuses by itself, a too large body refused before it is
sent, and one write for head and body. Sockets and time are `connection.py`'s.
"""

from http import HTTPStatus
from itertools import chain
from typing import Any

import h11
from hypercorn.events import Closed, RawData
from hypercorn.protocol import events as wire
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import FrameTooLargeError, WSStream
from hypercorn.typing import ASGISendEvent, WebsocketAcceptEvent
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from hivemind.http import problems
from hivemind.http.bodies import BodyLimits

# What hypercorn answers by itself is told by these headers, which no reply of ours has: it gets our envelope.
_BARE = [(b"content-length", b"0"), (b"connection", b"close")]
# Some clients do not take a status line without one.
_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


class SocketStream(WSStream):
    """A WebSocket whose peer breaks a rule is told the code and closed, and nothing more of it is kept."""

    _early = b""
    _refused = False

    async def handle(self, event: wire.Event) -> None:
        """Take what the client sent; what comes before the handler accepted waits for that."""
        if not isinstance(event, wire.Data | wire.Body) or self.closed or self.handshake.accepted:
            await super().handle(event)
        elif len(self._early) + len(event.data) > self.config.websocket_max_message_size:
            await self._send_error_response(413)
        else:
            self._early += event.data

    async def app_send(self, message: ASGISendEvent | None) -> None:
        """Take what the application sends; after a refusal nothing is left to say."""
        if not self._refused:
            await super().app_send(message)

    async def _accept(self, message: WebsocketAcceptEvent) -> None:
        await super()._accept(message)
        if self._early:
            self.connection.receive_data(self._early)
            self._early = b""
            await self._handle_events()

    async def _send_error_response(self, status_code: int) -> None:
        self._refused = True
        await super()._send_error_response(status_code)
        await self.send(wire.StreamClosed(stream_id=self.stream_id))

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            if isinstance(event, TextMessage | BytesMessage):
                try:
                    self.buffer.extend(event)
                except FrameTooLargeError:
                    await self._end(CloseReason.MESSAGE_TOO_BIG)
                    return
                if event.message_finished:
                    assert self.app_put is not None
                    await self.app_put(self.buffer.to_message())
                    self.buffer.clear()
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                await self._end(event.code)
                return

    async def _end(self, code: int) -> None:
        """Answer a close, or close because of an error; the handler sees the end either way."""
        await self._send_wsproto_event(CloseConnection(code=code))
        if self.app_put is not None:
            await self.app_put({"type": "websocket.disconnect", "code": code})
        await self.send(wire.StreamClosed(stream_id=self.stream_id))

    async def going_away(self) -> None:
        """Tell the handler that the server stops; it may still send what is under way."""
        if self.app_put is not None:
            message = {"type": "websocket.disconnect", "code": int(CloseReason.GOING_AWAY), "draining": True}
            await self.app_put(message)

    async def ping(self) -> None:
        """Ask whether anybody is there."""
        if self.handshake.accepted:
            await self._send_wsproto_event(Ping())


class Wire(h11.Connection):
    """Once a client asked for the end, what else it sends is neither kept nor held against its request."""

    def receive_data(self, data: bytes) -> None:
        """Take what the client sent."""
        if self.their_state is not h11.MUST_CLOSE or not data:
            super().receive_data(data)

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """What is next of what the client sent."""
        if self.their_state is h11.MUST_CLOSE:
            return h11.NEED_DATA
        return super().next_event()


class Protocol(H11Protocol):
    """One connection's requests, one after the other; every refusal carries the envelope."""

    _head = b""

    def __init__(self, *given: Any, body_limits: BodyLimits) -> None:
        super().__init__(*given)
        self._body_limits = body_limits
        self.connection = Wire(h11.SERVER, self.config.h11_max_incomplete_size)

    @property
    def socket(self) -> SocketStream | None:
        """The WebSocket, once the connection has become one."""
        return self.stream if isinstance(self.stream, SocketStream) else None

    @property
    def receiving(self) -> bool:
        """Whether a request has begun to arrive and is not whole."""
        if isinstance(self.connection, H11WSConnection):
            return False
        if self.stream is None and self.connection.their_state is h11.IDLE:
            return bool(self.connection.trailing_data[0])
        return self.connection.their_state is h11.SEND_BODY

    async def refuse(self, status: int) -> None:
        """Answer with a status and close, where nothing was answered yet."""
        if self.connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            await self._send_error_response(status)
        await self.send(Closed())

    async def stream_send(self, event: wire.Event) -> None:
        """Put what a request's stream says on the wire."""
        if isinstance(event, wire.Response) and event.status_code >= 200:
            if event.status_code >= 400 and event.headers == _BARE:
                await self._send_envelope(event.status_code)
                return
            headers = list(chain(event.headers, self.config.response_headers("h11")))
            if (
                self.keep_alive_requests >= self.config.keep_alive_max_requests
                or self.context.terminated.is_set()
                # Refused before its body came: what is still to come would spoil another request.
                or self.receiving
            ):
                headers.append((b"connection", b"close"))
            await self._send_h11_event(_response(event.status_code, headers))
        elif isinstance(event, wire.EndData):
            await super().stream_send(wire.StreamClosed(stream_id=STREAM_ID))
        else:
            await super().stream_send(event)

    async def _send_h11_event(self, event: Any) -> None:
        if isinstance(event, h11.InformationalResponse):
            event = h11.InformationalResponse(
                headers=list(event.headers),
                status_code=event.status_code,
                reason=_PHRASES.get(event.status_code, b""),
            )
        try:
            data = self.connection.send(event)
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            # ASGI sends the head only with the first of the body, so it can wait for it: one write, not two.
            self._head = data
            return
        if self._head:
            data, self._head = self._head + data, b""
        if data:
            await self.send(RawData(data=data))

    async def _send_error_response(self, status_code: int) -> None:
        await self._send_envelope(status_code)
        await self._send_h11_event(h11.EndOfMessage())

    async def _send_envelope(self, status: int) -> None:
        body, told = problems.answer_status(status)
        headers = [*told, (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        headers.extend(self.config.response_headers("h11"))
        await self._send_h11_event(_response(status, headers))
        await self._send_h11_event(h11.Data(data=body))

    async def _check_protocol(self, event: h11.Request) -> None:
        """Never leave HTTP/1.1: stock hypercorn would change to HTTP/2 on request."""

    async def _create_stream(self, request: h11.Request) -> None:
        if not request.http_version.startswith(b"1."):
            await self.refuse(505)
            return
        headers = list(request.headers)
        upgrade = connection = b""
        most_bytes = self._body_limits.at(request.target.decode("latin-1"))
        for name, value in headers:
            if name == b"upgrade":
                upgrade = value.strip().lower()
            elif name == b"connection":
                connection += b"," + value.lower()
            elif name == b"content-length" and int(value) > most_bytes:
                await self.refuse(413)
                return
        kind: type[HTTPStream | WSStream] = HTTPStream
        if (
            upgrade == b"websocket"
            and request.method == b"GET"
            and b"upgrade" in [token.strip() for token in connection.split(b",")]
        ):
            kind = SocketStream
            headers = [pair for pair in headers if pair[0] != b"sec-websocket-extensions"]
            if not all(value.isascii() for name, value in headers if name.startswith(b"sec-websocket")):
                await self.refuse(400)
                return
            assert isinstance(self.connection, h11.Connection)
            self.connection = H11WSConnection(self.connection)
        self.stream = kind(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        self.keep_alive_requests += 1
        await self.stream.handle(
            wire.Request(
                stream_id=STREAM_ID,
                headers=headers,
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )


def _response(status: int, headers: list[tuple[bytes, bytes]]) -> h11.Response:
    return h11.Response(headers=headers, status_code=status, reason=_PHRASES.get(status, b""))

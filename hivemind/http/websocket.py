"""One WebSocket as a hot handler sees it: text in, text out, and an error that says it is over.

Frames, pings and size limits are the protocol code's (`protocol.py`); what the texts mean is the handler's.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from hivemind.http import bodies, problems
from hivemind.http.streams import Send

NORMAL, GOING_AWAY, UNSUPPORTED, ABNORMAL, REFUSED, INTERNAL = 1000, 1001, 1003, 1006, 1008, 1011


class WebSocketClosed(Exception):
    """The client left, or the server wants it to: nothing more is read, and `code` says why.

    With `code` 1001 the server is stopping: what is under way may still be sent before the handler returns.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class WebSocket:
    """Answers the upgrade with the first use, so that a handler may still refuse it with a plain reply."""

    def __init__(self, receive: bodies.Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._accepted = False
        self._over: int | None = None
        self._gone = False

    @property
    def accepted(self) -> bool:
        """Whether the upgrade was answered."""
        return self._accepted

    async def accept(self) -> None:
        """Answer the upgrade, once."""
        if not self._accepted:
            self._accepted = True
            await self._send({"type": "websocket.accept"})

    async def receive(self) -> str:
        """The next text; raises `WebSocketClosed` when there is none any more."""
        await self.accept()
        if self._over is not None:
            raise WebSocketClosed(self._over)
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._end(message)
            raise WebSocketClosed(message.get("code", NORMAL))
        text: str | None = message.get("text")
        if text is None:
            await self.close(UNSUPPORTED)
            raise WebSocketClosed(UNSUPPORTED)
        return text

    async def send(self, text: str) -> None:
        """Send a text; waits for a slow reader, and raises `WebSocketClosed` when it is gone."""
        await self.accept()
        if self._gone:
            raise WebSocketClosed(self._over or NORMAL)
        try:
            await self._send({"type": "websocket.send", "text": text})
        except bodies.Disconnected:
            self._gone, self._over = True, ABNORMAL
            raise WebSocketClosed(ABNORMAL) from None

    async def send_json(self, value: object) -> None:
        """Send the JSON of a value."""
        await self.send(orjson.dumps(value).decode())

    async def close(self, code: int = NORMAL) -> None:
        """Close, once; refusing the upgrade when it was not answered yet."""
        if not self._gone:
            self._gone, self._over = True, code
            await self._send({"type": "websocket.close", "code": code})

    async def finish(self, error: Exception | None) -> None:
        """End what a handler left: a plain reply before the upgrade, a text and a code after it."""
        if error is None:
            await self.accept()
            await self.close(self._over or NORMAL)
        elif self._accepted:
            ours = problems.own_error(error)
            if not self._gone:
                await self.send_json({"type": "error", **problems.envelope(error)})
            await self.close(INTERNAL if ours is None or problems.status_of(ours) >= 500 else REFUSED)
        else:
            await self._refuse(error)

    async def _refuse(self, error: Exception) -> None:
        self._gone = True
        status, body, headers = problems.answer(error)
        headers.append((b"content-length", str(len(body)).encode()))
        headers.append((b"connection", b"close"))
        await self._send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": body, "more_body": False})

    def _end(self, message: Mapping[str, Any]) -> None:
        self._over = message.get("code", NORMAL)
        self._gone = self._over != GOING_AWAY or "draining" not in message

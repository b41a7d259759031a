"""A server on a real socket that says exactly the bytes it is given."""

from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

HANG = object()
CUT = object()


@dataclass
class Upstream:
    """Answers the n-th request with the n-th script (the last one again); a script is bytes, HANG and CUT."""

    scripts: list
    url: str = ""
    requests: list = field(default_factory=list)
    eofs: int = 0
    connections: int = 0
    eof_seen: trio.Event = field(default_factory=trio.Event)
    hanging: trio.Event = field(default_factory=trio.Event)
    closed: dict = field(default_factory=lambda: defaultdict(trio.Event))

    async def handle(self, stream):
        number = self.connections
        self.connections += 1
        try:
            await self._serve(stream)
        finally:
            self.closed[number].set()

    async def _serve(self, stream):
        data = b""
        async with stream:
            while True:
                while b"\r\n\r\n" not in data:
                    more = await self._receive(stream)
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line[15:])
                while len(data) < length:
                    data += await self._receive(stream)
                body, data = data[:length], data[length:]
                self.requests.append((head, body))
                script = self.scripts[min(len(self.requests), len(self.scripts)) - 1]
                for step in script:
                    if step is CUT:
                        return
                    if step is HANG:
                        self.hanging.set()
                        while await self._receive(stream):
                            pass
                        return
                    try:
                        await stream.send_all(step)
                    except trio.BrokenResourceError:
                        self._eof()
                        return

    async def _receive(self, stream):
        try:
            data = await stream.receive_some()
        except trio.BrokenResourceError:
            data = b""
        if not data:
            self._eof()
        return data

    def _eof(self):
        self.eofs += 1
        self.eof_seen.set()


def chunked(*pieces, end=True):
    out = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    return [*out, b"0\r\n\r\n"] if end else out


def response(status, body=b"", *headers):
    return (
        b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n"
        % (
            status,
            len(body),
            b"".join(h + b"\r\n" for h in headers),
        )
        + body
    )


@pytest.fixture
def upstream():
    @asynccontextmanager
    async def start(*scripts):
        async with trio.open_nursery() as nursery:
            server = Upstream(list(scripts))
            listeners = await nursery.start(
                lambda task_status: trio.serve_tcp(
                    server.handle, 0, host="127.0.0.1", task_status=task_status
                )
            )
            server.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            yield server
            nursery.cancel_scope.cancel()

    start.HANG, start.CUT, start.chunked, start.response = HANG, CUT, staticmethod(chunked).__func__, response
    return start

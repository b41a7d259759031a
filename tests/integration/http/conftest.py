"""A real server on a real port, and clients that say exactly what a test wants said."""

import os
import socket
import struct

import pytest
import trio
from quart_trio import QuartTrio

from hivemind.errors import RateLimited
from hivemind.http import problems
from hivemind.http.bodies import BodyLimits
from hivemind.http.lane import EventStream, Lane, Reply, Route, SocketRoute, WebSocketClosed
from hivemind.http.server import serve
from hivemind.settings import ServerSettings

PATIENCE_SECONDS = 20

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: keep-alive, Upgrade\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-extensions: permessage-deflate\r\n\r\n"
)


class Application:
    """The routes that these tests talk to; `held` replies wait until they are let go."""

    def __init__(self):
        self.held = trio.Event()
        self.waiting = 0
        self.streams_ended = 0
        self.sockets_ended = []
        quart = QuartTrio("behind")
        problems.install(quart)

        @quart.get("/quart")
        async def answer():
            return {"quart": True}

        @quart.post("/quart")
        async def reads():
            from quart import request

            return {"size": len(await request.get_data())}

        self.lane = Lane(
            [
                Route("GET", "/hello", self.hello),
                Route("POST", "/echo", self.echo),
                Route("GET", "/held", self.hold),
                Route("GET", "/flood", self.flood),
                Route("GET", "/tick", self.tick),
                Route("GET", "/broken", self.broken),
                Route("GET", "/limited", self.limited),
                SocketRoute("/ws", self.socket),
                SocketRoute("/ws/flood", self.socket_flood),
            ],
            quart,
            body_limits=BodyLimits(10_000),
        )

    async def hello(self, request):
        return Reply.of({"hello": request.peer})

    async def echo(self, request):
        return Reply(200, request.body)

    async def hold(self, request):
        self.waiting += 1
        await self.held.wait()
        return Reply.of({"held": True})

    async def flood(self, request):
        async def pieces():
            try:
                while True:
                    yield b"data: " + b"x" * 20_000 + b"\n\n"
                    await trio.lowlevel.checkpoint()
            finally:
                self.streams_ended += 1

        self.waiting += 1
        return EventStream(pieces())

    async def tick(self, request):
        async def pieces():
            try:
                while not self.held.is_set():
                    yield b"data: tick\n\n"
                    await trio.sleep(0.005)
            finally:
                self.streams_ended += 1

        self.waiting += 1
        return EventStream(pieces())

    async def broken(self, request):
        raise ValueError("hunter2")

    async def limited(self, request):
        raise RateLimited(retry_after_seconds=2)

    async def socket(self, request, socket):
        try:
            while True:
                await socket.send(await socket.receive())
        except WebSocketClosed as closed:
            self.sockets_ended.append(closed.code)
            if closed.code == 1001:
                await socket.send("last words")

    async def socket_flood(self, request, socket):
        self.waiting += 1
        try:
            while True:
                await socket.send("x" * 20_000)
        finally:
            self.sockets_ended.append("flood")


class Peer:
    """One connection, byte by byte."""

    def __init__(self, stream):
        self.stream = stream
        self.buffer = b""

    async def say(self, data):
        await self.stream.send_all(data)

    async def hear(self, count=None, until=None):
        """Exactly `count` bytes, or up to and with `until`, or everything to the end of the connection."""
        while True:
            if count is not None and len(self.buffer) >= count:
                break
            if until is not None and until in self.buffer:
                count = self.buffer.index(until) + len(until)
                break
            try:
                data = await self.stream.receive_some(65536)
            except trio.BrokenResourceError:
                data = b""
            if not data:
                if count is not None or until is not None:
                    raise EOFError(self.buffer)
                count = len(self.buffer)
                break
            self.buffer += data
        heard, self.buffer = self.buffer[:count], self.buffer[count:]
        return heard

    async def reply(self):
        """Status, headers and body of one reply with a length."""
        head = await self.hear(until=b"\r\n\r\n")
        first, *lines = head.decode().lower().rstrip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return int(first.split()[1]), headers, await self.hear(int(headers.get("content-length", 0)))

    async def frame(self):
        """Opcode and payload of one frame."""
        first, second = await self.hear(2)
        length = second & 127
        if length == 126:
            (length,) = struct.unpack("!H", await self.hear(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.hear(8))
        return first & 15, await self.hear(length)

    async def closed(self):
        """The code of the close frame that comes next but for pings; then the end of the connection."""
        opcode, payload = await self.frame()
        while opcode == 9:
            opcode, payload = await self.frame()
        assert opcode == 8, (opcode, payload)
        return struct.unpack("!H", payload[:2])[0]

    async def send_frame(self, opcode, payload=b"", **how):
        await self.say(frame(opcode, payload, **how))

    async def upgrade(self, request=UPGRADE):
        await self.say(request)
        assert (await self.hear(until=b"\r\n\r\n")).startswith(b"HTTP/1.1 101")

    def reset(self):
        """Leave with a RST."""
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()


def frame(opcode, payload=b"", *, first=0x80, masked=True, length=None):
    """A client's frame."""
    size = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    head = bytes([first | opcode])
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


class Site:
    """A running server with its application."""

    def __init__(self, app, bound, stop, nursery):
        self.app, self.bound, self.stop = app, bound, stop
        self.nursery = nursery
        self.ended = trio.Event()
        self.peers = []

    async def dial(self, *, small=False):
        """Connect; a `small` peer takes in little before it has read."""
        sock = trio.socket.socket()
        self.peers.append(Peer(trio.SocketStream(sock)))
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await sock.connect(("127.0.0.1", self.bound.port))
        return self.peers[-1]

    async def ask(self, path="/hello", method="GET", headers="", body=b""):
        """One request on a connection of its own."""
        peer = await self.dial()
        length = f"content-length: {len(body)}\r\n" if body else ""
        request = f"{method} {path} HTTP/1.1\r\nhost: a\r\n{length}{headers}connection: close\r\n\r\n"
        await peer.say(request.encode("latin-1") + body)
        reply = await peer.reply()
        await peer.stream.aclose()
        return reply

    async def lives(self):
        assert (await self.ask())[0] == 200

    async def until(self, condition):
        """Wait for something that another task does."""
        while not condition():
            await trio.sleep(0.005)


@pytest.fixture
def with_server(caplog):
    """Run `await test(site)` against a server with these settings; the server must end by itself after it."""

    def run(test, *, expect_errors=False, **settings):
        defaults = {
            "port": 0,
            "max_body_bytes": 10_000,
            "header_timeout_seconds": 5,
            "idle_timeout_seconds": 30,
            "send_timeout_seconds": 2,
            "drain_seconds": 0.5,
        }

        async def main():
            app, stop = Application(), trio.Event()
            with trio.fail_after(PATIENCE_SECONDS):
                async with trio.open_nursery() as nursery:

                    async def serving(task_status):
                        await serve(
                            app.lane,
                            ServerSettings(**{**defaults, **settings}),
                            stop=stop,
                            task_status=task_status,
                        )
                        site.ended.set()

                    site = Site(app, None, stop, nursery)
                    site.bound = await nursery.start(serving)
                    try:
                        await test(site)
                    finally:
                        for peer in site.peers:
                            await trio.aclose_forcefully(peer.stream)
                    stop.set()

        trio.run(main)
        if not expect_errors:
            assert [
                record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "INFO")
            ] == []

    return run

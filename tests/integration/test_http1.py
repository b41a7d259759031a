"""A connection is used again when both sides ended as agreed, and in no other case."""

from contextlib import asynccontextmanager

import pytest
import trio

from hivemind import outbound
from hivemind.errors import Unreachable
from hivemind.outbound import HttpClient, Target

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Server:
    """Answers the n-th request with the n-th script (the last one again): bytes, or an event to wait for."""

    def __init__(self, *scripts):
        self.scripts = scripts
        self.requests = []
        self.connections = 0
        self.ended = trio.Event()
        self.reached = trio.Event()

    async def handle(self, stream):
        self.connections += 1
        data = b""
        async with stream:
            try:
                while True:
                    while b"\r\n\r\n" not in data:
                        if not (more := await stream.receive_some()):
                            return
                        data += more
                    head, _, data = data.partition(b"\r\n\r\n")
                    self.requests.append(head)
                    for step in self.scripts[min(len(self.requests), len(self.scripts)) - 1]:
                        if isinstance(step, trio.Event):
                            self.reached.set()
                            await step.wait()
                        elif step is None:
                            return
                        else:
                            await stream.send_all(step)
            except trio.BrokenResourceError:
                pass
            finally:
                self.ended.set()


def run(scripts, body, **options):
    async def main():
        server = Server(*scripts)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery, HttpClient(**options) as client:
                listeners = await nursery.start(
                    lambda task_status: trio.serve_tcp(
                        server.handle, 0, host="127.0.0.1", task_status=task_status
                    )
                )
                port = listeners[0].socket.getsockname()[1]
                await body(server, client, Target.parse(f"http://127.0.0.1:{port}/"))
                nursery.cancel_scope.cancel()

    trio.run(main)


async def get(client, target, headers=()):
    async with client.call(target, headers, None, method=b"GET") as reply:
        return reply.status, await reply.start(1 << 20)


@asynccontextmanager
async def refused(match):
    with pytest.raises(Unreachable, match=match):
        yield


@pytest.mark.parametrize(
    ("answer", "said", "kept"),
    [
        ([OK], b"ok", True),
        ([b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK], b"ok", True),
        ([CHUNKED, b"2\r\no", b"k\r\n", b"0\r\n\r\n"], b"ok", True),
        ([CHUNKED, b"2;ext=1\r\nok\r\n0\r\nTrailer: x\r\n\r\n"], b"ok", True),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b"", True),
        ([b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", None], b"ok", False),
        ([b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", None], b"ok", False),
        ([b"HTTP/1.1 200 OK\r\n\r\nok", None], b"ok", False),
        ([OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"], b"ok", False),
        ([b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"], b"", True),
    ],
    ids=[
        "length",
        "informational",
        "chunked",
        "extension",
        "no body",
        "close",
        "old",
        "to the end",
        "two answers",
        "redirect",
    ],
)
def test_how_an_answer_ends(answer, said, kept):
    async def body(server, client, target):
        for _ in range(2):
            status, got = await get(client, target)
            assert got == said
        assert status in (200, 204, 301)
        assert server.connections == (1 if kept else 2)
        assert client.facts() == {"connections": int(kept), "in_use": 0}

    run([answer], body)


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        ([None], "without an answer"),
        ([b"HTTP/1.1 200 OK\r\nContent-", None], "without an answer"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], "Expected HTTP"),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n"], "too long"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n"], "Content-Length"),
        ([b"HTTP/1.1 101 Switching Protocols\r\n\r\n"], "switch|SWITCH"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", None], "before the end"),
        ([CHUNKED, b"5\r\nok", None], "before the end"),
        ([CHUNKED, b"zz\r\nok\r\n"], "chunk size"),
    ],
    ids=["nothing", "half a head", "not http", "big head", "lengths", "switch", "short", "cut", "bad chunk"],
)
def test_what_is_no_answer(answer, match):
    async def body(server, client, target):
        for _ in range(2):
            async with refused(match):
                await get(client, target)
        assert server.connections == 2
        assert client.facts() == {"connections": 0, "in_use": 0}

    run([answer], body)


def test_what_came_before_the_nonsense_is_read_first():
    async def body(server, client, target):
        async with client.call(target, (), None, method=b"GET") as reply:
            assert await reply.read() == b"good"
            async with refused("chunk size"):
                await reply.read()

    run([[CHUNKED + b"2\r\ngo\r\n2\r\nod\r\nzz\r\n"]], body)


def test_a_connection_that_the_server_ended_while_idle_is_replaced_unasked():
    async def body(server, client, target):
        await get(client, target)
        await server.ended.wait()
        assert await get(client, target) == (200, b"ok")
        assert (server.connections, len(server.requests)) == (2, 2)

    run([[OK, None], [OK]], body)


def test_what_a_server_says_unasked_is_no_answer():
    late = trio.Event()

    async def body(server, client, target):
        await get(client, target)
        late.set()
        await server.ended.wait()
        assert await get(client, target) == (200, b"ok")
        assert server.connections == 2

    run([[OK, late, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", None], [OK]], body)


def test_a_connection_that_was_idle_too_long_is_replaced(monkeypatch):
    monkeypatch.setattr(outbound, "_KEEPALIVE_SECONDS", -1.0)

    async def body(server, client, target):
        for _ in range(3):
            await get(client, target)
        assert server.connections == 3

    run([[OK]], body)


@pytest.mark.parametrize("start", [b"", CHUNKED, CHUNKED + b"2\r\nok\r\n"], ids=["head", "body", "mid-body"])
def test_a_cancelled_call_closes_its_socket_and_gives_its_place_back(start):
    async def body(server, client, target):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(get, client, target)
            await server.reached.wait()
            nursery.cancel_scope.cancel()
        assert client.facts() == {"connections": 0, "in_use": 0}
        forever.set()
        await server.ended.wait()
        assert await get(client, target) == (200, b"ok")

    forever = trio.Event()
    # The place is the only one: the next call would fail without it.
    run([[start, forever], [OK]], body, max_connections=1, pool_seconds=0.01)


def test_a_reply_that_is_left_half_read_is_not_kept():
    async def body(server, client, target):
        async with client.call(target, (), None, method=b"GET") as reply:
            assert await reply.read() == b"ok"
        assert client.facts() == {"connections": 0, "in_use": 0}

    run([[CHUNKED + b"2\r\nok\r\n"]], body)


def test_the_end_of_a_body_is_fetched_and_a_cut_end_harms_nobody():
    async def body(server, client, target):
        for kept in (1, 0):
            async with client.call(target, (), None, method=b"GET") as reply:
                assert await reply.read() == b"ok"
                rest.set()
                await reply.drain()
            assert client.facts()["connections"] == kept

    rest = trio.Event()
    start = CHUNKED + b"2\r\nok\r\n"
    run([[start, rest, b"0\r\n\r\n"], [start, rest, None]], body)


def test_a_refusal_before_the_request_was_read_is_heard():
    async def main():
        async def handle(stream):
            async with stream:
                await stream.receive_some(100)
                await stream.send_all(b"HTTP/1.1 413 Too Big\r\nContent-Length: 0\r\n\r\n")

        async with trio.open_nursery() as nursery, HttpClient() as client:
            listeners = await nursery.start(
                lambda task_status: trio.serve_tcp(handle, 0, host="127.0.0.1", task_status=task_status)
            )
            target = Target.parse(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/")
            with trio.fail_after(30):
                try:
                    async with client.call(target, (), b"x" * (8 << 20)) as reply:
                        assert reply.status == 413
                except Unreachable as error:
                    # The kernel may throw the answer away with the reset; then it says so.
                    assert "reset" in error.message or "Broken pipe" in error.message  # noqa: PT017
            assert client.facts() == {"connections": 0, "in_use": 0}
            nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.parametrize("key", ["sk-secret\r\nX-Evil: 1", "sk-secret\n", "sk-secret\0"])
def test_a_header_that_cannot_be_sent_is_refused_without_being_quoted(key):
    async def body(server, client, target):
        with pytest.raises(Unreachable) as caught:
            await get(client, target, [(b"x-api-key", key.encode())])
        assert "secret" not in caught.value.message
        assert caught.value.__context__ is None
        assert server.requests == []
        assert client.facts() == {"connections": 0, "in_use": 0}

    run([[OK]], body)


def test_nobody_listens_and_no_such_host():
    async def body(server, client, target):
        for url, match in (("http://127.0.0.1:1/", "refused|failed"), ("http://nowhere.invalid/", ".")):
            async with refused(match):
                await get(client, Target.parse(url))
        assert client.facts() == {"connections": 0, "in_use": 0}

    run([[OK]], body)

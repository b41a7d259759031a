"""The hot lane without a server: routes, the one way of errors, and what a client that leaves does."""

import logging

import orjson
import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from hivemind.errors import GuardRefused, NotFound, RateLimited
from hivemind.http import problems
from hivemind.http.bodies import BodyLimits
from hivemind.http.lane import EventStream, Lane, Reply, Route, SocketRoute, WebSocketClosed


class Client:
    """Plays one ASGI connection: what it says in order, what it was told."""

    def __init__(self, *says):
        self.says = list(says)
        self.told = []
        self.gone = trio.Event()

    async def receive(self):
        if self.says:
            return self.says.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.told.append(message)

    @property
    def status(self):
        return self.told[0]["status"]

    @property
    def headers(self):
        return dict(self.told[0]["headers"])

    @property
    def body(self):
        return b"".join(message["body"] for message in self.told[1:])


async def behind(scope, receive, send):
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"quart"})


def lane(*routes, app=behind, max_body_bytes=100):
    return Lane(routes, app, body_limits=BodyLimits(max_body_bytes))


def ask(served, method="GET", path="/", body=b"", headers=(), query=b""):
    client = Client({"type": "http.request", "body": body, "more_body": False})
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": list(headers),
        "query_string": query,
        "client": ("192.0.2.1", 4711),
        "http_version": "1.1",
        "scheme": "http",
    }

    async def main():
        await served(scope, client.receive, client.send)

    trio.run(main)
    return client


async def echo(request):
    return Reply.of(
        {
            "method": request.method,
            "params": dict(request.params),
            "query": request.query,
            "body": request.body.decode(),
            "peer": request.peer,
            "accept": request.header(b"accept"),
        },
        201,
    )


def test_a_handler_gets_the_whole_request():
    client = ask(
        lane(Route("POST", "/chat/{slug}", echo)),
        "POST",
        "/chat/hello",
        b"hi",
        [(b"accept", b"a"), (b"host", b"x"), (b"accept", b"b")],
        b"q=1&r=a%20b&q=2",
    )
    assert client.status == 201
    assert client.headers[b"content-length"] == str(len(client.body)).encode()
    assert orjson.loads(client.body) == {
        "method": "POST",
        "params": {"slug": "hello"},
        "query": {"q": "2", "r": "a b"},
        "body": "hi",
        "peer": "192.0.2.1",
        "accept": "a, b",
    }


@pytest.mark.parametrize("path", ["/chat/", "/chat", "/chat/a/b", "/other", "/chat//", "/"])
def test_what_is_not_in_the_table_is_left_to_the_application_behind(path):
    assert ask(lane(Route("GET", "/chat/{slug}", echo)), "GET", path).body == b"quart"


@pytest.mark.parametrize("path", ["", "*", "chat/a", "http://host/chat/a", "http://["])
def test_what_is_no_path_never_gets_as_far_as_quart(path):
    assert ask(lane(Route("GET", "/chat/{slug}", echo)), "GET", path).status == 404


def test_a_path_without_names_comes_before_one_with_names():
    async def plain(request):
        return Reply.of("plain")

    served = lane(Route("GET", "/a/{x}", echo), Route("GET", "/a/b", plain))
    assert ask(served, "GET", "/a/b").body == b'"plain"'
    assert ask(served, "GET", "/a/c").status == 201


def test_other_methods_are_answered_for_the_handler():
    served = lane(Route("GET", "/a", echo), Route("PUT", "/a", echo))
    refused = ask(served, "BREW", "/a")
    assert refused.status == 405
    assert refused.headers[b"allow"] == b"GET, HEAD, OPTIONS, PUT"
    assert orjson.loads(refused.body)["error"]["code"] == "method_not_allowed"
    options = ask(served, "OPTIONS", "/a")
    assert (options.status, options.headers[b"allow"]) == (204, b"GET, HEAD, OPTIONS, PUT")
    assert ask(served, "HEAD", "/a").status == 201


def test_a_body_above_the_cap_never_reaches_a_handler():
    async def never(request):
        raise AssertionError

    client = ask(lane(Route("POST", "/a", never)), "POST", "/a", b"x" * 101)
    assert client.status == 413
    assert (
        ask(lane(Route("POST", "/a", never)), "POST", "/a", headers=[(b"content-length", b"101")]).status
        == 413
    )


def test_the_application_behind_never_sees_more_than_the_cap():
    async def reads(scope, receive, send):
        await receive()
        raise AssertionError

    assert ask(lane(app=reads), "POST", "/q", b"x" * 101).status == 413
    assert ask(lane(app=reads), "POST", "/q", headers=[(b"content-length", b"101")]).status == 413


def test_an_error_of_ours_becomes_the_envelope():
    async def refuses(request):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(limited)

    async def limited():
        raise RateLimited(retry_after_seconds=3)

    client = ask(lane(Route("GET", "/a", refuses)), "GET", "/a")
    assert client.status == 429
    assert client.headers[b"retry-after"] == b"3"
    assert orjson.loads(client.body)["error"]["code"] == "rate_limited"


def test_an_unexpected_error_is_logged_and_kept_from_the_client(caplog):
    async def broken(request):
        raise ValueError("hunter2")

    async def broken_behind(scope, receive, send):
        raise ValueError("hunter2")

    for client in (
        ask(lane(Route("GET", "/a", broken)), "GET", "/a"),
        ask(lane(app=broken_behind), "GET", "/b"),
    ):
        assert client.status == 500
        assert b"hunter2" not in client.body
        assert orjson.loads(client.body)["error"]["code"] == "internal_error"
    assert [record.exc_info[1].args for record in caplog.records] == [("hunter2",), ("hunter2",)]


def test_a_client_that_leaves_before_its_body_is_whole_gets_no_answer():
    client = Client({"type": "http.request", "body": b"x", "more_body": True})

    async def main():
        client.gone.set()
        scope = {"type": "http", "method": "GET", "path": "/a", "headers": []}
        await lane(Route("GET", "/a", echo))(scope, client.receive, client.send)

    trio.run(main)
    assert client.told == []


def test_an_error_before_the_first_piece_of_a_stream_is_answered_like_any_other():
    async def stream(request):
        async def pieces():
            raise NotFound
            yield b""

        return EventStream(pieces())

    assert ask(lane(Route("GET", "/s", stream)), "GET", "/s").status == 404


def test_an_error_within_a_stream_is_its_last_event(caplog):
    async def stream(request):
        async def pieces():
            yield b"data: 1\n\n"
            await trio.testing.wait_all_tasks_blocked()
            if request.path == "/ours":
                raise RateLimited
            raise ValueError("hunter2")

        return EventStream(pieces())

    served = lane(Route("GET", "/ours", stream), Route("GET", "/theirs", stream))
    ours = ask(served, "GET", "/ours")
    assert ours.status == 200
    assert ours.body.startswith(b'data: 1\n\nevent: error\ndata: {"error":{"code":"rate_limited"')
    assert ours.told[-1]["more_body"] is False
    theirs = ask(served, "GET", "/theirs")
    assert b"internal_error" in theirs.body
    assert b"hunter2" not in theirs.body
    assert len(caplog.records) == 1


def test_quart_answers_its_own_errors_in_the_envelope(caplog):
    app = QuartTrio("behind")
    problems.install(app)

    @app.get("/q")
    async def q():
        return {"a": 1}

    @app.get("/refused")
    async def refused():
        raise GuardRefused

    @app.get("/broken")
    async def broken():
        raise ValueError("hunter2")

    served = lane(app=app)
    cases = [
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/q", 405, "method_not_allowed"),
        ("BREW", "/q", 405, "method_not_allowed"),
        ("GET", "/refused", 422, "guard_refused"),
        ("GET", "/broken", 500, "internal_error"),
    ]
    for method, path, status, code in cases:
        client = ask(served, method, path, headers=[(b"host", b"x")])
        assert (client.status, orjson.loads(client.body)["error"]["code"]) == (status, code), (method, path)
        assert b"hunter2" not in client.body
        assert (b"allow" in client.headers) == (status == 405)
    options = ask(served, "OPTIONS", "/q", headers=[(b"host", b"x")])
    assert (options.status, options.body, options.headers[b"allow"]) == (204, b"", b"GET, HEAD, OPTIONS")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def talk(served, *says, path="/ws"):
    client = Client({"type": "websocket.connect"}, *says, {"type": "websocket.disconnect", "code": 1005})

    async def main():
        await served({"type": "websocket", "path": path, "headers": []}, client.receive, client.send)

    trio.run(main)
    return client.told


def text(value):
    return {"type": "websocket.receive", "text": value, "bytes": None}


async def echoing(request, socket):
    while True:
        await socket.send("echo " + await socket.receive())


def test_a_websocket_is_accepted_talked_to_and_left():
    told = talk(lane(SocketRoute("/{name}", echoing)), text("a"), text("b"))
    assert told[0] == {"type": "websocket.accept"}
    assert [message["text"] for message in told[1:3]] == ["echo a", "echo b"]
    assert len(told) == 3


def test_a_handler_may_refuse_the_upgrade_with_a_plain_reply():
    async def refuses(request, socket):
        raise NotFound

    start, body = talk(lane(SocketRoute("/ws", refuses)))
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    assert orjson.loads(body["body"])["error"]["code"] == "not_found"


def test_an_error_after_the_upgrade_is_the_last_text(caplog):
    async def broken(request, socket):
        raise ValueError(await socket.receive())

    _, last, close = talk(lane(SocketRoute("/ws", broken)), text("hunter2"))
    assert orjson.loads(last["text"])["error"]["code"] == "internal_error"
    assert "hunter2" not in last["text"]
    assert close == {"type": "websocket.close", "code": 1011}
    assert len(caplog.records) == 1


def test_a_binary_frame_is_closed_with_its_code():
    told = talk(lane(SocketRoute("/ws", echoing)), {"type": "websocket.receive", "text": None, "bytes": b"x"})
    assert told[-1] == {"type": "websocket.close", "code": 1003}


def test_a_handler_may_still_send_when_the_server_stops():
    async def finishing(request, socket):
        try:
            await socket.receive()
        except WebSocketClosed as closed:
            await socket.send(f"closed {closed.code}")

    stopping = {"type": "websocket.disconnect", "code": 1001, "draining": True}
    told = talk(lane(SocketRoute("/ws", finishing)), stopping)
    assert [message.get("text") for message in told[1:]] == ["closed 1001", None]
    assert told[-1] == {"type": "websocket.close", "code": 1001}


def test_what_is_no_hot_websocket_is_left_to_the_application_behind():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["path"])

    talk(lane(SocketRoute("/ws", echoing), app=app), path="/elsewhere")
    assert seen == ["/elsewhere"]

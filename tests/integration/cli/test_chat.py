"""Promise: a conversation in the terminal outlives its connection, and Ctrl-C is heard by the server."""

import json
import signal

import pytest
import trio
from trio_websocket import ConnectionClosed, serve_websocket

from hivemind.cli import chat
from hivemind.cli.chat import Answer, Conversation
from hivemind.errors import Unreachable

ACCEPTED = {"type": "accepted", "turn_id": "t", "conversation_id": "c", "conversation_token": "k"}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(chat, "RECONNECT_WAITS_SECONDS", (0.0, 0.0, 0.0))


def hear(*scripts, reject=None):
    """Play one script per connection; give the answer, what was written, what the server got, whether left."""
    received, written, paths = [], [], []
    answer = Answer("hi", Conversation(), written.append)
    remaining = list(scripts)

    async def connected(request):
        paths.append(request.path)
        if reject is not None:
            await request.reject(*reject[:1], body=reject[1])
            return
        socket = await request.accept()
        script = remaining.pop(0)

        async def get():
            received.append(json.loads(await socket.get_message()))
            return received[-1]

        async def send(**frame):
            await socket.send_message(json.dumps(frame))

        try:
            await get()
            await script(get, send)
        except ConnectionClosed:
            pass

    async def main():
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                server = await nursery.start(serve_websocket, connected, "127.0.0.1", 0, None)
                port = server.port
                left = await chat.hear(f"http://127.0.0.1:{port}", "hello", answer)
                nursery.cancel_scope.cancel()
        return left

    left = trio.run(main)
    return answer, "".join(written), received, left, paths


def test_an_answer_streams_to_its_end():
    async def script(get, send):
        await send(**ACCEPTED, epoch=1, seq=0)
        await send(type="delta", text="Hel", epoch=1, seq=1)
        await send(type="delta", text="lo", epoch=1, seq=2)
        await send(type="reply", reply="Hello", epoch=1, seq=3)

    answer, written, received, left, paths = hear(script)
    assert (written, left, answer.error) == ("Hello", False, None)
    assert received[0]["message"] == "hi"
    assert paths == ["/api/v1/public/agents/chat/hello/ws"]


def test_a_dropped_connection_is_resumed_after_the_last_frame():
    async def dropped(get, send):
        await send(**ACCEPTED, epoch=1, seq=0)
        await send(type="delta", text="Hel", epoch=1, seq=1)

    async def resumed(get, send):
        await send(type="delta", text="lo", epoch=1, seq=2)
        await send(type="reply", reply="Hello", epoch=1, seq=3)

    _, written, received, _, _ = hear(dropped, resumed)
    assert written == "Hello"
    assert received[1] == {
        "type": "resume",
        "conversation_id": "c",
        "conversation_token": "k",
        "turn_id": "t",
        "epoch": 1,
        "seq": 1,
    }


def test_a_message_that_was_not_acknowledged_goes_out_again_under_its_key():
    async def dropped(get, send):
        pass

    async def answered(get, send):
        await send(type="reply", reply="x")

    _, _, received, _, _ = hear(dropped, answered)
    assert received[0] == received[1]
    assert received[0]["idempotency_key"]


def test_a_connection_that_never_comes_back_is_told():
    async def dropped(get, send):
        pass

    answer, _, received, left, _ = hear(dropped, dropped, dropped, dropped, dropped)
    assert isinstance(answer.error, Unreachable)
    assert "does not come back" in answer.error.message
    assert (len(received), left) == (4, False)


def test_a_refused_handshake_is_shown_as_the_server_says_it():
    body = b'{"error": {"code": "not_found", "message": "no agent named hello"}}'
    answer, _, _, _, _ = hear(reject=(404, body))
    assert (answer.error.answered_code, answer.error.message) == ("not_found", "no agent named hello")


def test_ctrl_c_interrupts_the_answer():
    async def script(get, send):
        await send(**ACCEPTED, epoch=1, seq=0)
        signal.raise_signal(signal.SIGINT)
        assert (await get())["type"] == "interrupt"
        await send(type="error", error={"code": "interrupted", "message": "stopped"})

    answer, _, _, left, _ = hear(script)
    assert (answer.error.answered_code, left) == ("interrupted", False)


def test_ctrl_c_twice_leaves():
    async def script(get, send):
        await send(**ACCEPTED, epoch=1, seq=0)
        signal.raise_signal(signal.SIGINT)
        await get()
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    _, _, _, left, _ = hear(script)
    assert left


def test_no_server_is_said_with_what_to_do():
    answer = Answer("x", Conversation(), print)

    async def main():
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        port = listener.socket.getsockname()[1]
        await listener.aclose()
        return await chat.hear(f"http://127.0.0.1:{port}", "hello", answer)

    assert trio.run(main) is False
    assert isinstance(answer.error, Unreachable)
    assert "make run" in answer.error.remedy


@pytest.mark.parametrize(
    "sent", [b"220 mail ready\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b""]
)
def test_something_else_on_the_port_is_not_taken_for_a_server(monkeypatch, sent):
    monkeypatch.setattr(chat, "CONNECT_SECONDS", 0.2)
    answer = Answer("x", Conversation(), print)

    async def other(stream):
        await stream.receive_some()
        await stream.send_all(sent)

    async def main():
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                listener = (await nursery.start(trio.serve_tcp, other, 0))[0]
                await chat.hear(f"http://127.0.0.1:{listener.socket.getsockname()[1]}", "hello", answer)
                nursery.cancel_scope.cancel()

    trio.run(main)
    assert isinstance(answer.error, Unreachable)

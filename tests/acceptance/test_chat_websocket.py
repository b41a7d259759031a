"""Promise: everything that chat can do also goes over one socket, and nonsense on it breaks nothing."""

import json

import pytest
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected


async def send(socket, **frame):
    await socket.send_message(json.dumps(frame))


async def hear(socket):
    return json.loads(await socket.get_message())


async def to_the_end(socket):
    frames = [await hear(socket)]
    while frames[-1]["type"] not in ("reply", "error"):
        frames.append(await hear(socket))
    return frames


def known(accepted):
    return {name: accepted[name] for name in ("conversation_id", "conversation_token")}


def test_messages_are_answered_one_after_another(with_site):
    async def test(site):
        async with site.socket() as socket:
            await send(socket, type="message", message="hi")
            accepted, *deltas, reply = await to_the_end(socket)
            assert accepted["type"] == "accepted"
            assert "".join(frame["text"] for frame in deltas) == reply["reply"] == "Hello there."
            assert [frame["seq"] for frame in (accepted, *deltas, reply)] == list(range(len(deltas) + 2))
            assert reply["usage"] == {"input_tokens": 11, "output_tokens": 7, "cost_micros": 25}
            await send(socket, type="message", message="more", **known(accepted))
            second = (await to_the_end(socket))[-1]
            assert second["type"] == "reply"
            assert second["conversation_id"] == accepted["conversation_id"]

    with_site(test)


def test_ping_is_answered_also_while_a_turn_runs(with_site):
    async def test(site):
        go_on = trio.Event()
        site.model.says("Slow", go_on, " answer")
        async with site.socket() as socket:
            await send(socket, type="ping")
            assert await hear(socket) == {"type": "pong"}
            await send(socket, type="message", message="hi")
            await site.model.asked()
            await send(socket, type="ping")
            while (await hear(socket))["type"] != "pong":
                pass
            go_on.set()
            assert (await to_the_end(socket))[-1]["reply"] == "Slow answer"

    with_site(test)


def test_interrupt_ends_the_turn(with_site):
    async def test(site):
        site.model.says("word " * 2000, trio.Event(), when="long")
        async with site.socket() as socket:
            await send(socket, type="message", message="long")
            accepted = await hear(socket)
            while (await hear(socket))["type"] != "delta":
                pass
            await send(socket, type="interrupt")
            last = (await to_the_end(socket))[-1]
            assert last["error"]["code"] == "interrupted"
            assert await site.value("select state from turns") == "interrupted"
            assert await site.value("select output_tokens > 100 from turns"), "what was streamed is booked"
            await send(socket, type="message", message="hi", **known(accepted))
            assert (await to_the_end(socket))[-1]["reply"] == "Hello there."

    with_site(test)


def test_a_turn_is_resumed_on_another_socket(with_site):
    async def test(site):
        go_on = trio.Event()
        site.model.says("word " * 2000, go_on, "end")
        async with site.socket() as socket:
            await send(socket, type="message", message="hi")
            accepted, first = await hear(socket), await hear(socket)
        go_on.set()
        async with site.socket() as socket:
            place = {"epoch": first["epoch"], "seq": first["seq"], "turn_id": accepted["turn_id"]}
            await send(socket, type="resume", **known(accepted), **place)
            rest = await to_the_end(socket)
        assert rest[0]["seq"] == first["seq"] + 1
        said = "".join(frame.get("text", "") for frame in (first, *rest))
        assert said == rest[-1]["reply"] == "word " * 2000 + "end"
        assert len(site.model.requests) == 1

    with_site(test)


def test_what_is_malformed_is_told_and_the_socket_stays(with_site):
    async def test(site):
        async with site.socket() as socket:
            for text in (
                "",
                "x",
                "[]",
                "null",
                "{}",
                '{"type":"nothing"}',
                '{"type":"message"}',
                '{"type":"message","message":""}',
                '{"type":"message","message":5}',
                '{"type":"message","message":"a","more":1}',
                '{"type":"message","message":"a\\u0000b"}',
                '{"type":"message","message":"a","conversation_id":"x"}',
                '{"type":"resume"}',
                '{"type":NaN}',
                "[" * 5000,
            ):
                await socket.send_message(text)
                told = await hear(socket)
                assert told["type"] == "error", text
                assert told["error"]["code"] in ("invalid_request", "invalid_fields"), text
            await send(socket, type="message", message="hi")
            assert (await to_the_end(socket))[-1]["reply"] == "Hello there."

    with_site(test)


def test_an_invalid_token_is_told(with_site):
    async def test(site):
        async with site.socket() as socket:
            await send(socket, type="message", message="hi")
            accepted = (await to_the_end(socket))[0]
            wrong = {**known(accepted), "conversation_token": "x"}
            await send(socket, type="message", message="hi", **wrong)
            assert (await hear(socket))["error"]["code"] == "not_permitted"
            await send(socket, type="resume", turn_id=accepted["turn_id"], **wrong)
            assert (await hear(socket))["error"]["code"] == "not_permitted"

    with_site(test)


def test_what_is_too_large_or_binary_closes_the_socket_alone(with_site):
    async def test(site):
        for data, codes in (("x" * 2**21, {1009}), (b"\0\1", {1003})):
            async with site.socket() as socket:
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.send_message(data)
                    await socket.get_message()
                assert closed.value.reason.code in codes
        assert (await site.say("hi"))["reply"] == "Hello there."

    with_site(test)


def test_an_unknown_agent_has_no_socket(with_site):
    async def test(site):
        not_found = pytest.RaisesExc(ConnectionRejected, check=lambda error: error.status_code == 404)
        with pytest.RaisesGroup(not_found):
            async with site.socket("nobody"):
                pass

    with_site(test)

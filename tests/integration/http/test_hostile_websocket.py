"""What a hostile WebSocket client does ends at most its own connection, with the code that it has earned."""

import orjson
import pytest

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def test_texts_go_both_ways_and_a_ping_is_answered(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.upgrade()
        await peer.send_frame(TEXT, "hé".encode())
        assert await peer.frame() == (TEXT, "hé".encode())
        await peer.send_frame(PING, b"are you there")
        assert await peer.frame() == (PONG, b"are you there")
        await peer.send_frame(TEXT, b"in ", first=0)
        await peer.send_frame(PING, b"")
        await peer.send_frame(0, b"parts")
        assert await peer.frame() == (PONG, b"")
        assert await peer.frame() == (TEXT, b"in parts")
        await peer.send_frame(CLOSE, b"\x03\xe8")
        assert await peer.closed() == 1000
        assert await peer.hear() == b""
        assert site.app.sockets_ended == [1000]

    with_server(test)


@pytest.mark.parametrize("path", ["/ws", "/quart", "/nothing"])
def test_a_byte_after_the_upgrade_request_ends_one_connection_at_most(with_server, path):
    """Stock hypercorn ends the whole process here."""

    async def test(site):
        request = (
            f"GET {path} HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
        ).encode()
        for early in (b"x", b"\x81", b"x" * 20_000, b"GET / HTTP/1.1\r\n\r\n"):
            peer = await site.dial()
            await peer.say(request + early)
            await peer.hear(until=b"\r\n\r\n")
            await site.lives()
            await peer.stream.aclose()

    with_server(test)


def test_a_frame_that_comes_with_the_upgrade_request_is_kept(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.say(
            b"GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
            b"\x81\x82\x00\x00\x00\x00hi"
        )
        await peer.hear(until=b"\r\n\r\n")
        assert await peer.frame() == (TEXT, b"hi")

    with_server(test)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"opcode": TEXT, "payload": b"\xff\xfe"}, 1007),
        ({"opcode": BINARY, "payload": b"x"}, 1003),
        ({"opcode": TEXT, "payload": b"x" * 10_001}, 1009),
        ({"opcode": TEXT, "payload": b"x", "masked": False}, 1002),
        ({"opcode": 3, "payload": b"x"}, 1002),
        ({"opcode": TEXT, "payload": b"x", "first": 0xF0}, 1002),
        ({"opcode": TEXT, "payload": b"x", "first": 0xC0}, 1002),
        ({"opcode": 0, "payload": b"x"}, 1002),
        ({"opcode": PING, "payload": b"x" * 200}, 1002),
        ({"opcode": PING, "payload": b"x", "first": 0}, 1002),
        ({"opcode": CLOSE, "payload": b"x"}, 1002),
        ({"opcode": CLOSE, "payload": b"\x00\x01"}, 1002),
        ({"opcode": CLOSE, "payload": b"\x03\xe8\xff"}, 1007),
    ],
)
def test_a_frame_that_breaks_a_rule_is_closed_with_its_code(with_server, frame, code):
    async def test(site):
        peer = await site.dial()
        await peer.upgrade()
        await peer.send_frame(**frame)
        assert await peer.closed() == code
        assert await peer.hear() == b""
        await site.until(lambda: len(site.app.sockets_ended) == 1)
        await site.lives()

    with_server(test)


def test_a_frame_that_promises_too_much_is_closed_long_before_it_has_come(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.upgrade()
        await peer.send_frame(TEXT, b"x" * 30_000, length=2**40)
        assert await peer.closed() == 1009

    with_server(test)


def test_many_small_parts_count_together(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.upgrade()
        await peer.send_frame(TEXT, b"x" * 5000, first=0)
        await peer.send_frame(0, b"x" * 5001, first=0)
        assert await peer.closed() == 1009

    with_server(test)


def test_data_after_a_close_is_not_looked_at(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.upgrade()
        await peer.send_frame(CLOSE, b"\x03\xe8")
        await peer.say(b"x" * 1000)
        assert await peer.closed() == 1000
        await site.lives()

    with_server(test)


@pytest.mark.parametrize(
    "headers",
    [
        "sec-websocket-version: 13\r\n",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 8\r\n",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\nsec-websocket-protocol: \xff\r\n",
    ],
)
def test_an_upgrade_that_is_none_is_a_bad_request(with_server, headers):
    async def test(site):
        peer = await site.dial()
        request = f"GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n{headers}\r\n"
        await peer.say(request.encode("latin-1"))
        status, told, body = await peer.reply()
        assert (status, told["connection"]) == (400, "close")
        assert orjson.loads(body)["error"]["code"] == "invalid_request"
        assert await peer.hear() == b""
        await site.lives()

    with_server(test)


def test_an_upgrade_where_no_websocket_is_has_the_envelope(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.say(
            b"GET /hello HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
        )
        status, _, body = await peer.reply()
        assert status == 404
        assert orjson.loads(body)["error"]["code"] == "not_found"
        assert await peer.hear() == b""

    with_server(test)


def test_a_client_that_resets_ends_its_socket(with_server):
    async def test(site):
        for _ in range(5):
            peer = await site.dial()
            await peer.upgrade()
            await peer.send_frame(TEXT, b"x")
            peer.reset()
        flood = await site.dial()
        await flood.say(
            b"GET /ws/flood HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
        )
        await flood.hear(until=b"xxxx")
        flood.reset()
        await site.until(lambda: len(site.app.sockets_ended) == 6)
        await site.lives()

    with_server(test)


def test_a_peer_that_is_silent_is_asked_and_then_given_up(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.upgrade()
        assert (await peer.frame())[0] == PING
        heard = await peer.hear()
        assert len(heard) <= 8
        assert site.app.sockets_ended == [1006]

    with_server(test, idle_timeout_seconds=0.3)


def test_a_peer_that_answers_pings_is_kept(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.upgrade()
        for _ in range(8):
            assert (await peer.frame())[0] == PING
            await peer.send_frame(PONG)
        await peer.send_frame(TEXT, b"still here")
        assert (TEXT, b"still here") in [await peer.frame(), await peer.frame()]

    with_server(test, idle_timeout_seconds=0.3)

"""What a hostile HTTP client does ends at most its own connection, and the answer is our envelope."""

import random
import resource

import orjson
import pytest
import trio


def code(body):
    return orjson.loads(body)["error"]["code"]


@pytest.mark.parametrize(
    ("request_bytes", "status", "told"),
    [
        (b"garbage\r\n\r\n", 400, "invalid_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "invalid_request"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "invalid_request"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400, "invalid_request"),
        (b"GET /h\xc3\xa9 HTTP/1.1\r\nhost: a\r\n\r\n", 400, "invalid_request"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nbad name: x\r\n\r\n", 400, "invalid_request"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: \x00\r\n\r\n", 400, "invalid_request"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", 431, "headers_too_large"),
        (b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n", 400, "invalid_request"),
        (b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", 400, "invalid_request"),
        (
            b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            400,
            "invalid_request",
        ),
        (b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", 501, "not_implemented"),
        (b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10001\r\n\r\n", 413, "body_too_large"),
        (b"POST /quart HTTP/1.1\r\nhost: a\r\ncontent-length: 10001\r\n\r\n", 413, "body_too_large"),
        (
            b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10001\r\nexpect: 100-continue\r\n\r\n",
            413,
            "body_too_large",
        ),
        (
            b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            400,
            "invalid_request",
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version_not_supported"),
    ],
)
def test_what_is_no_http_is_answered_in_the_envelope_and_closed(with_server, request_bytes, status, told):
    async def test(site):
        peer = await site.dial()
        await peer.say(request_bytes)
        answered, headers, body = await peer.reply()
        assert (answered, code(body)) == (status, told)
        assert headers["connection"] == "close"
        assert await peer.hear() == b""
        await site.lives()

    with_server(test)


@pytest.mark.parametrize("path", ["/echo", "/quart"])
def test_a_chunked_body_above_the_cap_is_refused_before_it_is_whole(with_server, path):
    async def test(site):
        peer = await site.dial()
        await peer.say(f"POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        await peer.say(b"2710\r\n" + b"x" * 10_000 + b"\r\n1\r\nx\r\n")
        answered, _, body = await peer.reply()
        assert (answered, code(body)) == (413, "body_too_large")
        assert await peer.hear() == b""

    with_server(test)


def test_a_refused_body_that_is_sent_all_the_same_does_not_cost_its_client_the_answer(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.say(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 500000\r\n\r\n" + b"x" * 500_000)
        assert (await peer.reply())[0] == 413
        assert await peer.hear() == b""

    with_server(test)


def test_an_answer_before_the_body_came_says_that_the_connection_ends(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.say(b"POST /nothing HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n")
        status, headers, _ = await peer.reply()
        assert (status, headers["connection"]) == (404, "close")
        assert await peer.hear() == b""

    with_server(test)


def test_a_body_within_the_cap_arrives_whole_however_it_is_sent(with_server):
    async def test(site):
        assert (await site.ask("/echo", "POST", body=b"x" * 10_000))[2] == b"x" * 10_000
        assert orjson.loads((await site.ask("/quart", "POST", body=b"x" * 10_000))[2]) == {"size": 10_000}
        peer = await site.dial()
        await peer.say(b"POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        assert (await peer.hear(until=b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        await peer.say(b"abcd")
        assert (await peer.reply())[2] == b"abcd"
        await peer.say(
            b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        )
        assert (await peer.reply())[2] == b"abc"

    with_server(test)


def test_a_document_is_asked_for_when_it_is_larger_than_other_bodies_and_not_larger_than_documents(
    with_server,
):
    async def test(site):
        head = "POST {} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n"
        for path, size, status in (
            ("/api/v1/knowledge", 10_001, b"HTTP/1.1 100"),
            ("/api/admin/knowledge", 20_000, b"HTTP/1.1 100"),
            ("/api/v1/knowledge", 20_001, b"HTTP/1.1 413"),
            ("/api/v1/profiles", 10_001, b"HTTP/1.1 413"),
        ):
            peer = await site.dial()
            await peer.say(head.format(path, size).encode())
            assert (await peer.hear(until=b"\r\n")).startswith(status), (path, size)

    with_server(test, max_document_bytes=20_000)


@pytest.mark.parametrize(
    "begun",
    [
        b"G",
        b"GET /hello HTTP/1.1\r\nhost: a\r\n",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc",
        b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\nGET /hel",
    ],
)
def test_a_request_that_does_not_arrive_is_timed_out(with_server, begun):
    async def test(site):
        peer = await site.dial()
        await peer.say(begun)
        answered, _, body = await peer.reply()
        if answered == 200:
            answered, _, body = await peer.reply()
        assert (answered, code(body)) == (408, "request_timeout")
        assert await peer.hear() == b""

    with_server(test, header_timeout_seconds=0.2)


def test_trickling_headers_do_not_move_the_deadline(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.say(b"GET /hello HTTP/1.1\r\nhost: a\r\n")

        async def trickle():
            while True:
                await peer.say(b"x: y\r\n")
                await trio.sleep(0.05)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle)
            assert (await peer.reply())[0] == 408
            nursery.cancel_scope.cancel()

    with_server(test, header_timeout_seconds=0.3)


def test_an_idle_connection_is_closed_and_one_that_works_is_not(with_server):
    async def test(site):
        idle, used, working = await site.dial(), await site.dial(), await site.dial()
        await used.say(b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await used.reply())[0] == 200
        await working.say(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
        assert await idle.hear() == b""
        assert await used.hear() == b""
        site.app.held.set()
        assert (await working.reply())[0] == 200

    with_server(test, idle_timeout_seconds=0.2)


def test_pipelined_requests_are_answered_in_order_and_garbage_after_them_is_refused(with_server):
    async def test(site):
        peer = await site.dial()
        post = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n"
        await peer.say(b"".join(post + b"%d" % number for number in range(9)) + b"\x00garbage\r\n\r\n")
        for number in range(9):
            assert (await peer.reply())[2] == b"%d" % number
        assert (await peer.reply())[0] == 400
        assert await peer.hear() == b""
        await site.lives()

    with_server(test)


def test_data_after_a_request_that_closes_is_never_served(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.say(
            b"GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\nGET /hello HTTP/1.1\r\nhost: a\r\n\r\n"
        )
        assert (await peer.reply())[0] == 200
        assert await peer.hear() == b""

    with_server(test)


def test_data_after_a_request_that_closes_does_not_spoil_its_reply(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.say(b"GET /held HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\nrubbish")
        await site.until(lambda: site.app.waiting == 1)
        await peer.say(b"more rubbish\r\n\r\n" * 1000)
        site.app.held.set()
        assert (await peer.reply())[0] == 200
        assert await peer.hear() == b""

    with_server(test)


@pytest.mark.parametrize("path", ["/hello", "/quart", "/tick"])
@pytest.mark.parametrize("how", ["HTTP/1.1\r\nconnection: close", "HTTP/1.0\r\nx: y"])
def test_a_client_that_asks_for_the_end_gets_it(with_server, path, how):
    async def test(site):
        site.app.held.set()
        peer = await site.dial()
        await peer.say(f"GET {path} {how}\r\nhost: a\r\n\r\n".encode())
        heard = await peer.hear()
        assert heard.startswith(b"HTTP/1.1 200")

    with_server(test)


def test_http2_is_not_spoken(with_server):
    async def test(site):
        upgrade = "upgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
        assert (await site.ask(headers=upgrade))[0] == 200
        await site.lives()

    with_server(test)


@pytest.mark.parametrize("path", ["/flood", "/tick"])
def test_a_client_that_resets_in_mid_stream_ends_its_stream(with_server, path):
    async def test(site):
        for _ in range(5):
            peer = await site.dial()
            await peer.say(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
            await peer.hear(until=b"data: ")
            peer.reset()
        await site.until(lambda: site.app.streams_ended == 5)
        await site.lives()

    with_server(test)


def test_a_reset_with_requests_in_the_pipe_ends_one_connection(with_server):
    async def test(site):
        peer = await site.dial()
        await peer.say(
            b"GET /tick HTTP/1.1\r\nhost: a\r\n\r\n" + b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n" * 1000
        )
        await peer.hear(until=b"data: ")
        peer.reset()
        await site.until(lambda: site.app.streams_ended == 1)
        await site.lives()

    with_server(test)


def test_a_reader_that_never_reads_is_given_up(with_server):
    async def test(site):
        peer = await site.dial(small=True)
        await peer.say(b"GET /flood HTTP/1.1\r\nhost: a\r\n\r\n")
        await site.until(lambda: site.app.streams_ended == 1)
        await site.lives()

    with_server(test, send_timeout_seconds=0.3)


def test_a_thousand_idle_connections_are_no_burden(with_server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))

    async def test(site):
        peers = []
        for _ in range(1000):
            peers.append(await site.dial())
            if len(peers) % 100 == 0:
                await site.lives()
        await peers[0].say(b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await peers[0].reply())[0] == 200
        for peer in peers:
            await peer.stream.aclose()

    try:
        with_server(test)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_at_the_cap_the_longest_idle_connection_makes_room(with_server):
    async def test(site):
        first, second = await site.dial(), await site.dial()
        await first.say(b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n")
        await first.reply()
        await second.say(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
        await site.until(lambda: site.app.waiting == 1)
        third = await site.dial()
        await third.say(b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await third.reply())[0] == 200
        assert await first.hear() == b""
        site.app.held.set()
        assert (await second.reply())[0] == 200

    with_server(test, max_connections=2)


def test_at_the_cap_with_nobody_idle_a_client_is_turned_away(with_server):
    async def test(site):
        busy = await site.dial()
        await busy.say(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
        await site.until(lambda: site.app.waiting == 1)
        refused = await site.dial()
        status, headers, body = await refused.reply()
        assert (status, headers["retry-after"], code(body)) == (503, "1", "overloaded")
        assert await refused.hear() == b""
        await refused.stream.aclose()
        site.app.held.set()
        await busy.reply()
        await busy.stream.aclose()
        await site.lives()

    with_server(test, max_connections=1)


def test_errors_of_handlers_end_requests_and_not_connections(with_server):
    async def test(site):
        peer = await site.dial()
        for path, status in (
            ("/broken", 500),
            ("/limited", 429),
            ("/nothing", 404),
            ("/hello", 200),
            ("/quart", 200),
        ):
            await peer.say(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
            answered, _, body = await peer.reply()
            assert answered == status
            assert b"hunter2" not in body

    with_server(test, expect_errors=True)


def test_head_options_and_unknown_methods_are_answered_alike_by_lane_and_quart(with_server):
    async def test(site):
        for path in ("/hello", "/quart"):
            peer = await site.dial()
            await peer.say(f"HEAD {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
            heard = await peer.hear()
            assert heard.startswith(b"HTTP/1.1 200")
            assert heard.endswith(b"\r\n\r\n")
        assert (await site.ask("/hello", "OPTIONS"))[0::2] == (204, b"")
        assert (await site.ask("/hello", "BREW"))[0] == 405
        assert (await site.ask("*", "OPTIONS"))[0] == 404
        assert (await site.ask("?x"))[0] == 404

    with_server(test)


def test_no_random_bytes_get_an_error_out_of_the_server(with_server):
    dice = random.Random(20)
    seeds = [
        b"GET /hello HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
        b"POST /quart HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        (
            b"GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: a, b\r\n\r\n\x81\x85abcdefghi"
        ),
    ]

    def spoilt():
        data = bytearray(dice.choice(seeds) * dice.choice((1, 1, 3)))
        for _ in range(dice.randrange(1, 8)):
            at = dice.randrange(len(data))
            match dice.randrange(3):
                case 0:
                    data[at] = dice.randrange(256)
                case 1:
                    del data[at : at + dice.randrange(1, 6)]
                case _:
                    data[at:at] = dice.randbytes(dice.randrange(1, 6))
            data = data or bytearray(b"x")
        return bytes(data)

    async def test(site):
        for _ in range(400):
            peer = await site.dial()
            await peer.say(spoilt())
            with trio.move_on_after(0.002):
                heard = await peer.hear()
                assert b"HTTP/1.1 500" not in heard
            await peer.stream.aclose()
        await site.lives()

    with_server(test)


UPGRADE = (
    b"GET /ws HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13"
    b"\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
)


@pytest.mark.parametrize(
    ("request_line", "status_line"),
    [
        (b"GET /hello HTTP/1.1", b"HTTP/1.1 200 OK"),
        (b"GET /nowhere HTTP/1.1", b"HTTP/1.1 404 Not Found"),
        (b"nonsense", b"HTTP/1.1 400 Bad Request"),
        (b"POST /echo HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1", b"HTTP/1.1 100 Continue"),
        (UPGRADE, b"HTTP/1.1 101 Switching Protocols"),
    ],
)
def test_a_status_line_has_its_reason_phrase(with_server, request_line, status_line):
    async def test(site):
        peer = await site.dial()
        await peer.say(request_line + b"\r\nhost: a\r\n\r\n")
        assert (await peer.hear(until=b"\r\n")).rstrip() == status_line

    with_server(test)

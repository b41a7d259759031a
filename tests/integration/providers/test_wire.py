"""Each provider against a server that speaks its wire format, well and badly, on real sockets."""

import random

import orjson
import pytest
import trio
from pydantic import SecretStr

from hivemind.errors import ProviderError, ProviderRejected, ProviderUnavailable
from hivemind.outbound import HttpClient
from hivemind.providers import Calls, ProviderMessage, ProviderRequest, Stop, TextDelta, Usage, ping_at_start
from hivemind.providers.anthropic import Anthropic
from hivemind.providers.ollama import Ollama
from hivemind.providers.openai import OpenAI
from hivemind.providers.patience import Patience
from hivemind.providers.remote import Remote

KEY = "sk-very-secret-key"
REQUEST = ProviderRequest("", "Be brief.", (ProviderMessage("user", "hi"),), 50)
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
NDJSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(body):
    return b"event: %s\ndata: %s\n\n" % (body["type"].encode(), orjson.dumps(body))


def data(body):
    return b"data: " + orjson.dumps(body) + b"\n\n"


def line(body):
    return orjson.dumps(body) + b"\n"


WIRES = {
    "anthropic": (
        Anthropic(),
        SSE,
        [
            event({"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}),
            event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            event({"type": "ping"}),
            event(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hel"}}
            ),
            event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}}),
            event({"type": "content_block_stop", "index": 0}),
            event(
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}
            ),
            event({"type": "message_stop"}),
        ],
    ),
    "openai": (
        OpenAI("openai"),
        SSE,
        [
            data({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "hel"}}]}),
            data({"choices": [{"index": 0, "delta": {"content": "lo"}}]}),
            data({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
            data({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}),
            b"data: [DONE]\n\n",
        ],
    ),
    "ollama": (
        Ollama(),
        NDJSON,
        [
            line({"message": {"role": "assistant", "content": "hel"}, "done": False}),
            line({"message": {"role": "assistant", "content": "lo"}, "done": False}),
            line({"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 2}),
        ],
    ),
}
# How many pieces of each come before the second half of the text.
HALF = {"anthropic": 4, "openai": 1, "ollama": 1}


@pytest.fixture(params=WIRES)
def wire(request):
    return request.param


def good(name, upstream):
    _, head, pieces = WIRES[name]
    return [head, *upstream.chunked(*pieces)]


def half(name, upstream, *rest):
    _, head, pieces = WIRES[name]
    return [head, *upstream.chunked(*pieces[: HALF[name]], end=False), *rest]


def calls(name, server, client, **patience):
    remote = Remote(WIRES[name][0], client, server.url, key=SecretStr(KEY), default_model="the-model")
    quick = {"pace_seconds": 0, "backoff_initial_seconds": 0.001, **patience}
    return Calls(remote, Patience(**quick))


async def collect(calls):
    """All events; how much text comes in one read is the kernel's business."""
    events = []
    async for group in calls.stream(REQUEST):
        for event in group:
            if isinstance(event, TextDelta) and events and isinstance(events[-1], TextDelta):
                events[-1] = TextDelta(events[-1].text + event.text)
            else:
                events.append(event)
    return events


def run(upstream, scripts, body, **client):
    async def main():
        with trio.fail_after(60):
            async with upstream(*scripts) as server, HttpClient(**client) as http:
                await body(server, http)

    trio.run(main)


def test_a_good_answer_and_the_connection_is_kept(upstream, wire):
    async def body(server, http):
        c = calls(wire, server, http)
        for _ in range(3):
            assert await collect(c) == [TextDelta("hello"), Stop("end"), Usage(9, 2)]
        assert server.connections == 1
        assert http.facts() == {"connections": 1, "in_use": 0}
        head, sent = server.requests[0]
        assert orjson.loads(sent)["model"] == "the-model"
        assert KEY.encode() in head

    run(upstream, [good(wire, upstream)], body)


def test_a_connection_that_the_server_closed_while_idle_is_not_used_again(upstream, wire):
    async def body(server, http):
        c = calls(wire, server, http)
        for n in range(3):
            assert TextDelta("hello") in await collect(c)
            await server.closed[n].wait()
        assert server.connections == 3
        assert c.facts()["retries"] == 0
        assert http.facts()["in_use"] == 0

    run(upstream, [[*good(wire, upstream), upstream.CUT]], body)


def test_429_with_retry_after_then_529_then_good(upstream, wire):
    scripts = [
        [upstream.response(429, b'{"error":{"message":"slow"}}', b"Retry-After: 0")],
        [
            upstream.response(
                529, b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
            )
        ],
        good(wire, upstream),
    ]

    async def body(server, http):
        c = calls(wire, server, http)
        assert TextDelta("hello") in await collect(c)
        assert len(server.requests) == 3

    run(upstream, scripts, body)


def test_429_with_a_long_retry_after_is_passed_on(upstream, wire):
    async def body(server, http):
        with pytest.raises(ProviderUnavailable) as caught:
            await collect(calls(wire, server, http))
        assert caught.value.retry_after_seconds >= 3600
        assert len(server.requests) == 1

    run(upstream, [[upstream.response(429, b"{}", b"Retry-After: 3600")]], body)


def test_retry_after_as_a_date(upstream, wire):
    headers = (b"Date: Wed, 21 Oct 2026 07:28:00 GMT", b"Retry-After: Wed, 21 Oct 2026 08:28:00 GMT")

    async def body(server, http):
        with pytest.raises(ProviderUnavailable) as caught:
            await collect(calls(wire, server, http))
        assert caught.value.retry_after_seconds == pytest.approx(3600, abs=1)

    run(upstream, [[upstream.response(429, b"", *headers)]], body)


def test_401_says_what_to_do_and_leaks_nothing(upstream, wire, caplog):
    async def body(server, http):
        c = calls(wire, server, http)
        with pytest.raises(ProviderRejected) as caught:
            await collect(c)
        assert "HIVEMIND_LLM_API_KEY" in caught.value.remedy
        assert len(server.requests) == 1
        check = await ping_at_start(c)
        assert check.status == "degraded"
        assert KEY not in repr(
            (caught.value, caught.value.__cause__, check, c.facts(), str(caught.value.__cause__))
        )
        assert KEY not in caplog.text
        assert c.facts()["breaker"] == "closed"

    said = b'{"error":{"message":"invalid x-api-key: %s"}}' % KEY.encode()
    run(upstream, [[upstream.response(401, said)]], body)


def test_a_stream_cut_half_way(upstream, wire):
    async def body(server, http):
        got = []
        with pytest.raises(ProviderError) as caught:
            async for group in calls(wire, server, http).stream(REQUEST):
                got.extend(group)
        assert type(caught.value) is ProviderError
        assert got == [TextDelta("hel")]
        assert len(server.requests) == 1
        assert http.facts()["in_use"] == 0

    run(upstream, [half(wire, upstream, upstream.CUT)], body)


def test_a_body_that_ends_early_but_politely(upstream, wire):
    async def body(server, http):
        with pytest.raises(ProviderError, match="cut off"):
            await collect(calls(wire, server, http))

    run(upstream, [half(wire, upstream, b"0\r\n\r\n")], body)


def test_cut_before_the_first_token_is_tried_again(upstream, wire):
    scripts = [[upstream.CUT], [WIRES[wire][1], upstream.CUT], good(wire, upstream)]

    async def body(server, http):
        assert TextDelta("hello") in await collect(calls(wire, server, http))
        assert len(server.requests) == 3

    run(upstream, scripts, body)


def test_malformed_json_in_the_middle(upstream, wire):
    bad = b"data: {nonsense\n\n" if wire != "ollama" else b"{nonsense\n"

    async def body(server, http):
        with pytest.raises(ProviderError, match="cannot be read"):
            await collect(calls(wire, server, http))
        assert http.facts()["in_use"] == 0

    run(upstream, [half(wire, upstream, *upstream.chunked(bad))], body)


def test_what_is_not_http_at_all(upstream, wire):
    async def body(server, http):
        with pytest.raises(ProviderUnavailable):
            await collect(calls(wire, server, http, max_retries=1))
        assert len(server.requests) == 2

    run(upstream, [[b"SSH-2.0-OpenSSH_9.2\r\n", upstream.CUT]], body)


def test_a_stalled_stream_is_ended_and_its_connection_closed(upstream, wire):
    async def body(server, http):
        with pytest.raises(ProviderError, match="stopped coming"):
            await collect(calls(wire, server, http, stall_seconds=0.05))
        await server.eof_seen.wait()
        assert http.facts()["in_use"] == 0

    run(upstream, [half(wire, upstream, upstream.HANG)], body)


def test_cancelling_closes_the_socket(upstream, wire):
    async def body(server, http):
        c = calls(wire, server, http)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect, c)
            await server.hanging.wait()
            assert c.facts()["in_flight"] == 1
            nursery.cancel_scope.cancel()
        await server.eof_seen.wait()
        assert c.facts()["in_flight"] == 0
        assert http.facts() == {"connections": 0, "in_use": 0}

    run(upstream, [half(wire, upstream, upstream.HANG)], body)


def test_nobody_listens(wire):
    async def main():
        class Nowhere:
            url = "http://127.0.0.1:1"

        async with HttpClient() as http:
            c = calls(wire, Nowhere, http, max_retries=2)
            with pytest.raises(ProviderUnavailable, match="cannot be reached, tried 3 times"):
                await collect(c)
            assert (await ping_at_start(c)).status == "degraded"

    trio.run(main)


def test_a_good_ping(upstream, wire):
    async def body(server, http):
        check = await ping_at_start(calls(wire, server, http))
        assert check.status == "ok"
        assert len(server.requests) == 1

    run(upstream, [[upstream.response(200, b"{}")]], body)


def test_a_full_pool_is_said(upstream):
    async def body(server, http):
        c = calls("openai", server, http, max_retries=0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect, c)
            await server.hanging.wait()
            with pytest.raises(ProviderUnavailable):
                await collect(c)
            assert "all 1 connections are in use" in c.facts()["last_error"]
            nursery.cancel_scope.cancel()

    run(upstream, [half("openai", upstream, upstream.HANG)], body, max_connections=1, pool_seconds=0.01)


def test_no_place_in_the_pool_is_lost_to_a_thousand_cancellations(upstream):
    async def body(server, http):
        c = calls("openai", server, http, max_retries=0, breaker_failures=10**9)
        dice = random.Random(7)

        async def one(seconds):
            with trio.move_on_after(seconds):
                await collect(c)

        for _ in range(20):
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(one, dice.random() * 0.03)
        assert c.facts()["calls"] == 1000
        assert c.facts()["in_flight"] == 0
        assert http.facts()["in_use"] == 0
        assert server.eofs > 0
        for _ in range(20):
            assert TextDelta("hello") in await collect(c)

    run(upstream, [good("openai", upstream)], body, max_connections=10)

"""Listening, and the drain: what is under way ends well, everything ends in time."""

import signal

import pytest
import trio

from hivemind.errors import ConfigError
from hivemind.http.server import serve
from hivemind.settings import ServerSettings


def refuses(**settings):
    async def main():
        await serve(None, ServerSettings(**settings), stop=trio.Event())

    with pytest.raises(ConfigError) as told:
        trio.run(main)
    assert told.value.remedy
    return told.value.message


def test_a_port_that_is_taken_is_told_with_a_remedy(with_server):
    async def test(site):
        with pytest.raises(ConfigError, match=f"port {site.bound.port} is already in use") as told:
            await serve(None, ServerSettings(port=site.bound.port), stop=trio.Event())
        assert "server.port" in told.value.remedy

    with_server(test)


def test_an_address_of_another_machine_is_told_with_a_remedy():
    assert "192.0.2.1" in refuses(host="192.0.2.1", port=0)


def test_a_drain_lets_requests_finish_and_takes_no_more(with_server):
    async def test(site):
        idle, working, streaming, talking = [await site.dial() for _ in range(4)]
        await working.say(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
        await streaming.say(b"GET /tick HTTP/1.1\r\nhost: a\r\n\r\n")
        await talking.upgrade()
        await site.until(lambda: site.app.waiting == 2)
        site.stop.set()
        assert await idle.hear() == b""
        assert await talking.frame() == (1, b"last words")
        assert await talking.closed() == 1001
        with pytest.raises(OSError):
            await site.dial()
        assert not site.ended.is_set()
        site.app.held.set()
        status, headers, body = await working.reply()
        assert (status, body) == (200, b'{"held":true}')
        assert headers["connection"] == "close"
        assert await working.hear() == b""
        assert (await streaming.hear()).endswith(b"0\r\n\r\n")
        for peer in (idle, working, streaming, talking):
            await peer.stream.aclose()
        await site.ended.wait()

    with_server(test, drain_seconds=15)


def test_a_drain_does_not_wait_longer_than_its_deadline(with_server):
    async def test(site):
        working = await site.dial()
        await working.say(b"GET /held HTTP/1.1\r\nhost: a\r\n\r\n")
        await site.until(lambda: site.app.waiting == 1)
        site.stop.set()
        await site.ended.wait()
        assert await working.hear() == b""

    with_server(test, drain_seconds=0.2)


def test_readers_that_never_read_do_not_hold_up_sigterm(with_server):
    """Stock hypercorn hangs for ever here."""

    async def test(site):
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            readers = []
            for path in ("/flood", "/ws/flood") * 4:
                upgrade = ""
                if path.startswith("/ws"):
                    upgrade = (
                        "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
                        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    )
                reader = await site.dial(small=True)
                await reader.say(f"GET {path} HTTP/1.1\r\nhost: a\r\n{upgrade}\r\n".encode())
                readers.append(reader)
            await site.until(lambda: site.app.waiting == 8)
            await site.lives()
            signal.raise_signal(signal.SIGTERM)
            async for _ in signals:
                site.stop.set()
                break
            await site.ended.wait()
            assert site.app.streams_ended == 4

    with_server(test, send_timeout_seconds=100, drain_seconds=0.3)

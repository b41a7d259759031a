"""Promise: whatever is sent, the answer is an error in the envelope, never a 500, and the server goes on."""

import json
from urllib.parse import urlsplit

import pytest
import trio

CHAT = "/api/v1/public/agents/chat/hello"
JSON = "application/json"

BODIES = {
    "empty": (b"", JSON, 400),
    "no JSON": (b"hello", JSON, 400),
    "half": (b'{"message": "hi"', JSON, 400),
    "two": (b'{"message": "hi"}{}', JSON, 400),
    "a list": (b'["message"]', JSON, 400),
    "a text": (b'"message"', JSON, 400),
    "null": (b"null", JSON, 400),
    "no fields": (b"{}", JSON, 422),
    "an empty message": (b'{"message": ""}', JSON, 422),
    "a number": (b'{"message": 5}', JSON, 422),
    "a list as message": (b'{"message": ["hi"]}', JSON, 422),
    "an unknown field": (b'{"message": "hi", "tier": 1}', JSON, 422),
    "a conversation that is none": (b'{"message": "hi", "conversation_id": "x"}', JSON, 422),
    "an empty key": (b'{"message": "hi", "idempotency_key": ""}', JSON, 422),
    "a long key": (json.dumps({"message": "hi", "idempotency_key": "k" * 201}).encode(), JSON, 422),
    "invalid UTF-8": (b'{"message": "\xff\xfe"}', JSON, 400),
    "a lone surrogate": (b'{"message": "\\ud800"}', JSON, 400),
    "a byte order mark": (b'\xef\xbb\xbf{"message": "hi"}', JSON, 400),
    "UTF-16": ('{"message": "hi"}'.encode("utf-16"), JSON, 400),
    "NUL": (b'{"message": "a\0b"}', JSON, 400),
    "an escaped NUL": (b'{"message": "a\\u0000b"}', JSON, 400),
    "NaN": (b'{"message": NaN}', JSON, 400),
    "infinity": (b'{"message": 1e999}', JSON, 400),
    "deep": (b'{"message": ' + b"[" * 60_000, JSON, 400),
    "deep and whole": (b'{"message": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", JSON, 400),
    "oversize": (b'{"message": "' + b"x" * 300_000 + b'"}', JSON, 413),
    "a form": (b"message=hi", "application/x-www-form-urlencoded", 415),
    "text": (b'{"message": "hi"}', "text/plain", 415),
    "no type": (b'{"message": "hi"}', None, 415),
    "another charset": (b'{"message": "hi"}', "application/json; charset=utf-16", 415),
}


def envelope(response):
    assert response.headers["content-type"] == JSON, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert body["error"]["code"] and body["error"]["message"]
    assert "Traceback" not in response.text
    return body["error"]


def test_a_wrong_body_is_told(with_site, caplog):
    async def test(site):
        wrong = {}
        for name, (body, kind, status) in BODIES.items():
            for path in (CHAT, f"{CHAT}/resume"):
                for accept in (JSON, "text/event-stream"):
                    headers = {"accept": accept} | ({"content-type": kind} if kind else {})
                    response = await site.client.post(path, content=body, headers=headers)
                    envelope(response)
                    if response.status_code != status and path == CHAT:
                        wrong[name] = response.status_code, response.text
                    assert 400 <= response.status_code < 500, (name, response.text)
        assert not wrong
        assert not site.model.requests
        assert await site.value("select count(*) from turns") == 0
        assert (await site.say("hi"))["reply"] == "Hello there."
        assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == []

    with_site(test)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_another_method_is_told_what_is_allowed(with_site, method):
    async def test(site):
        for path, allowed in ((CHAT, "POST"), (f"{CHAT}/resume", "POST")):
            response = await site.client.request(method, path)
            assert response.status_code == 405, path
            assert allowed in response.headers["allow"]
            assert method == "HEAD" or envelope(response)["code"] == "method_not_allowed"
        response = await site.client.request(method, "/api/v1/health")
        assert response.status_code == (200 if method in ("GET", "HEAD") else 405)
        assert method == "GET" or not response.text or envelope(response)["code"] == "method_not_allowed"

    with_site(test)


def test_options_says_what_is_allowed(with_site):
    async def test(site):
        for path, allowed in ((CHAT, {"POST", "OPTIONS"}), ("/api/v1/health", {"GET", "HEAD", "OPTIONS"})):
            response = await site.client.options(path)
            assert (response.status_code, response.content) == (204, b"")
            assert set(response.headers["allow"].split(", ")) == allowed

    with_site(test)


def test_an_unknown_path_is_told(with_site):
    async def test(site):
        for path in (
            "/nothing",
            "/api",
            "/api/v1/public/agents/chat",
            "/api/v1/public/agents/chat/",
            f"{CHAT}/",
            f"{CHAT}/nothing",
            "/%00",
            "/%ff%fe",
            "/..%2f..%2fetc%2fpasswd",
            "/" + "x" * 3000,
        ):
            for method in ("GET", "POST"):
                response = await site.client.request(method, path)
                assert response.status_code == 404, (method, path, response.text)
                assert envelope(response)["code"] == "not_found"

    with_site(test)


def test_what_is_hardly_http_is_told_or_hung_up_on(with_site):
    async def test(site):
        where = urlsplit(site.server.url)
        for sent, status in (
            (b"nonsense\r\n\r\n", b"400"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", b"400"),
            (b"GET / HTTP/9.9\r\nhost: a\r\n\r\n", b"505"),
            (b"POST %s HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n" % CHAT.encode(), b"400"),
            (b"POST %s HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n" % CHAT.encode(), b"400"),
            (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", b"431"),
        ):
            async with await trio.open_tcp_stream(where.hostname, where.port) as stream:
                heard = b""
                try:
                    await stream.send_all(sent)
                    await stream.send_eof()
                    async for data in stream:
                        heard += data
                except (trio.BrokenResourceError, OSError):
                    pass  # it hung up before all was sent
            if heard:
                head, _, body = heard.partition(b"\r\n\r\n")
                assert head.split()[1] in (status, b"400"), (sent[:60], heard)
                assert json.loads(body)["error"]["code"]
            else:
                assert len(sent) > 100_000, sent
        assert (await site.say("hi"))["reply"] == "Hello there."

    with_site(test)


def test_strange_but_valid_messages_are_answered(with_site):
    async def test(site):
        for message in (
            "\U0001f600" * 1000,
            "\u202e\u200b\u0301",
            "a\r\n\tb",
            "\ufeff",
            "'; drop table turns; --",
        ):
            assert (await site.say(message))["reply"] == "Hello there."

    with_site(test)

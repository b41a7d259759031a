"""Pages are read from public addresses only, whatever the name says and wherever a redirect leads."""

import socket
from ipaddress import ip_network

import pytest
import trio

from hivemind.agents.tools import fetch as module
from hivemind.agents.tools.fetch import fetch
from hivemind.outbound import HttpClient
from hivemind.targets import Targets

LOOPBACK = Targets((ip_network("127.0.0.1/32"),))


class Site:
    """A web server on this machine that answers each path as told, and keeps what it was asked."""

    def __init__(self, pages):
        self.pages = pages
        self.asked = []

    async def serve(self, stream):
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                data = await stream.receive_some()
                if not data:
                    return
                head += data
            path = head.split()[1].decode()
            self.asked.append((path, head))
            page = self.pages[path]
            with trio.move_on_after(5):
                try:
                    if callable(page):
                        await page(stream)
                    else:
                        await stream.send_all(page)
                except trio.BrokenResourceError:
                    return


def page(body, *, status="200 OK", headers=()):
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    if not any(line.lower().startswith("content-type") for line in lines):
        lines.append("Content-Type: text/plain; charset=utf-8")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def to(location, status="302 Found"):
    return page("", status=status, headers=[f"Location: {location}"])


def read(pages, url, *, targets=LOOPBACK, hosts=None, resolve=None):
    """What `fetch` says of `{site}` in a URL, and what the site was asked."""

    async def main():
        site = Site({})
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, site.serve, 0)
            port = listeners[0].socket.getsockname()[1]
            here = f"http://127.0.0.1:{port}"
            site.pages = {
                path: content.replace(b"{site}", here.encode()).replace(b"{port}", str(port).encode())
                if isinstance(content, bytes)
                else content
                for path, content in pages.items()
            }
            allowed = (
                (f"*:{port}",) if hosts is None else tuple(h.replace("{port}", str(port)) for h in hosts)
            )
            if resolve is not None:
                trio.socket.set_custom_hostname_resolver(resolve)
            async with HttpClient(targets=targets) as client:
                outcome = await fetch(
                    client, url.replace("{site}", here).replace("{port}", str(port)), allowed
                )
            nursery.cancel_scope.cancel()
        return outcome, site.asked

    return trio.run(main)


class Resolver(trio.abc.HostnameResolver):
    """Answers each name with the next of its addresses, as a rebinding name server does."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

    async def getnameinfo(self, sockaddr, flags):
        raise NotImplementedError


def test_a_page_is_read_as_text():
    outcome, asked = read({"/a?b=c%20d": page("Grüße")}, "{site}/a?b=c d")
    assert not outcome.failed
    assert outcome.text.endswith("answered 200:\n\nGrüße")
    assert b"Accept-Encoding: identity" in asked[0][1]


def test_html_becomes_readable():
    html = page("<title>T</title><p>Hello <b>you</b>", headers=["Content-Type: text/html"])
    outcome, _ = read({"/": html}, "{site}/")
    assert outcome.text.endswith("T\n\nHello you") or "Hello you" in outcome.text
    assert "<" not in outcome.text


def test_an_error_page_is_given_as_failed():
    outcome, _ = read({"/": page("gone", status="404 Not Found")}, "{site}/")
    assert outcome.failed
    assert "answered 404" in outcome.text


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"],
)
def test_this_machine_is_not_called_under_any_name(host):
    outcome, asked = read({"/": page("secret")}, f"http://{host}:{{port}}/", targets=Targets())
    assert outcome.failed
    assert asked == []


def test_the_words_say_why():
    outcome, _ = read({}, "{site}/", targets=Targets())
    assert "127.0.0.1 is this host: only public pages can be read" in outcome.text


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
def test_a_redirect_is_followed(status):
    pages = {"/": to("/next", status), "/next": page("arrived")}
    outcome, asked = read(pages, "{site}/")
    assert outcome.text.endswith("arrived")
    assert [path for path, _ in asked] == ["/", "/next"]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254:{port}/latest/meta-data/",
        "http://10.0.0.1:{port}/",
        "http://[fd00:ec2::254]:{port}/",
        "//192.168.0.1:{port}/",
    ],
)
def test_a_redirect_into_a_private_network_is_refused(location):
    outcome, asked = read({"/": to(location)}, "{site}/")
    assert outcome.failed
    assert "only public pages" in outcome.text
    assert len(asked) == 1


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://127.0.0.1/", "javascript:alert(1)"])
def test_a_redirect_to_another_scheme_is_refused(location):
    outcome, _ = read({"/": to(location)}, "{site}/")
    assert outcome.failed
    assert "not an http:// or https:// URL" in outcome.text


def test_redirects_end():
    outcome, asked = read({"/": to("/")}, "{site}/")
    assert "more than 5 times" in outcome.text
    assert len(asked) == 6


def test_the_address_that_was_checked_is_the_one_that_is_called():
    # First answer public enough, second private: whoever asks twice is rebound.
    resolver = Resolver(["127.0.0.1"], ["10.0.0.1"])
    outcome, asked = read({"/": page("here")}, "http://rebind.example:{port}/", resolve=resolver)
    assert outcome.text.endswith("here")
    assert resolver.asked == [b"rebind.example"] or resolver.asked == ["rebind.example"]
    assert b"Host: rebind.example:" in asked[0][1]


def test_a_name_with_one_private_address_is_not_called():
    resolver = Resolver(["127.0.0.1", "10.0.0.1"])
    outcome, asked = read({"/": page("here")}, "http://two.example:{port}/", resolve=resolver)
    assert "two.example is a private network" in outcome.text
    assert asked == []


def test_every_hop_is_resolved_and_checked_anew():
    resolver = Resolver(["127.0.0.1"], ["10.0.0.1"])
    pages = {"/": to("http://rebind.example:{port}/again")}
    outcome, asked = read(pages, "http://rebind.example:{port}/", resolve=resolver)
    assert "only public pages" in outcome.text
    assert len(asked) == 1


def test_only_the_hosts_of_the_profile_are_read():
    outcome, asked = read({"/": page("x")}, "{site}/", hosts=("example.com", "*.example.com"))
    assert "not among the hosts" in outcome.text
    outcome, asked = read({"/": to("http://evil.test:{port}/")}, "{site}/", hosts=("127.0.0.1:{port}",))
    assert "evil.test is not among the hosts" in outcome.text
    assert len(asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "http:///x", "example.com", "http://u:p@example.com/",
        "http://example.com:99999/", "http://exa mple.com/", "http://" + "a" * 3000, "http://a..b/", "http://[::1",
        "http://example.com\r\nHost: x/",
    ],
)  # fmt: skip
def test_what_is_no_url_is_said_so(url):
    outcome, _ = read({}, url, hosts=())
    assert outcome.failed


def test_ports_that_are_not_of_the_web_are_refused():
    outcome, _ = read({}, "http://example.com:25/", hosts=())
    assert "Port 25" in outcome.text


def test_what_is_not_text_is_refused():
    outcome, _ = read({"/": page(b"\x89PNG", headers=["Content-Type: image/png"])}, "{site}/")
    assert "image/png, which is not text" in outcome.text
    outcome, _ = read({"/": page(b"\x1f\x8b", headers=["Content-Encoding: gzip"])}, "{site}/")
    assert "compressed" in outcome.text


@pytest.mark.parametrize("charset", ["utf-7", "zlib", "base64", "idna", "unicode_escape", "nonsense"])
def test_odd_charsets_are_read_as_utf8(charset):
    outcome, _ = read({"/": page("ok", headers=[f"Content-Type: text/plain; charset={charset}"])}, "{site}/")
    assert outcome.text.endswith("ok")


def test_a_known_charset_is_used():
    body = "Grüße".encode("latin-1")
    outcome, _ = read({"/": page(body, headers=["Content-Type: text/plain; charset=ISO-8859-1"])}, "{site}/")
    assert outcome.text.endswith("Grüße")


def test_an_endless_page_is_cut(monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 200_000)

    async def endless(stream):
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 10_000)

    outcome, _ = read({"/": endless}, "{site}/")
    assert not outcome.failed
    assert "first 200,000 bytes" in outcome.text
    assert len(outcome.text) < 200_500


def test_a_page_that_does_not_arrive_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "MAX_SECONDS", 0.05)

    async def silent(stream):
        await trio.sleep_forever()

    outcome, _ = read({"/": silent}, "{site}/")
    assert "did not arrive within 0.05 seconds" in outcome.text


def test_a_server_that_speaks_nonsense_or_is_not_there_is_a_failed_outcome():
    outcome, _ = read({"/": b"nonsense\r\n\r\n"}, "{site}/")
    assert outcome.failed
    outcome, _ = read({}, "http://127.0.0.1:1/", hosts=("127.0.0.1:1",))
    assert "cannot be reached" in outcome.text

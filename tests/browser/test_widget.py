"""Promise: a visitor of another site talks to an agent there, if the profile names that site, and only then."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from playwright.sync_api import expect

PAGE = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Shop</title>
<main><h1>A shop of somebody else</h1><p>It sells honey.</p></main>
<script src="{server}/widget.js" data-agent="hello" data-label="Ask the beekeeper" async></script></html>"""


@contextmanager
def shop(server):
    """A site at an origin of its own, with a strict policy."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = PAGE.format(server=server).encode()
            self.send_response(200 if self.path == "/" else 204)
            self.send_header("Content-Type", "text/html")
            self.send_header(
                "Content-Security-Policy", f"default-src 'none'; script-src {server}; frame-src {server}"
            )
            self.end_headers()
            if self.path == "/":
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    site = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=site.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{site.server_port}"
    finally:
        site.shutdown()
        thread.join()
        site.server_close()


@pytest.fixture
def site(stage):
    with shop(stage.url) as origin:
        yield origin


def allow(stage, *origins):
    stage.api("PATCH", "/api/v1/agent-profiles/hello", {"widget_origins": list(origins)})


def test_a_visitor_of_another_site_talks_to_the_agent(stage, site, browse, inspect):
    allow(stage, site)
    page = browse()
    page.goto(site)
    page.get_by_role("button", name="Ask the beekeeper").click()
    frame = page.frame_locator("iframe")
    frame.get_by_label("Message").fill("Is it sweet?")
    frame.get_by_label("Message").press("Enter")
    expect(frame.locator(".said.them .prose")).to_have_text("Hello there.")
    inspect(page, "widget")
    page.reload()
    page.get_by_role("button", name="Ask the beekeeper").click()
    expect(frame.locator(".said.me")).to_have_text("Is it sweet?")
    frame.get_by_role("button", name="Close the chat").click()
    expect(page.get_by_role("button", name="Ask the beekeeper")).to_be_focused()


def test_the_frame_itself(stage, site, browse, inspect):
    allow(stage, site)
    page = browse()
    page.goto("/widget/hello")
    inspect(page, "widget-frame", full=False)


def test_a_site_that_is_not_named_gets_no_chat(stage, site, browse, watch):
    allow(stage, "https://www.example.com")
    page = browse()
    with watch.expecting("frame-ancestors", "ERR_BLOCKED_BY_RESPONSE", "/widget/hello"):
        page.goto(site)
        with page.expect_console_message(lambda said: "frame-ancestors" in said.text):
            page.get_by_role("button", name="Ask the beekeeper").click()
        expect(page.frame_locator("iframe").get_by_label("Message")).to_have_count(0)


def test_a_profile_without_origins_or_not_public_has_no_widget(stage, browse):
    request = browse().request
    assert request.get("/widget/hello").status == 404
    stage.api("POST", "/api/v1/agent-profiles",
              {"slug": "inside", "name": "I", "prompt": "", "widget_origins": ["https://a.example"]})  # fmt: skip
    assert request.get("/widget/inside").status == 404
    assert request.get("/widget/nobody").status == 404


def test_an_origin_has_to_be_one(stage):
    for wrong in (
        "*",
        "https://a.example/path",
        "javascript:x",
        "https://a.example; script-src *",
        "https://a b",
        "'self'",
    ):
        with pytest.raises(AssertionError, match="widget_origins"):
            allow(stage, wrong)


def test_no_route_answers_to_pages_of_other_sites(stage, browse):
    request = browse().request
    for path in ("/api/v1/health", "/widget.js", "/auth/state"):
        headers = request.get(path, headers={"Origin": "https://evil.example"}).headers
        assert "access-control-allow-origin" not in headers

"""The pages in real Chromium, against the whole server: what a person does, and what a browser says about it.

The server runs as in the acceptance tests, in a thread of its own, because Playwright has this one. Without a
Chromium these tests are skipped (`apt-get install chromium`); Playwright's own download is not needed.
"""

import importlib.util
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

HERE = Path(__file__).parent
SCREENSHOTS = HERE.parents[1] / "build" / "screenshots"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 780}
PATIENCE_MS = 15_000
PASSWORD = "four words do belong"


def _acceptance():
    spec = importlib.util.spec_from_file_location(
        "acceptance_site", HERE.parent / "acceptance" / "conftest.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_site = _acceptance()
folders, running_server = _site.folders, _site.running_server


@pytest.fixture(scope="session")
def chromium():
    path = next((found for name in CHROMIUMS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Stage:
    """A running server on a thread of its own; `run` and `call` do something there."""

    def __init__(self, site, token):
        self.site, self._token = site, token
        self.url, self.model = site.server.url, site.model

    def run(self, function, *args):
        """The result of an async function, such as one of the site's."""
        return trio.from_thread.run(function, *args, trio_token=self._token)

    def call(self, function, *args):
        """The result of a plain function that has to be called there: `stage.call(event.set)`."""
        return trio.from_thread.run_sync(function, *args, trio_token=self._token)

    def rows(self, sql, params=()):
        return self.run(self.site.rows, sql, params)

    def api(self, method, path, body=None):
        """What the JSON API answers to the owner's key."""

        async def ask():
            return await self.site.client.request(
                method, path, json=body, headers={"X-API-Key": self.site.admin_key}
            )

        response = self.run(ask)
        assert response.is_success, response.text
        return response.json() if response.content else None


@pytest.fixture
def sections():
    """Settings of the server; a test file may give its own."""
    return {}


@pytest.fixture
def stage(running_server, database_url, sections):
    ready, failures, box = threading.Event(), [], {}

    async def main():
        async with running_server(database_url, **sections) as site:
            box["over"] = trio.Event()
            box["stage"] = Stage(site, trio.lowlevel.current_trio_token())
            ready.set()
            await box["over"].wait()

    def run():
        try:
            trio.run(main)
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="server")
    thread.start()
    ready.wait()
    if failures:
        raise failures[0]
    yield box["stage"]
    box["stage"].call(box["over"].set)
    thread.join()
    if failures:
        raise failures[0]


@dataclass
class Watch:
    """Everything that a browser complained of; a test fails for each that it did not expect."""

    complaints: list = field(default_factory=list)
    expected: tuple = ()

    def on(self, page):
        page.on("console", lambda message: self._said(f"console: {message.text}", message.type == "error"))
        page.on("pageerror", lambda error: self._said(f"exception: {error}"))
        page.on("requestfailed", self._failed)
        page.on(
            "response",
            lambda response: self._said(
                f"status {response.status}: {response.request.method} {response.url}", response.status >= 400
            ),
        )

    @contextmanager
    def expecting(self, *words):
        """What comes in here and contains one of the words is what the test is about."""
        self.expected += words
        yield

    def _failed(self, request):
        # A page that is left ends its own streams.
        self._said(f"failed: {request.url} {request.failure}", request.failure != "net::ERR_ABORTED")

    def _said(self, text, counts=True):
        if counts and not any(word in text for word in self.expected):
            self.complaints.append(text)


@pytest.fixture
def watch():
    watch = Watch()
    yield watch
    assert watch.complaints == []


@pytest.fixture
def browse(chromium, stage, watch):
    """`browse()` is a page of a browser of its own, with nobody signed in."""
    contexts = []

    def new(**options):
        context = chromium.new_context(
            base_url=stage.url, viewport=WIDE, locale="en-GB", timezone_id="Europe/Berlin", **options
        )
        context.set_default_timeout(PATIENCE_MS)
        context.on("page", watch.on)
        contexts.append(context)
        return context.new_page()

    yield new
    for context in contexts:
        context.close()


@pytest.fixture
def admin(stage, browse):
    """A page of the first admin, who is called ada."""
    page = browse()
    made = page.request.post("/auth/register", data={"username": "ada", "password": PASSWORD})
    assert made.ok, made.text()
    return page


@pytest.fixture
def member(stage, admin, browse):
    """`member("viewer")` is a page of somebody else with that role."""

    def signed_in(role):
        stage.api("POST", "/api/v1/users", {"username": role, "password": PASSWORD, "role": role})
        page = browse()
        assert page.request.post("/auth/login", data={"username": role, "password": PASSWORD}).ok
        return page

    return signed_in


@pytest.fixture
def inspect():
    """`inspect(page, "chat")`: axe finds nothing serious and nothing sticks out, in both themes, wide and on a
    phone; leaves a screenshot of each in build/screenshots."""
    from axe_playwright_python.sync_playwright import Axe

    axe = Axe()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def inspected(page, name, full=True):
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            for size in (WIDE, PHONE):
                page.set_viewport_size(size)
                path = SCREENSHOTS / f"{name}-{theme}-{size['width']}.png"
                page.screenshot(path=path, full_page=full, animations="disabled")
                sticks_out = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert sticks_out <= 0, f"{name} is {sticks_out} px too wide at {size['width']}"
                found = axe.run(page).response["violations"]
                grave = [
                    (rule["id"], rule["help"], [node["html"][:200] for node in rule["nodes"][:3]])
                    for rule in found
                    if rule["impact"] in ("serious", "critical")
                ]
                assert grave == [], f"{name}, {theme}, {size['width']}"
        page.set_viewport_size(WIDE)
        page.emulate_media(color_scheme="light", reduced_motion="reduce")

    return inspected

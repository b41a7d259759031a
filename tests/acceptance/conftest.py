"""The whole server in the test's process: real Postgres, real sockets, a model on a socket of its own."""

import json
from collections import deque
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

import httpx2
import pytest
import trio
from trio_websocket import wrap_client_stream

from hivemind.app import running
from hivemind.outbound import HttpClient, Target
from hivemind.persistence import Database
from hivemind.settings import Settings

PATIENCE_SECONDS = 60
CHAT = "/api/v1/public/agents/chat"


class Model:
    """Speaks OpenAI's dialect. What it says is a list of texts; an event in it is waited for, and a dict is the
    call of a tool: its name and arguments.

    An int instead of a list is the status of a refusal.
    """

    def __init__(self):
        self.url = ""
        self.requests = deque(maxlen=1000)
        self.input_tokens, self.output_tokens = 11, 7
        self._answers = []
        self._changed = trio.Event()

    def says(self, *pieces, when=""):
        """Answer so from now on when the last user message contains `when`."""
        self._answers.insert(0, (when, pieces))

    async def asked(self, count=1, about=""):
        """Wait for the `count`-th request whose last message contains `about`."""
        while sum(about in request["messages"][-1]["content"] for request in self.requests) < count:
            await self._changed.wait()

    @asynccontextmanager
    async def serving(self):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(
                lambda task_status: trio.serve_tcp(self._serve, 0, host="127.0.0.1", task_status=task_status)
            )
            self.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1"
            yield self
            nursery.cancel_scope.cancel()

    async def _serve(self, stream):
        try:
            async with stream:
                data = b""
                while True:
                    while b"\r\n\r\n" not in data:
                        more = await stream.receive_some()
                        if not more:
                            return
                        data += more
                    head, _, data = data.partition(b"\r\n\r\n")
                    length = 0
                    for line in head.lower().split(b"\r\n"):
                        if line.startswith(b"content-length:"):
                            length = int(line[15:])
                    while len(data) < length:
                        data += await stream.receive_some()
                    body, data = data[:length], data[length:]
                    if body:
                        await self._answer(stream, json.loads(body))
                    else:
                        await stream.send_all(b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"data":[]}')
        except trio.BrokenResourceError:
            pass  # the server hung up, as it does when a turn is interrupted

    async def _answer(self, stream, request):
        self.requests.append(request)
        self._changed.set()
        self._changed = trio.Event()
        last = request["messages"][-1]["content"]
        pieces = next((p for when, p in self._answers if when in last), ("Hello", " there."))
        if isinstance(pieces[0], int):
            await stream.send_all(b"HTTP/1.1 %d No\r\ncontent-length: 2\r\n\r\n{}" % pieces[0])
            return
        await stream.send_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        calls = 0
        for piece in pieces:
            if isinstance(piece, trio.Event):
                await piece.wait()
            elif isinstance(piece, dict):
                ((name, arguments),) = piece.items()
                function = {"name": name, "arguments": json.dumps(arguments)}
                calls += 1
                call = {"index": calls - 1, "id": f"call_{calls}", "type": "function", "function": function}
                await _chunk(stream, {"choices": [{"delta": {"tool_calls": [call]}}]})
            else:
                await _chunk(stream, {"choices": [{"delta": {"content": piece}}]})
        usage = {"prompt_tokens": self.input_tokens, "completion_tokens": self.output_tokens}
        await _chunk(stream, {"choices": [{"delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]})
        await _chunk(stream, {"choices": [], "usage": usage})
        await stream.send_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


async def _chunk(stream, body):
    data = b"data: " + json.dumps(body).encode() + b"\n\n"
    await stream.send_all(b"%x\r\n%s\r\n" % (len(data), data))


@dataclass
class Sent:
    """One server-sent event."""

    name: str
    id: str
    data: dict

    @property
    def place(self):
        return self.data["epoch"], self.data["seq"]


@dataclass
class Site:
    """A running server, and what a test asks of it."""

    server: object
    client: httpx2.AsyncClient
    database: Database
    model: Model
    admin_key: str
    reports: list = field(default_factory=list)

    @property
    def system(self):
        return self.server.system

    async def post(self, message, *, slug="hello", headers=None, **fields):
        """One message by JSON; the response."""
        return await self.client.post(
            f"{CHAT}/{slug}", json={"message": message, **fields}, headers=headers or {}
        )

    async def say(self, message, **how):
        """One message that must be answered; the reply's body."""
        response = await self.post(message, **how)
        assert response.status_code == 200, response.text
        return response.json()

    @asynccontextmanager
    async def stream(self, path, body, headers=None):
        """An event stream: the reply, and an iterator over its events. Leaving it closes its connection."""
        lines = {"accept": "text/event-stream", "content-type": "application/json", **(headers or {})}
        raw = [(name.encode(), value.encode()) for name, value in lines.items()]
        target = Target.parse(self.server.url + path)
        async with (
            HttpClient() as client,
            client.call(target, raw, json.dumps(body).encode()) as reply,
            aclosing(_events(reply)) as events,
        ):
            yield reply, events

    async def events(self, message, *, slug="hello", headers=None, **fields):
        """All events of the turn of one message."""
        async with self.stream(f"{CHAT}/{slug}", {"message": message, **fields}, headers) as (_, events):
            return [event async for event in events]

    async def resumed(self, accepted, *, headers=None, slug="hello", **fields):
        """All events of the rest of a turn."""
        body = {
            name: accepted[name] for name in ("conversation_id", "conversation_token", "turn_id")
        } | fields
        async with self.stream(f"{CHAT}/{slug}/resume", body, headers) as (_, events):
            return [event async for event in events]

    @asynccontextmanager
    async def socket(self, slug="hello"):
        """An open WebSocket."""
        where = urlsplit(self.server.url)
        async with (
            trio.open_nursery() as nursery,
            await trio.open_tcp_stream(where.hostname, where.port) as tcp,
        ):
            # Its own way of opening a connection leaves the socket open when the upgrade is refused.
            socket = await wrap_client_stream(nursery, tcp, where.netloc, f"{CHAT}/{slug}/ws")
            yield socket
            with trio.move_on_after(1):
                await socket.aclose()
            nursery.cancel_scope.cancel()

    async def rows(self, sql, params=()):
        return await self.database.fetch_all(sql, params)

    async def value(self, sql, params=()):
        """The only column of the only row."""
        (row,) = await self.rows(sql, params)
        (value,) = row.values()
        return value

    async def profile(self, slug, *, tier=1, **columns):
        """A profile with these columns; to be made before the first request, as profiles are kept for a while."""
        columns = {
            "id": uuid_of(slug),
            "slug": slug,
            "name": slug,
            "prompt": "Be brief.",
            "tier": tier,
        } | columns
        names, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
        await self.database.execute(
            f"insert into agent_profiles ({names}) values ({marks})", tuple(columns.values())
        )


def uuid_of(name):
    """A fixed id for a name."""
    return uuid5(NAMESPACE_URL, name)


async def _events(reply):
    data = b""
    while chunk := await reply.read():
        *whole, data = (data + chunk).split(b"\n\n")
        for text in whole:
            lines = dict(line.split(": ", 1) for line in text.decode().split("\n") if ": " in line)
            if lines:
                yield Sent(lines["event"], lines["id"], json.loads(lines["data"]))


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Data and secrets, shared: what is in them holds for any database."""
    return {
        "folder": tmp_path_factory.mktemp("data"),
        "secrets_folder": tmp_path_factory.mktemp("made") / "secrets",
    }


@pytest.fixture
def running_server(folders):
    """`async with running_server(database_url, **sections) as site`: sections go over the test's defaults."""

    @asynccontextmanager
    async def run(database_url, **sections):
        defaults = {
            "server": {"port": 0, "drain_seconds": 2},
            "data": folders,
            "database": {"url": database_url},
            "limits": dict.fromkeys(
                (
                    "per_ip_per_minute",
                    "per_key_per_minute",
                    "per_conversation_per_minute",
                    "per_profile_per_minute",
                    "global_per_minute",
                    "global_per_day",
                ),
                100000,
            ),
            "budgets": {"prices": {"fake": (1_000_000, 2_000_000)}},
        }
        async with Model().serving() as model:
            defaults["llm"] = {
                "provider": "openai-compat",
                "endpoint": model.url,
                "model": "fake",
                "pace_ms": 0,
                "max_retries": 0,
            }
            settings = Settings.model_validate(
                {name: defaults.get(name, {}) | sections.get(name, {}) for name in {**defaults, **sections}}
            )
            reports = []
            async with (
                running(settings, reports.append) as server,
                httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_SECONDS, trust_env=False) as client,
                Database(database_url, size=2) as database,
            ):
                key = (folders["secrets_folder"] / "admin_api_key").read_text().strip()
                yield Site(server, client, database, model, key, reports)

    return run


@pytest.fixture
def with_site(running_server, database_url):
    """Run `await test(site)` against a server of its own with these sections of the settings."""

    def run(test, **sections):
        async def main():
            with trio.fail_after(PATIENCE_SECONDS):
                async with running_server(database_url, **sections) as site:
                    await test(site)

        trio.run(main)

    return run


@pytest.fixture
def new_model():
    """Makes a model for a server that is not in this process: `async with new_model().serving() as model`."""
    return Model

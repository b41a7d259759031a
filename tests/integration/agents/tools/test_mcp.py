"""Tools of real MCP servers: over stdio and streamable HTTP, supervised, and safe to lose."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
import trio

from hivemind.actors import ActorSystem, ChildSpec, Policies, Supervisor
from hivemind.agents.tools import Call, Catalogue, parse
from hivemind.agents.tools.mcp import Connection, Link, transport
from hivemind.guards import Guards
from hivemind.outbound import HttpClient
from hivemind.persistence import Database, migrate
from hivemind.settings import McpServerSettings
from hivemind.targets import Targets

SERVER = str(Path(__file__).with_name("mcp_server.py"))
STDIO = McpServerSettings(command=sys.executable, args=(SERVER, "stdio"))
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def guards(tmp_path_factory):
    return Guards.load(tmp_path_factory.mktemp("guards"))


def call(**arguments):
    return Call(uuid4(), uuid4(), uuid4(), uuid4(), "tests", arguments)


class Server:
    """One connection in a tree of its own, and what it offers."""

    def __init__(self, system, catalogue, link):
        self.system, self.catalogue, self.link = system, catalogue, link

    async def connected(self):
        while not self.link.up:
            await trio.sleep(0.01)
        return {words.partition("/")[2]: tool for words, tool in self.catalogue.items()}

    async def disconnected(self):
        while self.link.up:
            await trio.sleep(0.01)

    def snapshot(self):
        return self.system.snapshot("/mcp/it")


@pytest.fixture
def with_server(guards):
    def run(settings, test, targets=None, *, database_url="host=/nowhere", guard_seconds=5):
        async def main():
            with trio.fail_after(PATIENCE_SECONDS):
                async with (
                    Database(database_url, wait_seconds=0.1 if "nowhere" in database_url else 10) as database,
                    ActorSystem(policies=Policies()) as system,
                    HttpClient(targets=targets) as http,
                ):
                    catalogue, link = Catalogue(), Link("it")
                    parts = (link, settings, catalogue, guards, guard_seconds, database, http)
                    spec = ChildSpec("it", Connection, parts)
                    await system.start(
                        ChildSpec(
                            "mcp", Supervisor, ((spec,),), policy={"max_restarts": 1_000, "within_seconds": 1}
                        )
                    )
                    await test(Server(system, catalogue, link))

        trio.run(main)

    return run


def test_a_tool_whose_description_the_guards_cannot_check_in_time_is_not_offered(
    with_server, guards, database_url, monkeypatch
):
    async def prepare():
        async with Database(database_url) as database:
            await migrate(database)

    released = threading.Event()

    def hanging(self, text, *rest):
        if text.startswith("add\n"):
            released.wait()
        return check(self, text, *rest)

    check = Guards.check_input
    monkeypatch.setattr(Guards, "check_input", hanging)

    async def test(server):
        tools = await server.connected()
        released.set()
        assert "add" not in tools and "fail" in tools
        assert "guard_failed" in server.snapshot().facts["refused_tools"]["add"]
        async with Database(database_url) as database:
            row = await database.fetch_one("select detail from audit_log where action = 'mcp:tool:refused'")
        assert (row["detail"]["tool"], row["detail"]["code"]) == ("add", "guard_failed")
        assert "no verdict within" in row["detail"]["reason"]

    trio.run(prepare)
    with_server(STDIO, test, database_url=database_url, guard_seconds=0.2)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@asynccontextmanager
async def http_server(port):
    process = await trio.lowlevel.open_process(
        [sys.executable, SERVER, "http", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


def test_an_http_server_that_dies_is_a_failed_outcome_until_it_is_back(with_server):
    async def test(server):
        async with http_server(port):
            tools = await server.connected()
            assert (await tools["add"].run(call(a=1, b=1))).text == "2"
        outcome = await tools["add"].run(call(a=1, b=1))
        assert outcome.failed
        await server.disconnected()
        async with http_server(port):
            await server.connected()
            assert (await tools["add"].run(call(a=1, b=1))).text == "2"

    port = free_port()
    with_server(McpServerSettings(url=f"http://127.0.0.1:{port}/mcp", allow_private=True), test)


def test_an_answer_without_end_is_cut_off(with_server, monkeypatch):
    monkeypatch.setattr(transport, "MAX_JSON_BYTES", 50)

    async def test(server):
        async with http_server(port):
            while server.link.last_error is None:
                await trio.sleep(0.01)
            assert not server.link.up

    port = free_port()
    with_server(McpServerSettings(url=f"http://127.0.0.1:{port}/mcp", allow_private=True), test)


async def look_at(server):
    tools = await server.connected()
    assert tools["add"].name == "it__add"
    assert tools["add"].description == "Add two numbers."
    assert tools["add"].repeatable
    assert tools["key"].repeatable
    assert not tools["environment"].repeatable
    arguments = parse(tools["add"], '{"a": 2, "b": 3}')
    outcome = await tools["add"].run(call(**arguments))
    assert (outcome.text, outcome.failed) == ("5", False)
    assert "not of type" in parse(tools["add"], '{"a": "x", "b": 3}')
    asked = call()
    assert (await tools["key"].run(asked)).text == str(asked.id)
    failed = await tools["fail"].run(call())
    assert failed.failed
    assert "no such file" in failed.text
    assert "image/png: not shown" in (await tools["picture"].run(call())).text
    assert "poison" not in tools


def test_over_stdio(with_server):
    with_server(STDIO, look_at)


def test_over_streamable_http(with_server):
    async def test(server):
        async with http_server(port):
            await look_at(server)

    port = free_port()
    with_server(McpServerSettings(url=f"http://127.0.0.1:{port}/mcp", allow_private=True), test)


@cache
def everything():
    """The reference server of the protocol's authors, where node is and can be had."""
    if shutil.which("npx") is None:
        return None
    package = "@modelcontextprotocol/server-everything"
    command = ["npx", "--yes", "--prefer-offline", "--package", package, "node", "-e", ""]
    try:
        found = subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return None
    return package if found else None


def test_the_reference_server_of_the_protocol(with_server):
    package = everything()
    if package is None:
        pytest.skip("node and the package are not here")

    async def test(server):
        tools = await server.connected()
        echo = await tools["echo"].run(call(message="hello"))
        assert "hello" in echo.text
        assert not echo.failed
        for name, tool in tools.items():
            assert isinstance(parse(tool, "{}"), (dict, str)), name

    with_server(McpServerSettings(command="npx", args=("--yes", "--prefer-offline", package)), test)


def test_a_process_gets_only_the_environment_that_the_owner_named(with_server, monkeypatch):
    monkeypatch.setenv("HIVEMIND_LLM_API_KEY", "secret")
    monkeypatch.setenv("A_SECRET", "secret")
    monkeypatch.setenv("WANTED", "yes")

    async def test(server):
        tools = await server.connected()
        names = set((await tools["environment"].run(call())).text.split())
        assert {"WANTED", "GIVEN", "PATH"} <= names
        assert names <= {"WANTED", "GIVEN", "HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LC_CTYPE"}

    settings = McpServerSettings(
        command=sys.executable, args=(SERVER, "stdio"), env={"GIVEN": "x"}, pass_env=("WANTED", "ABSENT")
    )
    with_server(settings, test)


def test_a_server_that_dies_in_a_call_is_a_failed_outcome_and_comes_back(with_server):
    async def test(server):
        tools = await server.connected()
        before = (await tools["pid"].run(call())).text
        outcome = await tools["die"].run(call())
        assert outcome.failed
        await server.disconnected()
        outcome = await tools["add"].run(call(a=1, b=1))
        assert outcome.failed
        assert "not connected" in outcome.text
        await server.connected()
        assert (await tools["add"].run(call(a=1, b=1))).text == "2"
        assert (await tools["pid"].run(call())).text != before
        snapshot = server.snapshot()
        assert snapshot.restarts == 1
        assert snapshot.facts["failed_calls"] == 1

    with_server(STDIO, test)


def test_who_waits_for_a_killed_connection_is_answered_and_the_process_is_gone(with_server):
    async def test(server):
        tools = await server.connected()
        process = int((await tools["pid"].run(call())).text)
        outcomes = []

        async def wait():
            outcomes.append(await tools["hang"].run(call()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            while server.link.calls < 2:
                await trio.sleep(0)
            server.system.whereis("/mcp/it").kill()
        assert outcomes[0].failed
        assert "not known" in outcomes[0].text
        while alive(process):
            await trio.sleep(0.01)

    with_server(STDIO, test)


def test_a_call_that_is_cancelled_leaves_the_connection_usable(with_server):
    async def test(server):
        tools = await server.connected()
        with trio.move_on_after(0.05) as scope:
            await tools["hang"].run(call())
        assert scope.cancelled_caught
        assert (await tools["add"].run(call(a=1, b=1))).text == "2"

    with_server(STDIO, test)


def test_calls_run_beside_each_other(with_server):
    async def test(server):
        tools = await server.connected()
        sums = []

        async def add(n):
            sums.append((n, (await tools["add"].run(call(a=n, b=n))).text))

        async with trio.open_nursery() as nursery:
            for n in range(20):
                nursery.start_soon(add, n)
        assert sorted(sums) == [(n, str(2 * n)) for n in range(20)]

    with_server(STDIO, test)


def test_a_private_address_is_not_called_unless_the_owner_says_so(with_server):
    async def test(server):
        async with http_server(port):
            while server.link.last_error is None:
                await trio.sleep(0.01)
            assert not server.link.up
            assert "127.0.0.1 is this host" in server.link.last_error

    port = free_port()
    with_server(McpServerSettings(url=f"http://127.0.0.1:{port}/mcp"), test, targets=Targets())


@pytest.mark.parametrize("command", ["/nonexistent/program", "/bin/false"])
def test_a_program_that_does_not_run_is_tried_again_and_says_why(with_server, command):
    async def test(server):
        while server.snapshot().restarts < 2:
            await trio.sleep(0.01)
        facts = server.snapshot().facts
        assert facts["connected"] is False
        assert facts["last_error"]

    with_server(McpServerSettings(command=command), test)


def alive(process):
    try:
        os.kill(process, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    return True

"""Promise: where the database is lost between a question and its answer, a message is answered once all the same."""

import os
import tempfile
from contextlib import asynccontextmanager

import pytest
import trio
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hivemind.agents import admission

MARK = "the-message-that-is-lost"


class Line:
    """Between the server and its Postgres. `cuts` says of the next statements with the mark what is lost."""

    def __init__(self, conninfo):
        self._where = conninfo_to_dict(conninfo)
        self.cuts = []
        self.cut = 0

    @asynccontextmanager
    async def open(self):
        with tempfile.TemporaryDirectory(prefix=f"hivemind-test-{os.getpid()}-") as folder:
            listener = trio.socket.socket(trio.socket.AF_UNIX)
            await listener.bind(f"{folder}/.s.PGSQL.5432")
            listener.listen()

            async def serve(stream):
                async with (
                    stream,
                    await self._dial() as server,
                    trio.open_nursery() as nursery,
                ):
                    swallows = trio.Event()
                    nursery.start_soon(_back, server, stream, swallows, nursery.cancel_scope)
                    await self._forth(stream, server, swallows)
                    nursery.cancel_scope.cancel()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, serve, [trio.SocketListener(listener)])
                yield make_conninfo(**{**self._where, "host": folder, "port": "5432"})
                nursery.cancel_scope.cancel()

    async def _dial(self):
        host, port = self._where["host"], int(self._where.get("port", 5432))
        if host.startswith("/"):
            return await trio.open_unix_socket(f"{host}/.s.PGSQL.{port}")
        return await trio.open_tcp_stream(host, port)

    async def _forth(self, client, server, swallows):
        try:
            while data := await client.receive_some():
                if self.cuts and MARK.encode() in data:
                    self.cut += 1
                    if self.cuts.pop(0) == "question":
                        return
                    swallows.set()
                await server.send_all(data)
        except trio.BrokenResourceError:
            return


async def _back(server, client, swallows, scope):
    try:
        while data := await server.receive_some():
            if swallows.is_set():
                break
            await client.send_all(data)
    except trio.BrokenResourceError:
        pass
    scope.cancel()


def once(site):
    return site.rows(
        "select (select count(*) from turns) as turns, (select count(*) from reservations) as held,"
        " (select count(*) from messages where role = 'assistant') as replies, (select count(*) from costs) as costs"
    )


@pytest.fixture
def with_line(running_server, database_url):
    """Run `await test(site, line)` against a server that reaches its Postgres through a line."""

    def run(test):
        async def main():
            line = Line(database_url)
            with trio.fail_after(60):
                async with line.open() as conninfo, running_server(conninfo) as site:
                    await test(site, line)

        trio.run(main)

    return run


@pytest.mark.parametrize("opens", [True, False], ids=["first message", "later message"])
@pytest.mark.parametrize("cuts", [["question"], ["answer"], ["answer", "answer"], ["question", "answer"]])
def test_the_agent_asks_again_and_the_caller_never_knows(with_line, cuts, opens):
    async def test(site, line):
        known = {}
        if not opens:
            first = await site.say("hi")
            known = {name: first[name] for name in ("conversation_id", "conversation_token")}
        line.cuts = list(cuts)
        reply = await site.say(MARK, **known)
        assert reply["reply"] == "Hello there."
        assert line.cut == len(cuts)
        turns = 1 + (not opens)
        assert await once(site) == [{"turns": turns, "held": 0, "replies": turns, "costs": turns}]
        assert len(site.model.requests) == turns

    with_line(test)


@pytest.mark.parametrize("opens", [True, False], ids=["first message", "later message"])
@pytest.mark.parametrize("cut", ["question", "answer"])
def test_a_caller_who_was_told_that_the_database_is_away_may_send_it_again(
    with_line, monkeypatch, cut, opens
):
    monkeypatch.setattr(admission, "ADMIT_PATIENCE_SECONDS", 0)

    async def test(site, line):
        known = {}
        if not opens:
            first = await site.say("hi")
            known = {name: first[name] for name in ("conversation_id", "conversation_token")}
        line.cuts = [cut]
        response = await site.post(MARK, idempotency_key="same", **known)
        assert (response.status_code, response.json()["error"]["code"]) == (503, "database_unavailable")
        reply = await site.say(MARK, idempotency_key="same", **known)
        assert reply["reply"] == "Hello there."
        turns = 1 + (not opens)
        assert await once(site) == [{"turns": turns, "held": 0, "replies": turns, "costs": turns}]

    with_line(test)

"""Promise: a turn is one trace that says where its time and money went, and never what was said."""

import gzip
import subprocess
import sys
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
import trio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from psycopg.types.json import Jsonb

from hivemind.errors import ConfigError

SECONDS = 60


class Collector:
    """Takes OTLP over HTTP, as the collector of OpenTelemetry does."""

    def __init__(self):
        self.url, self.bodies, self.headers, self.resources, self.spans = "", [], [], [], []

    @asynccontextmanager
    async def serving(self):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(
                lambda task_status: trio.serve_tcp(self._serve, 0, host="127.0.0.1", task_status=task_status)
            )
            self.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1/traces"
            yield self
            nursery.cancel_scope.cancel()

    async def _serve(self, stream):
        async with stream:
            data = b""
            while chunk := await stream.receive_some():
                data += chunk
                head, split, body = data.partition(b"\r\n\r\n")
                lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
                if not split or len(body) < int(lines[b"content-length"]):
                    continue
                assert (
                    head.startswith(b"POST /v1/traces ")
                    and lines[b"content-type"] == b"application/x-protobuf"
                )
                self._take(lines, body)
                data = b""
                await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    def _take(self, headers, body):
        self.headers.append(headers)
        body = gzip.decompress(body) if headers.get(b"content-encoding") == b"gzip" else body
        self.bodies.append(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(facts(group.resource.attributes))
            self.spans += [span for scope in group.scope_spans for span in scope.spans]

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def one(self, name):
        (span,) = self.named(name)
        return span


def facts(attributes):
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


@pytest.fixture
def traced(running_server, database_url):
    """`traced(test)` runs `await test(site)` and gives the collector once the server has stopped."""

    def run(test, **traces):
        async def main():
            with trio.fail_after(SECONDS):
                async with Collector().serving() as collector:
                    sections = {"traces": {"endpoint": collector.url, **traces}}
                    async with running_server(database_url, **sections) as site:
                        await test(site)
                    return collector

        return trio.run(main)

    return run


def test_a_turn_is_one_trace_with_the_id_of_the_turn(traced):
    said = {}

    async def test(site):
        await site.profile("planner", tools=Jsonb({"create_task": {"policy": "allow"}}))
        site.model.says({"create_task": {"title": "Buy a secret present"}}, when="please plan")
        site.model.says("It is ", "planned.", when="created")
        said.update(await site.say("please plan the party", slug="planner"))

    collector = traced(test, service_name="hive", headers="Authorization=Bearer abc,x-tenant=7")
    turn = collector.one("invoke_agent planner")
    parts = [span for span in collector.spans if span.parent_span_id == turn.span_id]
    assert [span.name for span in sorted(parts, key=lambda span: span.start_time_unix_nano)] == [
        "admit",
        "chat fake",
        "execute_tool create_task",
        "chat fake",
        "commit",
    ]
    assert {UUID(bytes=span.trace_id) for span in collector.spans} == {UUID(said["turn_id"])}
    assert all(turn.start_time_unix_nano <= span.start_time_unix_nano for span in parts)
    assert all(span.end_time_unix_nano <= turn.end_time_unix_nano for span in parts)
    told = facts(turn.attributes)
    assert told["gen_ai.conversation.id"] == said["conversation_id"]
    assert told["hivemind.turn.state"] == "answered"
    assert told["gen_ai.usage.input_tokens"] == said["usage"]["input_tokens"]
    assert told["hivemind.cost_micros"] == said["usage"]["cost_micros"]
    chat = facts(collector.named("chat fake")[0].attributes)
    assert (chat["gen_ai.operation.name"], chat["gen_ai.provider.name"]) == ("chat", "openai-compat")
    assert chat["hivemind.tool_calls"] == 1
    assert collector.named("chat fake")[0].kind == 3  # a client's
    for body in collector.bodies:
        for text in (b"party", b"present", b"planned"):
            assert text not in body
    assert (
        collector.headers[0][b"authorization"] == b"bearer abc" and collector.headers[0][b"x-tenant"] == b"7"
    )
    assert collector.resources[0]["service.name"] == "hive"


def test_what_fails_says_so_by_its_code(traced):
    async def test(site):
        site.model.says(500, when="Hello")
        assert (await site.post("Hello")).status_code == 503

    collector = traced(test)
    turn, chat = collector.one("invoke_agent hello"), collector.one("chat fake")
    for span in (turn, chat):
        assert span.status.code == 2
        assert facts(span.attributes)["error.type"] == "llm_unavailable"
    assert facts(turn.attributes)["hivemind.turn.state"] == "failed"
    assert not turn.events  # no traceback, no words


def test_a_turn_that_waits_for_a_person_goes_on_in_its_trace(traced):
    async def test(site):
        await site.profile("planner", tools=Jsonb({"create_task": {"policy": "ask"}}))
        site.model.says({"create_task": {"title": "A task"}}, when="please plan")
        key = {"X-API-Key": site.admin_key}
        async with site.stream("/api/v1/public/agents/chat/planner", {"message": "please plan"}) as (
            _,
            events,
        ):
            async for event in events:
                if event.name == "waiting":
                    (asked,) = (await site.client.get("/api/v1/approvals", headers=key)).json()["items"]
                    path = f"/api/v1/approvals/{asked['id']}/approve"
                    assert (await site.client.post(path, json={}, headers=key)).is_success

    collector = traced(test)
    first, later = sorted(collector.named("invoke_agent planner"), key=lambda span: span.start_time_unix_nano)
    assert later.trace_id == first.trace_id
    assert later.parent_span_id == first.span_id and not first.parent_span_id
    assert facts(first.attributes)["hivemind.turn.state"] == "waiting"
    assert facts(later.attributes)["hivemind.turn.state"] == "answered"
    tool = collector.one("execute_tool create_task")
    assert tool.parent_span_id == later.span_id


def test_a_share_of_the_turns_is_traced_whole_or_not_at_all(traced):
    async def test(site):
        for _ in range(40):
            await site.say("Hello")

    collector = traced(test, share=0.5)
    turns = len(collector.named("invoke_agent hello"))
    assert 5 < turns < 35
    assert len(collector.spans) == 4 * turns


def test_a_collector_that_is_away_costs_no_answer(running_server, database_url):
    async def main():
        with trio.fail_after(SECONDS):
            async with running_server(
                database_url, traces={"endpoint": "http://127.0.0.1:9/v1/traces"}
            ) as site:
                for _ in range(3):
                    assert (await site.say("Hello"))["reply"] == "Hello there."

    trio.run(main)


def test_without_a_collector_nothing_of_it_is_loaded():
    code = "import sys, hivemind.app; sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_extra_the_start_says_what_to_install(running_server, database_url, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "hivemind.otlp", raising=False)

    async def main():
        async with running_server(database_url, traces={"endpoint": "http://127.0.0.1:9/v1/traces"}):
            pass

    with pytest.raises(ConfigError) as caught:
        unwrapped(main)
    assert "hivemind[otel]" in caught.value.remedy


def unwrapped(main):
    try:
        trio.run(main)
    except ExceptionGroup as group:
        error = group
        while isinstance(error, ExceptionGroup):
            (error,) = error.exceptions
        raise error from None

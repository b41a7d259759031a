"""Promise: the server answers as /api/v1/openapi.json says, whatever it is sent, and never with a defect.

Schemathesis makes requests from the description, right ones and wrong ones, and holds each answer against it.
What exists is mixed in, so that there is something to answer about.
"""

import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import requests
import schemathesis
import trio
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hivemind.http.bodies import BodyLimits
from hivemind.http.contract.document import document
from hivemind.persistence import Jsonb
from hivemind.settings import ServerSettings

EXAMPLES = 6
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# A stream without an end is not one answer, and a WebSocket is none.
NOT_ASKED = {"get_actors_events", "ws_public_agents_chat_by_slug_ws", "ws_agents_by_agent_id_ws"}
# What takes something that is not here: a webhook's secret, a body of no use to a machine.
NO_SUCCESS = {
    "post_integrations_plane_webhook",
    "page_static_by_digest_by_name",
    "page_sign_in",
    "page_first_run",
}
# Their bodies are another protocol's, or are looked at only when somebody with a password asks.
OTHERWISE = {"post_mcp", "post_integrations_plane_webhook", "post_auth_password"}
ORDER = ("GET", "POST", "PUT", "PATCH", "DELETE")
SECONDS = 300
# The server in this process draws its jitter from `random` while a strategy draws, which Hypothesis takes for its.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")
PASSWORD = "a long sentence is best"
TASK = {"title": "Paint the shed"}


def described():
    """Every operation that is asked, those that remove things last."""
    schema = schemathesis.openapi.from_dict(document())
    found = {each.ok().definition.raw["operationId"]: each.ok() for each in schema.get_all_operations()}
    kept = {name: operation for name, operation in found.items() if name not in NOT_ASKED}
    return dict(sorted(kept.items(), key=lambda item: ORDER.index(item[1].method.upper())))


class World:
    """A running server, what there is on it, and which statuses each operation was answered with."""

    def __init__(self, url, key):
        self.url = url
        self.key = key
        self.session = requests.Session()
        self.session.headers["X-API-Key"] = key
        self.operations = described()
        self.known = defaultdict(list)
        self.seen = defaultdict(set)

    def ask(self, name, status, body=None, session=None, headers=None, **path):
        """One request that has to be answered so; the answer is as described."""
        operation = self.operations[name]
        more = {"body": body, "media_type": "application/json"} if body is not None else {}
        case = operation.Case(path_parameters=path, **more)
        response = self.call(case, CHECKS, session, headers)
        assert response.status_code == status, (name, response.text)
        return response

    def call(self, case, checks, session=None, headers=None):
        response = case.call(
            base_url=self.url, session=session or self.session, headers=headers or {}, timeout=20
        )
        name = case.operation.definition.raw["operationId"]
        self.seen[name].add(response.status_code)
        case.validate_response(response, checks=checks)
        return response

    def make(self, name, kind, body):
        """One more of a kind, in the answer by that name."""
        self.known[f"{kind}_id"].append(self.ask(name, 201, body).json()[kind]["id"])

    def settle(self):
        """Some of everything."""
        later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        for n in range(6):
            self.make("post_directives", "directive", {"profile": "hello", "text": "Hi", "not_before": later})
            self.make("post_tasks", "task", {"title": "Say hello", "profile": "hello"})
            cron = {"name": f"s{n}", "cron": "0 8 * * *", "profile": "hello", "text": "Say hello."}
            self.make("post_schedules", "schedule", cron)
            document = {"title": f"Hours {n}", "text": f"We are open from nine to five. {n}"}
            self.make("post_knowledge", "document", document)
            made = self.ask("post_api_keys", 201, {"name": f"key{n}"}).json()
            self.known["key_id"].append(made["api_key"]["id"])
            profile = {"slug": f"made-{n}", "name": "Made", "prompt": "Be brief."}
            profile |= {"tier": 1, "widget_origins": ["https://example.org"]}
            self.ask("post_agent_profiles", 201, profile)
            self.ask("page_widget_by_slug", 200, slug=profile["slug"])
            self.known["slug"].append(profile["slug"])
            said = self.ask("post_public_agents_chat_by_slug", 200, {"message": "Hello"}, slug="hello").json()
            self.known["conversation_id"].append(said["conversation_id"])
            self.known["agent_id"].append(said["conversation_id"])
        for period in ("day", "month"):
            cap = {"scope": "profile", "subject": "*", "period": period, "limit_micros": 10**9}
            self.make("post_caps", "cap", cap)
        self.ask("delete_caps_by_cap_id", 204, cap_id=self.known["cap_id"].pop())
        for name in ("ada", "grace"):
            self.make("post_users", "user", {"username": name, "password": PASSWORD})
        found = self.session.get(f"{self.url}/api/v1/knowledge/search?query=open", timeout=20).json()
        self.known["passage_id"] = [passage["id"] for passage in found["items"]]
        self.known["address"] = ["workers/schedules", "workers"]
        self.known["model"] = ["hello"]
        self.known["slug"].append("hello")

    def mix(self, case, data):
        """Put what exists into a case."""
        for name in case.path_parameters or {}:
            if name in self.known and data.draw(st.integers(0, 3)):
                case.path_parameters[name] = data.draw(st.sampled_from(self.known[name]))
        if isinstance(case.body, dict):
            if isinstance(case.body.get("profile"), str):
                case.body["profile"] = "hello"
            if isinstance(case.body.get("model"), str):
                case.body["model"] = "hello"
            if case.operation.path == "/api/v1/kill-switch":
                case.body["stage"] = 0

    def answer_a_person(self):
        """What a browser does, with its cookie."""
        browser = requests.Session()
        account = {"username": "owner", "password": PASSWORD}
        self.ask("post_auth_register", 201, account, browser)
        who = self.ask("post_auth_login", 200, account, browser).json()
        browser.headers["X-CSRF-Token"] = who["csrf_token"]
        self.ask("get_auth_me", 200, session=browser)
        other = {"current": PASSWORD, "new": "another long sentence"}
        self.ask("post_auth_password", 204, other, browser)
        sessions = self.ask("get_users_by_user_id_sessions", 200, user_id=who["user"]["id"]).json()["items"]
        place = {"user_id": who["user"]["id"], "session_id": sessions[0]["id"]}
        self.ask("delete_users_by_user_id_sessions_by_session_id", 204, **place)
        self.ask("post_auth_logout", 200)

    def answer_agents(self):
        """What takes an agent in the right state, each once."""
        waiting = []
        for _ in range(2):
            self.ask("post_agents", 201, {"profile": "planner", "directive": "plan it"})
        while len(waiting) < 2:  # each look is a round trip
            waiting = self.ask("get_approvals", 200).json()["items"]
        for question, answer in zip(waiting, ("approve", "deny"), strict=True):
            place = {"approval_id": question["id"]}
            self.ask("get_approvals_by_approval_id", 200, **place)
            self.ask(f"post_approvals_by_approval_id_{answer}", 200, {"reason": "As I say."}, **place)
        daemon = self.ask("post_agents", 201, {"profile": "hello", "external": True}).json()["agent"]["id"]
        self.ask("post_agents_by_agent_id_heartbeat", 200, {"state": "running"}, agent_id=daemon)
        talker = {"agent_id": self.ask("post_agents", 201, {"profile": "hello"}).json()["agent"]["id"]}
        self.ask("post_agents_by_agent_id_messages", 200, {"message": "Hello"}, **talker)
        stream = {"Accept": "text/event-stream"}
        said = self.ask(
            "post_agents_by_agent_id_messages", 200, {"message": "Hello"}, headers=stream, **talker
        )
        assert said.headers["content-type"] == ["text/event-stream"]
        chat = "post_public_agents_chat_by_slug"
        self.ask(chat, 200, {"message": "Hello"}, headers=stream, slug="hello")
        said = self.ask(chat, 200, {"message": "Hello"}, slug="hello").json()
        place = {name: said[name] for name in ("conversation_id", "conversation_token", "turn_id")}
        self.ask(f"{chat}_resume", 200, place, slug="hello")
        self.ask(f"{chat}_resume", 200, place, headers=stream, slug="hello")
        asked = {"model": "hello", "messages": [{"role": "user", "content": "Hello"}]}
        self.ask("post_v1_chat_completions", 200, asked)
        self.ask("post_v1_chat_completions", 200, asked | {"stream": True})
        for _ in range(2):
            self.ask(
                "patch_directives_by_directive_id",
                200,
                {"text": "Hi!"},
                directive_id=self.known["directive_id"][0],
            )
        self.ask("post_directives_by_directive_id_cancel", 200, directive_id=self.known["directive_id"][0])
        both = {"Accept": "application/json, text/event-stream"}
        self.ask("post_mcp", 200, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=both)
        self.ask("post_mcp", 202, {"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=both)
        lines = self.ask("get_agent_chat_audit", 200, headers={"Accept": "application/x-ndjson"})
        assert lines.headers["content-type"] == ["application/x-ndjson"]

    def interrupt(self):
        """End a turn that runs: its model waits."""
        talker = {"agent_id": self.ask("post_agents", 201, {"profile": "hello"}).json()["agent"]["id"]}
        said = self.session.post(
            f"{self.url}/api/v1/agents/{talker['agent_id']}/messages",
            json={"message": "Take your time"},
            headers={"Accept": "text/event-stream"},
            stream=True,
            timeout=20,
        )
        lines = said.iter_lines()
        next(lines)
        self.ask("post_agents_by_agent_id_interrupt", 200, {}, **talker)
        assert any(b"interrupted" in line for line in lines)


def serve(running_server, database_url, work):
    """Do blocking work against a server of its own."""

    async def main():
        with trio.fail_after(SECONDS):
            async with running_server(database_url, directives={"poll_seconds": 0.05}) as site:
                await site.profile("planner", tools=Jsonb({"create_task": {"policy": "ask"}}))
                site.model.says({"create_task": TASK}, when="plan it")
                site.model.says("Well, ", trio.Event(), when="Take your time")
                world = World(site.server.url, site.admin_key)
                await trio.to_thread.run_sync(work, world)

    trio.run(main)


def test_every_answer_is_as_described(running_server, database_url):
    mistakes = []

    def work(world):
        world.answer_a_person()
        world.settle()
        world.answer_agents()
        world.interrupt()
        for operation in world.operations.values():
            check(world, operation, schemathesis.GenerationMode.POSITIVE, CHECKS)
            if operation.body or operation.query:
                more = [*CHECKS, negative_data_rejection]
                check(world, operation, schemathesis.GenerationMode.NEGATIVE, more)
        for name, operation in world.operations.items():
            wanted = {int(status) for status in operation.definition.raw["responses"] if status < "300"}
            if not wanted <= world.seen[name] and name not in NO_SUCCESS:
                mistakes.append(f"{name} was never answered with {wanted - world.seen[name]}")

    def check(world, operation, mode, checks):
        @seed(1)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(data=st.data())
        def one(data):
            case = data.draw(operation.as_strategy(generation_mode=mode))
            if mode is schemathesis.GenerationMode.POSITIVE:
                world.mix(case, data)
            world.call(case, checks)

        try:
            one()
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - all are told below
            mistakes.append(f"{operation.label} {mode}: {error}\n{getattr(error, 'exceptions', '')}")

    serve(running_server, database_url, work)
    assert not mistakes, "\n\n".join(mistakes)


def test_what_is_refused_is_refused_as_described_at_both_addresses(running_server, database_url):
    nobody = requests.Session()

    def work(world):
        viewer = requests.Session()
        viewer.headers["X-API-Key"] = world.ask("post_api_keys", 201, {"name": "v", "role": "viewer"}).json()[
            "key"
        ]
        for name, operation in world.operations.items():
            told = operation.definition.raw
            if told["tags"] == ["Pages"]:
                continue
            role, has_body = told["x-role"], "requestBody" in told
            kind = {"Content-Type": "application/json"}
            if role is not None:
                refused(world, name, nobody, 401, b"{}", kind)
            if role in ("operator", "admin"):
                refused(world, name, viewer, 403, b"{}", kind)
            if "{" in operation.path and "{address}" not in operation.path:
                body = b'{"message": "Hello"}' if "chat" in name else b"{}"
                if "resume" not in name or "chat" not in name:
                    refused(world, name, world.session, (404, 422), body, kind)
            if has_body and name not in OTHERWISE:
                refused(world, name, world.session, 415, b"{}", {"Content-Type": "text/plain"})
                refused(world, name, world.session, 400, b"{", kind)
                most = BodyLimits.of(ServerSettings()).at(operation.path)
                refused(world, name, world.session, 413, b'"' + b"x" * most + b'"', kind)

    def refused(world, name, session, status, body, headers):
        operation = world.operations[name]
        told = operation.definition.raw["responses"]
        path = re.sub(r"{(\w+)}", lambda found: IN_PATH.get(found[1]) or str(uuid4()), operation.path)
        answers = []
        for place in dict.fromkeys((path, path.replace("/api/v1/", "/api/admin/", 1))):
            sends = body if "requestBody" in operation.definition.raw else None
            answer = session.request(
                operation.method, world.url + place, data=sends, headers=headers, timeout=20
            )
            answers.append((answer.status_code, answer.json()))
            assert answer.status_code in (status if isinstance(status, tuple) else (status,)), (
                name,
                place,
                answer.text,
            )
            assert str(answer.status_code) in told, (name, answer.text)
            assert answer.headers["content-type"] == "application/json"
            assert answer.json()["error"]["code"] in told[str(answer.status_code)]["x-codes"], (
                name,
                answer.text,
            )
        assert all(answer == answers[0] for answer in answers)

    serve(running_server, database_url, work)


IN_PATH = {
    "address": "workers/schedules",
    "deed": "resume",
    "passage_id": "1",
    "slug": "nobody",
    "model": "nobody",
}

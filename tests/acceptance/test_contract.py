"""Promise: the server answers as /api/v1/openapi.json says, whatever it is sent, and never with a defect.

Schemathesis makes requests from the description, right ones and wrong ones, and holds each answer against it.
What exists is mixed in, so that there is something to answer about.
"""

import warnings
from collections import defaultdict

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

from hivemind.http.contract.document import document, name_of, operations

EXAMPLES = 6
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# A stream without an end is not one answer.
ENDLESS = {"get_actors_events"}
ORDER = ("GET", "POST", "PUT", "PATCH", "DELETE")
SECONDS = 300


class World:
    """What there is, by the name that it has in paths."""

    def __init__(self, url, key):
        self.url = url
        self.session = requests.Session()
        self.session.headers["X-API-Key"] = key
        self.known = defaultdict(list)
        self.seen = defaultdict(set)

    def make(self, path, name, body, of=lambda answer: next(iter(answer.values()))["id"]):
        answer = self.session.post(f"{self.url}{path}", json=body, timeout=20)
        assert answer.status_code in (200, 201), answer.text
        self.known[name].append(of(answer.json()))
        return answer.json()

    def settle(self):
        for n in range(8):
            self.make("/api/v1/directives", "directive_id", {"profile": "hello", "text": "Say hello."})
            self.make("/api/v1/tasks", "task_id", {"title": "Say hello", "profile": "hello"})
            cron = {"name": f"s{n}", "cron": "0 8 * * *", "profile": "hello", "text": "Say hello."}
            self.make("/api/v1/schedules", "schedule_id", cron)
            profile = {"slug": f"made-{n}", "name": "Made", "prompt": "Be brief."}
            self.make("/api/v1/agent-profiles", "slug", profile, lambda a: a["profile"]["slug"])
            cap = {"scope": "profile", "subject": "*", "period": "day", "limit_micros": 10**9 + n}
            if n == 0:
                self.make("/api/v1/caps", "cap_id", cap)
            document = {"title": f"Hours {n}", "text": f"We are open from nine to five. {n}"}
            self.make("/api/v1/knowledge", "document_id", document)
            user = {"username": f"user{n}", "password": "a long sentence is best"}
            self.make("/api/v1/users", "user_id", user)
            self.make("/api/v1/api-keys", "key_id", {"name": f"key{n}"}, lambda a: a["api_key"]["id"])
            said = self.session.post(
                f"{self.url}/api/v1/public/agents/chat/hello", json={"message": "Hello"}, timeout=20
            ).json()
            self.known["conversation_id"].append(said["conversation_id"])
            self.known["agent_id"].append(said["conversation_id"])
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

    def call(self, case, checks):
        response = case.call(base_url=self.url, session=self.session, timeout=20)
        self.seen[case.operation.definition.raw["operationId"]].add(response.status_code)
        case.validate_response(response, checks=checks)


def test_every_answer_is_as_described(running_server, database_url):
    schema = schemathesis.openapi.from_dict(document())
    described = [found.ok() for found in schema.get_all_operations()]
    described = [
        operation
        for operation in described
        if "x-frames" not in operation.definition.raw
        and operation.definition.raw["operationId"] not in ENDLESS
    ]
    described.sort(key=lambda operation: ORDER.index(operation.method.upper()))
    mistakes = []

    def all_of_them(world):
        warnings.simplefilter("ignore")
        world.settle()
        for operation in described:
            check(world, operation, schemathesis.GenerationMode.POSITIVE, CHECKS)
            if operation.body or operation.query:
                check(
                    world, operation, schemathesis.GenerationMode.NEGATIVE, [*CHECKS, negative_data_rejection]
                )

    def check(world, operation, mode, checks):
        @seed(1)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=False,
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
        except (Exception, BaseExceptionGroup) as error:
            mistakes.append(f"{operation.label} {mode}: {error}\n{getattr(error, 'exceptions', '')}")

    async def main():
        with trio.fail_after(SECONDS):
            async with running_server(database_url) as site:
                world = World(site.server.url, site.admin_key)
                await trio.to_thread.run_sync(all_of_them, world)
        return world

    world = trio.run(main)
    print(dict(world.seen))
    assert not mistakes, "\n\n".join(mistakes)

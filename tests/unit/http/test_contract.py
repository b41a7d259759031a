"""Promise: every route is described, with its role, its body and all that it may refuse, and nothing else is."""

import inspect
import json
import re

import pytest
from jsonschema import Draft202012Validator

from hivemind import errors
from hivemind.http import problems, routes
from hivemind.http.bodies import BodyLimits
from hivemind.http.chat import Chat
from hivemind.http.contract.document import document, operations, refused
from hivemind.http.lane import SocketRoute
from hivemind.http.roles import ROUTES

OPERATIONS = tuple(operations())
EVERY = [
    (path, method, told) for path, methods in document()["paths"].items() for method, told in methods.items()
]
CODES = {cls.code for cls in errors.families()}


def own_routes():
    told = ("chat", "admin_api_key", "body_limits")
    parts = [None for name in inspect.signature(routes.lane).parameters if name not in told]
    lane = routes.lane(Chat(*[None] * 6), *parts, body_limits=BodyLimits(1))
    for route in lane.routes:
        yield f"{'WS' if isinstance(route, SocketRoute) else route.method} {route.path}"
    for rule in lane._app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:>(]+(?:\([^)]*\))?:)?(\w+)>", r"{\1}", rule.rule)
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            yield f"{method} {path}"


def refs(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from refs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from refs(inner)


def test_every_route_is_described_and_nothing_else():
    described = [operation.key for operation in operations()]
    assert sorted(described) == sorted(set(own_routes()))


def test_it_is_json_and_all_references_lead_somewhere():
    whole = json.loads(json.dumps(document()))
    known = {f"#/components/schemas/{name}" for name in whole["components"]["schemas"]}
    assert set(refs(whole)) <= known
    assert all(re.fullmatch(r"\w+", name) for name in whole["components"]["schemas"])


def test_no_definition_is_idle():
    used = set(refs(document()))
    assert {f"#/components/schemas/{name}" for name in document()["components"]["schemas"]} <= used


@pytest.mark.parametrize("name", document()["components"]["schemas"])
def test_schema_is_one(name):
    Draft202012Validator.check_schema(document()["components"]["schemas"][name])


def test_names_for_programs_are_unique():
    names = [told["operationId"] for _, _, told in EVERY]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("path", "method", "told"), EVERY, ids=lambda part: str(part)[:60])
def test_operation_is_whole(path, method, told):
    key = f"{'WS' if 'x-frames' in told else method.upper()} {path}"
    assert told["x-role"] == ROUTES[key]
    assert bool(told["security"]) == (ROUTES[key] is not None)
    named = {parameter["name"] for parameter in told.get("parameters", ()) if parameter["in"] == "path"}
    assert named == set(re.findall(r"{(\w+)}", path))
    for status, response in told["responses"].items():
        assert response["description"]
        assert (
            bool(response.get("x-codes")) == (int(status) >= 400)
            or path in ("/api/v1/health", "/")
            or ("text/html" in response.get("content", {}))
        )


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.key)
def test_example_is_a_body_that_counts(operation):
    if operation.example is not None:
        operation.body.model_validate(operation.example)


def test_what_it_may_refuse_has_its_true_status():
    for operation in operations():
        if not operation.in_dialect:
            for status, codes in refused(operation).items():
                assert set(codes) <= CODES
                for cls in errors.families():
                    if cls.code in codes:
                        assert problems.status_of(cls.__new__(cls)) == status

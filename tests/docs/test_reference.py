"""What a client may meet is documented: every route, every field, every error code with its true status."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

from hivemind import errors
from hivemind.cli.config import reference_page
from hivemind.cli.reference import actions_page, cli_page, errors_page, metrics_page, routes_page
from hivemind.guards.rule import Rule
from hivemind.http import problems, routes
from hivemind.http.bodies import BodyLimits
from hivemind.http.chat import Chat, MessageBody, ResumeBody
from hivemind.http.lane import SocketRoute
from hivemind.settings_load import CONFIG_VARIABLE, leaves

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "http-api.md").read_text()
ERRORS = (DOCS / "reference" / "errors.md").read_text()
CODES = {
    code: int(status) for code, status in re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", ERRORS, re.MULTILINE)
}


def error_classes(cls=errors.HivemindError):
    found = [cls]
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            found += error_classes(child)
    return found


def own_routes():
    chat = Chat(None, None, None, None, None, None)
    told = ("chat", "admin_api_key", "body_limits")
    parts = [None for name in inspect.signature(routes.lane).parameters if name not in told]
    lane = routes.lane(chat, *parts, body_limits=BodyLimits(1))
    for route in lane.routes:
        method = "WS" if isinstance(route, SocketRoute) else route.method
        yield f"{method} {route.path}"
    for rule in lane._app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:>]+:)?(\w+)>", r"{\1}", rule.rule)
        if rule.endpoint != "static":
            for method in rule.methods - {"HEAD", "OPTIONS"}:
                yield f"{method} {path}"


@pytest.mark.parametrize("cls", error_classes(), ids=lambda cls: cls.__name__)
def test_error_is_documented(cls):
    assert CODES.get(cls.code) == problems.status_of(cls.__new__(cls))


def test_what_is_decided_by_status_alone_is_documented():
    told = {code: status for status, (code, _) in problems.BY_STATUS.items()}
    assert {code: CODES.get(code) for code in told} == told


def test_no_code_is_documented_that_is_not_there():
    known = {cls.code for cls in error_classes()} | {code for code, _ in problems.BY_STATUS.values()}
    assert set(CODES) <= known


def test_routes_are_those_documented():
    documented = set(
        re.findall(r"^\| `((?:GET|POST|PUT|PATCH|DELETE|WS) /[^`]*)` \|", routes_page(), re.MULTILINE)
    )
    assert documented == set(own_routes())


@pytest.mark.parametrize("field", sorted({*MessageBody.model_fields, *ResumeBody.model_fields}))
def test_field_is_documented(field):
    assert f"`{field}`" in PAGE


@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("settings", reference_page),
        ("errors", errors_page),
        ("cli", cli_page),
        ("metrics", metrics_page),
        ("routes", routes_page),
        ("actions", actions_page),
    ],
)
def test_page_is_the_generated_one(page, made):
    assert (DOCS / "reference" / f"{page}.md").read_text() == made(), "run `make docs`"


def test_variables_in_the_docs_exist():
    known = {name for leaf in leaves() for name in (leaf.variable, leaf.file_variable) if name}
    known.add(CONFIG_VARIABLE)
    pages = [*DOCS.parent.glob("*.md"), *DOCS.rglob("*.md")]
    named = {name for page in pages for name in re.findall(r"HIVEMIND_[A-Z_]*[A-Z]", page.read_text())}
    assert named <= known


def test_every_key_of_a_rule_is_explained():
    page = (DOCS / "how-to" / "tune-the-guards.md").read_text()
    keys = {field.name for field in dataclasses.fields(Rule)}
    assert {key for key in keys if f"`{key}`" not in page} == set()

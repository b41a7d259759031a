"""Promise: both clients are one, and one exception says what went wrong, whoever answered."""

import importlib.util
from dataclasses import fields
from pathlib import Path

import httpx2
import pytest

from hivemind.client import Agent, ApiError, Approval, Cost, Directive, Reply, problem
from hivemind.client.answers import read
from hivemind.http.contract import agents, chat, work

ROOT = Path(__file__).parents[3]


def test_the_one_without_a_loop_is_made_from_the_other():
    spec = importlib.util.spec_from_file_location("make_client", ROOT / "scripts" / "client.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = ROOT / "hivemind" / "client"
    made = module.made((folder / "asynchronous.py").read_text())
    assert (folder / "synchronous.py").read_text() == made, "run `make client`"


@pytest.mark.parametrize(
    ("mine", "told"),
    [(Agent, agents.WholeAgent), (Approval, agents.Approval), (Directive, work.Directive)],
)
def test_what_it_reads_is_in_the_contract(mine, told):
    assert {field.name for field in fields(mine)} <= {field.name for field in fields(told)}


def test_a_reply_is_that_of_either_chat():
    told = {field.name for kind in (chat.ChatReply, chat.AgentReply) for field in fields(kind)}
    assert {field.name for field in fields(Reply)} <= told


def test_what_is_not_known_is_left_out_and_what_is_not_there_has_its_default():
    cost = read(
        Cost, {"input_tokens": 1, "output_tokens": 2, "cost_micros": 3, "calls": 4, "turns": 5, "new": 6}
    )
    assert (cost.turns, cost.model) == (5, None)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error": {"code": "not_found", "message": "No"}}', "not_found"),
        (b"<h1>Bad gateway</h1>", "request_failed"),
        (b'{"error": "no"}', "request_failed"),
        (b"[]", "request_failed"),
    ],
)
def test_whoever_answers_the_error_is_one(body, code):
    error = problem.of_response(httpx2.Response(502, content=body))
    assert isinstance(error, ApiError)
    assert (error.code, error.status) == (code, 502)


def test_wrong_fields_are_named():
    told = {"code": "invalid_fields", "message": "No", "fields": [{"field": "name", "problem": "is missing"}]}
    assert problem.of_envelope(told).fields == (("name", "is missing"),)

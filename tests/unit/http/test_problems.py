"""One table from error to status, one envelope."""

import inspect

import orjson
import pytest

from hivemind import errors
from hivemind.http import problems

ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.HivemindError)]


@pytest.mark.parametrize("cls", ALL)
def test_every_error_has_a_status_and_an_envelope(cls):
    needs = {"answered_code": "x"} if cls is errors.RemoteError else {}
    status, body, headers = problems.answer(cls(**needs))
    assert 400 <= status < 600
    told = orjson.loads(body)["error"]
    assert told["code"] == cls.code
    assert told["message"]
    assert (b"content-type", b"application/json") in headers


def test_when_to_come_back_is_told_twice_and_never_too_early():
    status, body, headers = problems.answer(errors.RateLimited(retry_after_seconds=11.2, remedy="Wait"))
    assert status == 429
    assert (b"retry-after", b"12") in headers
    assert orjson.loads(body) == {
        "error": {
            "code": "rate_limited",
            "message": "Too many requests: try again later",
            "retry_after_seconds": 12,
            "remedy": "Wait",
        }
    }


def test_nothing_of_an_unexpected_error_gets_out():
    status, body, _ = problems.answer(ValueError("the password is hunter2"))
    assert status == 500
    assert orjson.loads(body)["error"]["code"] == "internal_error"
    assert b"hunter2" not in body


def test_an_error_of_ours_is_found_in_the_groups_of_nurseries():
    inner = errors.NotFound()
    assert problems.own_error(ExceptionGroup("", [ExceptionGroup("", [inner])])) is inner
    assert problems.own_error(ExceptionGroup("", [inner, ValueError()])) is None
    assert problems.answer(ExceptionGroup("", [inner]))[0] == 404


def test_an_allow_header_names_what_every_address_answers():
    assert problems.allow(["POST"]) == b"OPTIONS, POST"
    assert problems.allow(["GET"]) == b"GET, HEAD, OPTIONS"


def test_a_subclass_has_the_status_of_its_family():
    class Narrow(errors.GuardRefused):
        """Narrow."""

    assert problems.status_of(Narrow()) == problems.status_of(errors.GuardRefused())

"""Every way in which a body can be wrong is told apart, and none of them is our failure."""

import pytest
import trio
from pydantic import BaseModel, Field

from hivemind.errors import BodyTooLarge, InvalidFields, InvalidRequest, UnsupportedMediaType
from hivemind.http import bodies
from hivemind.http.problems import status_of


class Ask(BaseModel):
    message: str = Field(min_length=1)
    weight: float = 1.0
    extra: object = None


def source(*messages):
    left = list(messages)

    async def receive():
        return left.pop(0)

    return receive


def part(body, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_is_read_whole():
    assert trio.run(bodies.read, source(part(b"ab", True), part(b"c", True), part(b"")), None, 10) == b"abc"
    assert trio.run(bodies.read, source(part(b"abc")), b"3", 3) == b"abc"


def test_a_declared_body_above_the_cap_is_refused_unread():
    with pytest.raises(BodyTooLarge):
        trio.run(bodies.read, source(), b"11", 10)


def test_a_chunked_body_is_refused_at_the_first_byte_above_the_cap():
    receive = source(part(b"x" * 6, True), part(b"x" * 6, True))
    with pytest.raises(BodyTooLarge):
        trio.run(bodies.read, receive, None, 10)


@pytest.mark.parametrize("length", [b"-1", b"1x", b"", b"9" * 400])
def test_a_length_that_is_no_number_is_a_bad_request(length):
    with pytest.raises(InvalidRequest):
        trio.run(bodies.read, source(), length, 10)


def test_a_client_that_leaves_is_nobody_to_answer():
    with pytest.raises(bodies.Disconnected):
        trio.run(bodies.read, source(part(b"a", True), {"type": "http.disconnect"}), None, 10)


def test_a_good_body_becomes_a_model():
    assert bodies.parse(Ask, b'{"message": "h\xc3\xa9", "weight": 2}') == Ask(message="hé", weight=2)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"   ", "not JSON"),
        (b"{", "not JSON"),
        (b'{"message": "a"} x', "not JSON"),
        (b'{"message": "\xff"}', "UTF-8 (at byte 13)"),
        (b'{"message": "\xed\xa0\x80"}', "UTF-8"),
        (b'\xef\xbb\xbf{"message": "a"}', "byte order mark"),
        ('{"message": "a"}'.encode("utf-16"), "UTF-8"),
        (b'{"message": "a\\u0000b"}', "NUL"),
        (b'{"message": "a\\\\\\u0000b"}', "NUL"),
        (b'{"message": "a\x00b"}', "NUL"),
        (b'{"message": "\\ud800"}', "not JSON"),
        (b'{"message": ' + b"[" * 100_000, "nested"),
        (b'{"message": "a", "extra": ' + b"[" * 40 + b"]" * 40 + b"}", "nested"),
        (b"[]", "JSON object"),
        (b'"message"', "JSON object"),
        (b"null", "JSON object"),
        (b'{"message": "a", "weight": NaN}', "not JSON"),
        (b'{"message": "a", "weight": Infinity}', "not JSON"),
        (b'{"message": "a", "weight": -Infinity}', "not JSON"),
        (b'{"message": "a", "extra": NaN}', "not JSON"),
        (b'{"message": "a", "weight": 1e999}', "not JSON"),
        (b"{'message': 'a'}", "not JSON"),
    ],
)
def test_what_is_no_json_is_told_apart(body, says):
    with pytest.raises(InvalidRequest) as told:
        bodies.parse(Ask, body)
    assert says in told.value.message
    assert status_of(told.value) in (400, 422)


@pytest.mark.parametrize("text", [r"a\\u0000b", "[" * 500 + "{" * 500, '\\"[[[[' * 30])
def test_text_about_such_things_is_text(text):
    body = b'{"message": "' + text.encode() + b'"}'
    assert bodies.parse(Ask, body).message


def test_wrong_fields_are_listed():
    with pytest.raises(InvalidFields) as told:
        bodies.parse(Ask, b'{"weight": "heavy"}')
    assert [field for field, _ in told.value.fields] == ["message", "weight"]
    assert told.value.message == "Missing or wrong: message, weight"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'APPLICATION/JSON;charset="UTF-8"',
        "application/x+json",
    ],
)
def test_json_is_accepted_under_its_names(content_type):
    bodies.check_type(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=utf-16",
    ],
)
def test_other_types_are_refused(content_type):
    with pytest.raises(UnsupportedMediaType):
        bodies.check_type(content_type)

"""JSON that passes a guard is JSON afterwards, and holds nothing that the guard takes out."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.guards import Guards
from hivemind.guards.document import passed_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def hidden(text):
    return text.replace("secret", "[SECRET]")


@given(JSON)
def test_what_the_guard_leaves_alone_stays_as_it_is(value):
    text = orjson.dumps(value).decode()
    assert orjson.loads(passed_json(text, lambda piece: piece)) == value
    if "\\u" not in text:
        assert passed_json(text, lambda piece: piece) == text


@given(JSON, st.sampled_from(["secret", "my secret\n", 'a "secret"', "\\secret"]))
def test_what_it_takes_out_is_gone_and_the_rest_is_json(value, secret):
    text = orjson.dumps({"value": value, "list": [secret, {secret: 1}]}).decode()
    found = orjson.loads(passed_json(text, hidden))
    assert "secret" not in str(found) and found["value"] == value


@pytest.mark.parametrize("text", ["{broken secret", "secret", ""])
def test_what_is_no_json_is_checked_as_text(text):
    assert passed_json(text, hidden) == hidden(text)


def test_a_name_that_is_there_twice_withholds_it():
    text = r'{"a": {"to": "\u0073ecret", "to": "x"}}'
    assert orjson.loads(passed_json(text, hidden)).keys() == {"withheld"}


def test_an_escape_hides_nothing():
    seen = []
    text = r'{"\u0061": "\u0073ecret", "b": ["\u0073", "ecret"]}'
    clean = passed_json(text, lambda piece: seen.append(piece) or hidden(piece))
    assert orjson.loads(clean) == {"a": "[SECRET]", "b": ["s", "ecret"]} and "\\u" not in seen[-1]


def test_large_numbers_stay_as_they_are():
    text = '{"n":123456789012345678901234567890,"to":"secret"}'
    assert passed_json(text, hidden) == text.replace("secret", "[SECRET]")


def test_numbers_are_checked_too():
    assert orjson.loads(passed_json("[4111, 12]", lambda text: text.replace("4111", "[CARD]"))) == [
        "[CARD]",
        12,
    ]


def test_a_change_that_breaks_it_withholds_it():
    def cuts(text):
        return text[:-1] if text.startswith("{") else text

    assert orjson.loads(passed_json('{"a": 1}', cuts)).keys() == {"withheld"}


def test_a_name_that_says_what_a_value_is_counts(tmp_path):
    guards = Guards.load(tmp_path)
    key = "sk-ant-api03-" + "Ab9dEf8hIj7lMn6pQr5tUv4xYz3" * 3
    text = orjson.dumps(
        {"to": "ada@example.org", "nested": [{"key": key}], "card": 4111111111111111}
    ).decode()
    clean = passed_json(text, lambda piece: guards.check_output(piece).text)
    assert orjson.loads(clean).keys() == {"to", "nested", "card"}
    assert not any(piece in clean for piece in ("ada@", key, "4111111111111111"))

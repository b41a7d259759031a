"""Arguments fit the tool's schema or come back as words that the model can mend."""

import pytest

from hivemind.agents.tools import Outcome, Tool, parse
from hivemind.agents.tools.arguments import MAX_ARGUMENT_CHARS, schema_mistake


async def run(call):
    return Outcome("")


def tool(**schema):
    return Tool("book", "", {"type": "object", **schema}, run)


BOOK = tool(
    properties={
        "seats": {"type": "integer", "minimum": 1},
        "name": {"type": "string", "pattern": "^[a-z]+$"},
    },
    required=["seats"],
    additionalProperties=False,
)


def test_what_fits_is_given_as_it_is():
    assert parse(BOOK, '{"seats": 2, "name": "ann"}') == {"seats": 2, "name": "ann"}


def test_no_text_is_no_arguments():
    assert parse(tool(), "") == {}
    assert parse(tool(), "  ") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[1]", "one JSON object"),
        ("NaN", "not JSON"),
        ('{"seats": NaN}', "not JSON"),
        ("{}", "'seats' is a required property"),
        ('{"seats": "2"}', "seats: '2' is not of type 'integer'"),
        ('{"seats": 0}', "less than the minimum"),
        ('{"seats": 1, "name": "A"}', "name: 'A' does not match"),
        ('{"seats": 1, "colour": 3}', "there is no 'colour'; it takes 'seats', 'name'"),
        ('{"seats": 1, "name": "a\\u0000"}', "NUL"),
        ('{"seats": 1, "x": "' + "a" * MAX_ARGUMENT_CHARS + '"}', "longer than"),
        ("[" * 2000, "not JSON"),
    ],
)
def test_what_does_not_fit_comes_back_in_words(text, words):
    mistake = parse(BOOK, text)
    assert isinstance(mistake, str)
    assert words in mistake
    assert len(mistake) < 3000


def test_a_pattern_that_would_explode_is_matched_in_linear_time():
    # With the standard library's engine this line does not come back within a lifetime.
    greedy = tool(properties={"x": {"type": "string", "pattern": "^(a+)+$"}})
    assert "does not match" in parse(greedy, '{"x": "' + "a" * 10_000 + '!"}')


def test_pattern_properties_take_part_in_what_is_known():
    patterned = tool(patternProperties={"^x_": {"type": "integer"}}, additionalProperties=False)
    assert parse(patterned, '{"x_a": 1}') == {"x_a": 1}
    assert "not of type 'integer'" in parse(patterned, '{"x_a": "1"}')
    assert "there is no 'y'" in parse(patterned, '{"y": 1}')
    others = tool(properties={"a": {}}, additionalProperties={"type": "string"})
    assert "not of type 'string'" in parse(others, '{"b": 1}')


def test_a_pattern_that_only_others_know_is_left_to_the_tool():
    ahead = tool(properties={"x": {"type": "string", "pattern": "^(?=a)b$"}})
    assert parse(ahead, '{"x": "zzz"}') == {"x": "zzz"}


def test_nothing_is_fetched_for_a_schema():
    elsewhere = tool(properties={"x": {"$ref": "http://127.0.0.1:9/schema.json"}})
    assert "cannot be checked" in parse(elsewhere, '{"x": 1}')


def test_a_schema_that_goes_round_in_circles_ends():
    circle = tool(properties={"x": {"$ref": "#/$defs/a"}}, **{"$defs": {"a": {"$ref": "#/$defs/a"}}})
    assert "cannot be checked" in parse(circle, '{"x": 1}')


def test_older_dialects_are_known():
    draft4 = tool(
        **{
            "$schema": "http://json-schema.org/draft-04/schema#",
            "properties": {"n": {"type": "number", "minimum": 1, "exclusiveMinimum": True}},
        }
    )
    assert isinstance(parse(draft4, '{"n": 1}'), str)


def test_schemas_are_looked_at_before_they_are_offered():
    assert schema_mistake({"type": "object"}) is None
    assert schema_mistake({"type": "string"}) == "its schema is not that of an object"
    assert "not valid" in schema_mistake({"type": "object", "properties": {"x": {"type": "integr"}}})

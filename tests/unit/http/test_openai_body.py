"""What a chat completion asks for, in the agents' words."""

import orjson
import pytest
from pydantic import ValidationError

from hivemind.errors import InvalidFields
from hivemind.http.openai_body import CompletionBody
from hivemind.providers import ProviderMessage, ToolCall

CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}
TOOL = {"type": "function", "function": {"name": "look"}}


def asks(*messages, **fields):
    return CompletionBody.model_validate({"model": "m", "messages": messages, **fields}).asks()


def user(text):
    return {"role": "user", "content": text}


def test_the_last_message_of_a_user_is_answered():
    text, given = asks(
        {"role": "system", "content": "Be kind."},
        user("one"),
        {"role": "assistant", "content": "1"},
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        user("two"),
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "seen"},
    )
    assert text == "two" and given.instructions == "Be kind.\n\nBe brief."
    assert given.before == (ProviderMessage("user", "one"), ProviderMessage("assistant", "1"))
    assert given.after == (
        ProviderMessage("assistant", "", (ToolCall("call_1", "look", '{"at": "it"}'),)),
        ProviderMessage("tool", "seen", tool_call_id="call_1"),
    )


def test_wishes():
    _, given = asks(user("hi"), tools=[TOOL], tool_choice="auto", max_tokens=9, stop="END", temperature=0)
    assert (given.tool_choice, given.max_output_tokens, given.stop, given.temperature) == (
        None,
        9,
        ("END",),
        0,
    )
    assert given.tools[0].parameters == {"type": "object", "properties": {}} and given.offers("look")
    _, given = asks(user("hi"), max_tokens=9, max_completion_tokens=7, stop=["A", "B"], tool_choice="none")
    assert (given.tool_choice, given.max_output_tokens, given.stop) == (None, 7, ("A", "B"))
    named = {"type": "function", "function": {"name": "look"}}
    assert asks(user("hi"), tools=[TOOL], tool_choice=named)[1].tool_choice == "look"


@pytest.mark.parametrize(
    "body",
    [
        # As chat user interfaces, frameworks and editors send them.
        {
            "stream": True,
            "stream_options": {"include_usage": True},
            "metadata": {"chat_id": "1"},
            "files": None,
        },
        {"frequency_penalty": 0, "presence_penalty": 0, "top_p": 1, "user": "u", "seed": 7, "logit_bias": {}},
        {"n": 1, "tools": None, "tool_choice": None, "functions": None, "response_format": {"type": "text"}},
        {"parallel_tool_calls": True, "store": False, "reasoning_effort": "low", "service_tier": "auto"},
        {"max_tokens": None, "temperature": None, "stop": None, "stream": False, "stream_options": None},
    ],
)
def test_what_is_not_known_is_ignored(body):
    assert asks({"role": "user", "content": "hi", "name": "ann", "id": "m1"}, **body)[0] == "hi"


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("n", {"n": 2}),
        ("response_format", {"response_format": {"type": "json_schema", "json_schema": {}}}),
        ("tools", {"tools": [TOOL, TOOL]}),
        (
            "tool_choice",
            {"tool_choice": {"type": "function", "function": {"name": "other"}}, "tools": [TOOL]},
        ),
        ("tool_choice", {"tool_choice": "required"}),
    ],
)
def test_what_cannot_be_honoured_is_refused(field, body):
    with pytest.raises(InvalidFields) as raised:
        asks(user("hi"), **body)
    assert raised.value.fields[0][0] == field


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "assistant", "content": "hi"}],
        [user("hi"), {"role": "tool", "tool_call_id": "call_1", "content": "seen"}],
        [user("hi"), {"role": "assistant", "tool_calls": [CALL]}],
        [user("hi"), {"role": "assistant", "tool_calls": [CALL]}, user("and?")],
        [
            user("hi"),
            {"role": "assistant", "tool_calls": [CALL, CALL | {"id": "call_2"}]},
            {"role": "tool", "tool_call_id": "call_2", "content": "seen"},
        ],
    ],
)
def test_calls_and_results_that_do_not_fit_are_refused(messages):
    with pytest.raises(InvalidFields) as raised:
        asks(*messages)
    assert raised.value.fields[0][0] == "messages"


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"temperature": 2.1},
        {"max_tokens": 0},
        {"tools": [{"type": "function", "function": {"name": "not a name"}}]},
        {"tools": [{"type": "web_search"}]},
        {"messages": [{"role": "user", "content": {"text": "hi"}}]},
        {"messages": [{"role": "narrator", "content": "hi"}]},
    ],
)
def test_what_is_wrong_is_wrong(body):
    with pytest.raises(ValidationError):
        CompletionBody.model_validate_json(orjson.dumps({"model": "m", "messages": [user("hi")]} | body))

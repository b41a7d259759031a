"""What the Messages API sends and is sent."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.providers import ProviderMessage, ProviderRequest, Stop, TextDelta, ToolCall, ToolSpec, Usage
from hivemind.providers.anthropic import Anthropic
from hivemind.providers.failures import CallFailed

REQUEST = ProviderRequest("m", "Be brief.", (ProviderMessage("user", "hi"),), 50)


def sse(*bodies):
    return b"".join(b"event: %s\ndata: %s\n\n" % (b["type"].encode(), orjson.dumps(b)) for b in bodies)


START = {
    "type": "message_start",
    "message": {
        "id": "m",
        "usage": {
            "input_tokens": 20,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": None,
            "output_tokens": 1,
        },
    },
}
TEXT_START = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
BLOCK_STOP = {"type": "content_block_stop", "index": 0}
STOP = {"type": "message_stop"}
PING = {"type": "ping"}


def text(words):
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": words}}


def json_piece(piece):
    return {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "input_json_delta", "partial_json": piece},
    }


def end(reason, output=7):
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": output},
    }


def read(data, step=None):
    reader = Anthropic().reader(REQUEST)
    events = []
    step = step or len(data)
    for at in range(0, len(data), step):
        events += reader.read(data[at : at + step])
    events += reader.finish()
    assert reader.done
    return events


GOOD = sse(
    START,
    TEXT_START,
    PING,
    text("Let me "),
    text("look é."),
    BLOCK_STOP,
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
    },
    json_piece(""),
    json_piece('{"q":'),
    json_piece('"x"}'),
    {"type": "content_block_stop", "index": 1},
    {"type": "something_new", "what": 1},
    end("tool_use"),
    STOP,
)


@given(st.integers(1, 300))
def test_a_whole_answer_however_it_is_cut(step):
    assert read(GOOD, step) == [
        TextDelta("Let me "),
        TextDelta("look é."),
        ToolCall("toolu_1", "look", '{"q":"x"}'),
        Stop("tool"),
        Usage(25, 7),
    ]


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("end_turn", "end"),
        ("max_tokens", "length"),
        ("refusal", "refused"),
        ("stop_sequence", "end"),
        ("brand_new", "end"),
    ],
)
def test_reasons(reason, stop):
    assert read(sse(START, TEXT_START, text("x"), BLOCK_STOP, end(reason), STOP))[1] == Stop(stop)


def test_thinking_is_not_text():
    thinking = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "hm"},
    }
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}
    assert read(sse(START, block, thinking, BLOCK_STOP, end("end_turn"), STOP)) == [Stop("end"), Usage(25, 7)]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("overloaded_error", 529),
        ("rate_limit_error", 429),
        ("invalid_request_error", 400),
        ("new_error", 500),
    ],
)
def test_an_error_event_has_the_status_it_would_have_had(kind, status):
    with pytest.raises(CallFailed) as caught:
        read(sse(START, {"type": "error", "error": {"type": kind, "message": "so it is"}}))
    assert (caught.value.kind, caught.value.status, caught.value.detail) == ("status", status, "so it is")


def test_cut_anywhere_it_is_never_a_whole_answer():
    whole = read(GOOD)
    for size in range(len(GOOD) - 1):
        reader = Anthropic().reader(REQUEST)
        events = list(reader.read(GOOD[:size]))
        assert events == whole[: len(events)]
        assert not reader.done
        with pytest.raises(CallFailed) as caught:
            list(reader.finish())
        assert caught.value.kind == "cut"


@pytest.mark.parametrize(
    "bad",
    [
        b"data: {\n\n",
        b"data: 7\n\n",
        b"data: {}\n\n",
        b'data: {"type":"content_block_delta"}\n\n',
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":{"x":1}}}\n\n',
        b'data: {"type":"message_start","message":[]}\n\n',
    ],
)
def test_nonsense_is_malformed(bad):
    with pytest.raises(CallFailed) as caught:
        read(bad)
    assert caught.value.kind == "malformed"


def test_what_is_sent():
    request = ProviderRequest(
        "claude",
        "Be brief.",
        (
            ProviderMessage("user", "hi"),
            ProviderMessage(
                "assistant", "Looking.", (ToolCall("a", "look", '{"q":1}'), ToolCall("b", "look", "{oops"))
            ),
            ProviderMessage("tool", "one", tool_call_id="a"),
            ProviderMessage("tool", "two", tool_call_id="b"),
            ProviderMessage("user", "and?"),
        ),
        50,
        tools=(ToolSpec("look", "Looks.", {"type": "object"}),),
    )
    body = orjson.loads(Anthropic().encode(request))
    assert body["system"] == "Be brief."
    assert body["max_tokens"] == 50
    assert body["tools"] == [{"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}]
    assert body["messages"] == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "a", "name": "look", "input": {"q": 1}},
                {"type": "tool_use", "id": "b", "name": "look", "input": {"invalid_arguments": "{oops"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "one"},
                {"type": "tool_result", "tool_use_id": "b", "content": "two"},
            ],
        },
        {"role": "user", "content": "and?"},
    ]


@pytest.mark.parametrize(
    ("first", "last", "tokens"),
    [
        ({"input_tokens": 10}, {}, 10),
        ({"input_tokens": 10, "cache_read_input_tokens": 90}, {"cache_read_input_tokens": None}, 100),
        # Later totals may leave figures out, or be the first to have them; none of it makes the sum smaller.
        ({"input_tokens": 10, "cache_read_input_tokens": 90}, {"input_tokens": 10}, 100),
        ({"input_tokens": 10}, {"input_tokens": 15, "cache_read_input_tokens": 5}, 20),
        # Writing for five minutes costs 1.25 times as much, for an hour or for nobody knows how long twice.
        ({"input_tokens": 1, "cache_creation_input_tokens": 100}, {}, 201),
        (
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": 100,
                "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 50},
            },
            {},
            1 + 63 + 100,
        ),
    ],
)
def test_what_the_cache_read_or_wrote_is_never_undercounted(first, last, tokens):
    start = {"type": "message_start", "message": {"usage": {"output_tokens": 1, **first}}}
    finish = {**end("end_turn"), "usage": {"output_tokens": 7, **last}}
    assert read(sse(start, TEXT_START, text("x"), BLOCK_STOP, finish, STOP))[-1] == Usage(tokens, 7)


def test_a_tools_input_may_come_whole_or_not_at_all():
    def tool(given):
        block = {"type": "tool_use", "id": "a", "name": "look", "input": given}
        data = sse(START, {"type": "content_block_start", "index": 0, "content_block": block}, BLOCK_STOP)
        return read(data + sse(end("tool_use"), STOP))[0].arguments

    assert tool({"q": 1}) == '{"q":1}'
    assert tool({}) == tool(None) == "{}"


def test_an_answer_without_a_word_is_not_sent_back():
    messages = (
        ProviderMessage("user", "hi"),
        ProviderMessage("assistant", ""),
        ProviderMessage("user", "so?"),
    )
    body = orjson.loads(Anthropic().encode(ProviderRequest("c", "", messages, 50)))
    assert [m["content"] for m in body["messages"]] == ["hi", "so?"]

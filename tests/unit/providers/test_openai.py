"""What Chat Completions servers send and are sent."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.providers import ProviderMessage, ProviderRequest, Stop, TextDelta, ToolCall, ToolSpec, Usage
from hivemind.providers.failures import CallFailed
from hivemind.providers.openai import OpenAI

REQUEST = ProviderRequest("m", "Be brief.", (ProviderMessage("user", "hi"),), 50)


def sse(*bodies):
    return b"".join(b"data: " + (b if isinstance(b, bytes) else orjson.dumps(b)) + b"\n\n" for b in bodies)


def delta(delta, reason=None):
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }


def read(data, *, step=None, dialect=OpenAI("openai")):
    reader = dialect.reader(REQUEST)
    events = []
    step = step or len(data)
    for start in range(0, len(data), step):
        events += reader.read(data[start : start + step])
    events += reader.finish()
    assert reader.done
    return events


GOOD = sse(
    delta({"role": "assistant", "content": ""}),
    delta({"content": "Hel"}),
    delta({"content": "lo é"}),
    delta({}, "stop"),
    {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}},
    b"[DONE]",
)
TOOLS = sse(
    delta(
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_a",
                    "type": "function",
                    "function": {"name": "look", "arguments": ""},
                }
            ]
        }
    ),
    delta({"tool_calls": [{"index": 0, "function": {"arguments": '{"q":'}}]}),
    delta({"tool_calls": [{"index": 1, "id": "call_b", "function": {"name": "list", "arguments": ""}}]}),
    delta({"tool_calls": [{"index": 0, "function": {"arguments": '"x"}'}}]}),
    delta({}, "tool_calls"),
    {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}},
    b"[DONE]",
)


@given(st.integers(1, 200))
def test_text_however_it_is_cut(step):
    *said, stop, usage = read(GOOD, step=step)
    assert "".join(event.text for event in said) == "Hello é"
    assert all(isinstance(event, TextDelta) and event.text for event in said)
    assert (stop, usage) == (Stop("end"), Usage(9, 3))


@given(st.integers(1, 200))
def test_tool_calls_come_out_whole(step):
    calls = [ToolCall("call_a", "look", '{"q":"x"}'), ToolCall("call_b", "list", "{}")]
    assert read(TOOLS, step=step) == [*calls, Stop("tool"), Usage(9, 3)]


@pytest.mark.parametrize(
    ("reason", "stop"), [("length", "length"), ("content_filter", "refused"), ("stop", "end"), ("new", "end")]
)
def test_reasons(reason, stop):
    assert Stop(stop) in read(sse(delta({"content": "x"}, reason), b"[DONE]"))


def test_a_refusal_is_said_and_marked():
    events = read(sse(delta({"refusal": "No."}), delta({}, "stop"), b"[DONE]"))
    assert events[:2] == [TextDelta("No."), Stop("refused")]


def test_no_usage_is_estimated_and_says_so():
    usage = read(sse(delta({"content": "x" * 40}, "stop"), b"[DONE]"))[-1]
    assert usage.estimated
    assert usage.output_tokens == 10
    assert usage.input_tokens >= 3


def test_no_done_is_forgiven_no_reason_is_not():
    assert read(sse(delta({"content": "x"}, "stop")))[1] == Stop("end")
    with pytest.raises(CallFailed) as caught:
        read(sse(delta({"content": "x"})))
    assert caught.value.kind == "cut"


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"[]",
        b"null",
        b'{"choices": 3}',
        b'{"choices": [{"delta": "x"}]}',
        b'{"choices": [{"delta": {"content": {"text": "x"}}}]}',
        b'{"choices":[],"usage":{"prompt_tokens":"x"}}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":"q"}]}}]}',
    ],
)
def test_nonsense_is_malformed(bad):
    with pytest.raises(CallFailed) as caught:
        read(sse(delta({"content": "x"}), bad))
    assert caught.value.kind == "malformed"


def test_an_error_inside_the_stream_keeps_its_status():
    with pytest.raises(CallFailed) as caught:
        read(sse({"error": {"message": "busy", "code": 503}}))
    assert (caught.value.kind, caught.value.status, caught.value.detail) == ("status", 503, "busy")


def test_what_is_sent():
    request = ProviderRequest(
        "gpt",
        "Be brief.",
        (
            ProviderMessage("user", "hi"),
            ProviderMessage("assistant", "", (ToolCall("c1", "look", '{"q":1}'),)),
            ProviderMessage("tool", "found", tool_call_id="c1"),
        ),
        50,
        0.5,
        (ToolSpec("look", "Looks.", {"type": "object"}),),
    )
    body = orjson.loads(OpenAI("openai").encode(request))
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q":1}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
    ]
    assert body["max_completion_tokens"] == 50
    assert body["stream_options"] == {"include_usage": True}
    assert body["temperature"] == 0.5
    assert body["tools"][0]["function"]["name"] == "look"
    other = orjson.loads(OpenAI("openai-compat").encode(REQUEST))
    assert other["max_tokens"] == 50
    assert "temperature" not in other
    assert "max_completion_tokens" not in other


def test_servers_that_do_not_number_calls_or_rename_them():
    def calls(*pieces):
        reader = OpenAI("openai-compat").reader(REQUEST)
        data = sse(*[delta({"tool_calls": [piece]}) for piece in pieces], delta({}, "stop"), b"[DONE]")
        return [event for event in reader.read(data) if isinstance(event, ToolCall)]

    def piece(arguments, **more):
        name = more.pop("name", None)
        return {"function": {"arguments": arguments} | ({"name": name} if name else {}), **more}

    two = [ToolCall("a", "f", "{}"), ToolCall("b", "g", '{"x":1}')]
    # No index at all; the same index for all; a new id with every piece.
    assert calls(piece("{}", id="a", name="f"), piece('{"x"', id="b", name="g"), piece(":1}")) == two
    assert calls(*[piece(c.arguments, index=0, id=c.id, name=c.name) for c in two]) == two
    assert calls(piece("{", index=0, id="a", name="f"), piece("}", index=0, id="zz")) == two[:1]
    # Interleaved, and without ids.
    mixed = calls(
        piece("{", index=0, name="f"),
        piece("[", index=1, name="g"),
        piece("}", index=0),
        piece("]", index=1),
    )
    assert mixed == [ToolCall("call_0", "f", "{}"), ToolCall("call_1", "g", "[]")]

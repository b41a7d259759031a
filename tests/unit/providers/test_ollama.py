"""What Ollama sends and is sent."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.providers import ProviderMessage, ProviderRequest, Stop, TextDelta, ToolCall, Usage
from hivemind.providers.failures import CallFailed
from hivemind.providers.ollama import Ollama

REQUEST = ProviderRequest("m", "Be brief.", (ProviderMessage("user", "hi"),), 50)


def lines(*bodies):
    return b"".join(orjson.dumps(b) + b"\n" for b in bodies)


def piece(words, **more):
    return {"model": "m", "message": {"role": "assistant", "content": words, **more}, "done": False}


END = {
    "model": "m",
    "message": {"role": "assistant", "content": ""},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 11,
    "eval_count": 4,
}


def read(data, step=None):
    reader = Ollama().reader(REQUEST)
    events = []
    step = step or max(len(data), 1)
    for at in range(0, len(data), step):
        events += reader.read(data[at : at + step])
    events += reader.finish()
    return events


@given(st.integers(1, 200))
def test_a_whole_answer_however_it_is_cut(step):
    call = {"function": {"name": "look", "arguments": {"q": "é"}}}
    data = lines(piece("Hel"), piece("lo"), piece("", tool_calls=[call]), END)
    assert read(data, step) == [
        TextDelta("Hel"),
        TextDelta("lo"),
        ToolCall("call_0", "look", '{"q":"é"}'),
        Stop("tool"),
        Usage(11, 4),
    ]


def test_the_last_line_may_lack_its_end():
    assert read(lines(piece("x"), END)[:-1]) == [TextDelta("x"), Stop("end"), Usage(11, 4)]


def test_length_and_missing_counts():
    events = read(lines(piece("x" * 8), {"done": True, "done_reason": "length"}))
    assert events[1] == Stop("length")
    assert events[2].estimated
    assert events[2].output_tokens == 2


def test_cut_error_and_nonsense():
    for data, kind in [
        (lines(piece("x")), "cut"),
        (b"", "cut"),
        (lines(piece("x"), {"error": "out of memory"}), "status"),
        (lines(piece("x")) + b"{\n", "malformed"),
        (b'{"message": "x"}\n', "malformed"),
        (b'{"message": {"content": {"x": 1}}}\n', "malformed"),
    ]:
        with pytest.raises(CallFailed) as caught:
            read(data)
        assert caught.value.kind == kind


def test_what_is_sent():
    request = ProviderRequest(
        "llama",
        "",
        (
            ProviderMessage("user", "hi"),
            ProviderMessage("assistant", "", (ToolCall("c1", "look", '{"q":1}'),)),
            ProviderMessage("tool", "found", tool_call_id="c1"),
        ),
        50,
        0.1,
    )
    body = orjson.loads(Ollama().encode(request))
    assert body["options"] == {"num_predict": 50, "temperature": 0.1}
    assert body["messages"] == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "look", "arguments": {"q": 1}}}],
        },
        {"role": "tool", "content": "found", "tool_name": "look"},
    ]


def test_ids_of_our_own_are_new_to_the_history_and_old_ones_name_their_own_round():
    history = (
        ProviderMessage("user", "hi"),
        ProviderMessage("assistant", "", (ToolCall("call_0", "look", "{}"),)),
        ProviderMessage("tool", "found", tool_call_id="call_0"),
        ProviderMessage("assistant", "", (ToolCall("call_0", "listen", "{}"),)),
        ProviderMessage("tool", "heard", tool_call_id="call_0"),
    )
    request = ProviderRequest("m", "", history, 50)
    sent = orjson.loads(Ollama().encode(request))["messages"]
    assert [m["tool_name"] for m in sent if m["role"] == "tool"] == ["look", "listen"]
    call = {"function": {"name": "look", "arguments": {}}}
    events = Ollama().reader(request).read(lines(piece("", tool_calls=[call, call]), END))
    assert [e.id for e in events if isinstance(e, ToolCall)] == ["call_1", "call_2"]

"""Two tools called at once and their results sent back, over each real wire format."""

import orjson
import pytest
import trio

from hivemind.outbound import HttpClient
from hivemind.providers import (
    Calls,
    ProviderMessage,
    ProviderRequest,
    Stop,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from hivemind.providers.anthropic import Anthropic
from hivemind.providers.ollama import Ollama
from hivemind.providers.openai import OpenAI
from hivemind.providers.patience import Patience
from hivemind.providers.remote import Remote

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = (ToolSpec("weather", "Looks outside.", SCHEMA), ToolSpec("clock", "Tells the time.", SCHEMA))
ASKED = ProviderMessage("user", "Weather and time in Zürich?")
REQUEST = ProviderRequest("m", "Be brief.", (ASKED,), 50, tools=TOOLS)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(kind, **body):
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps({"type": kind, **body}))


def block(index, identity, name, *pieces):
    tool = {"type": "tool_use", "id": identity, "name": name, "input": {}}
    yield event("content_block_start", index=index, content_block=tool)
    for piece in ("", *pieces):
        yield event(
            "content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": piece}
        )
    yield event("content_block_stop", index=index)


def chunk(delta, reason=None):
    body = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}
    body["choices"][0]["finish_reason"] = reason
    return b"data: " + orjson.dumps(body) + b"\n\n"


def call(index, arguments, identity=None, name=None):
    function = {"arguments": arguments} | ({"name": name} if name else {})
    head = {"id": identity, "type": "function"} if identity else {}
    return chunk({"tool_calls": [{"index": index, **head, "function": function}]})


def line(**body):
    return orjson.dumps({"model": "m", **body}) + b"\n"


WIRES = {
    "anthropic": (
        Anthropic(),
        [
            event(
                "message_start",
                message={
                    "role": "assistant",
                    "content": [],
                    "usage": {
                        "input_tokens": 100,
                        "cache_read_input_tokens": 1000,
                        "cache_creation_input_tokens": 400,
                        "cache_creation": {
                            "ephemeral_5m_input_tokens": 400,
                            "ephemeral_1h_input_tokens": 0,
                        },
                        "output_tokens": 1,
                    },
                },
            ),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": "I look."}),
            event("content_block_stop", index=0),
            *block(1, "toolu_1", "weather", '{"city":', ' "Zürich"}'),
            *block(2, "toolu_2", "clock", '{"city": "Zür', 'ich"}'),
            event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 40}),
            event("message_stop"),
        ],
        Usage(100 + 1000 + 500, 40),
        ("toolu_1", "toolu_2"),
    ),
    "openai": (
        OpenAI("openai"),
        [
            chunk({"role": "assistant", "content": "I look."}),
            call(0, "", "call_a", "weather"),
            call(0, '{"city":'),
            call(0, ' "Zürich"}'),
            call(1, "", "call_b", "clock"),
            call(1, '{"city": "Zür'),
            call(1, 'ich"}'),
            chunk({}, "tool_calls"),
            (
                b'data: {"choices":[],"usage":{"prompt_tokens":90,"completion_tokens":40,'
                b'"prompt_tokens_details":{"cached_tokens":64}}}\n\n'
            ),
            b"data: [DONE]\n\n",
        ],
        Usage(90, 40),
        ("call_a", "call_b"),
    ),
    "ollama": (
        Ollama(),
        [
            line(message={"role": "assistant", "content": "I look."}, done=False),
            line(
                message={
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {"function": {"index": n, "name": name, "arguments": {"city": "Zürich"}}}
                        for n, name in enumerate(("weather", "clock"))
                    ],
                },
                done=False,
            ),
            line(
                message={"role": "assistant", "content": ""},
                done=True,
                done_reason="stop",
                prompt_eval_count=90,
                eval_count=40,
            ),
        ],
        Usage(90, 40),
        ("call_0", "call_1"),
    ),
}
FUNCTIONS = [
    {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": SCHEMA}}
    for t in TOOLS
]
OFFERED = {
    "anthropic": [{"name": t.name, "description": t.description, "input_schema": SCHEMA} for t in TOOLS],
    "openai": FUNCTIONS,
    "ollama": FUNCTIONS,
}
CITY = {"city": "Zürich"}
HISTORY = {
    "anthropic": [
        {"role": "user", "content": ASKED.text},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": CITY},
                {"type": "tool_use", "id": "toolu_2", "name": "clock", "input": CITY},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "noon"},
            ],
        },
    ],
    "openai": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": ASKED.text},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {
                    "id": identity,
                    "type": "function",
                    "function": {"name": name, "arguments": '{"city": "Zürich"}'},
                }
                for identity, name in (("call_a", "weather"), ("call_b", "clock"))
            ],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": "rain"},
        {"role": "tool", "tool_call_id": "call_b", "content": "noon"},
    ],
    "ollama": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": ASKED.text},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [{"function": {"name": name, "arguments": CITY}} for name in ("weather", "clock")],
        },
        {"role": "tool", "content": "rain", "tool_name": "weather"},
        {"role": "tool", "content": "noon", "tool_name": "clock"},
    ],
}


@pytest.mark.parametrize("wire", WIRES)
def test_tools_there_and_back(upstream, wire):
    dialect, pieces, usage, ids = WIRES[wire]

    async def ask(calls, *messages):
        request = ProviderRequest(
            REQUEST.model, REQUEST.system, (ASKED, *messages), REQUEST.max_output_tokens, tools=TOOLS
        )
        return [e async for group in calls.stream(request) for e in group]

    async def main():
        with trio.fail_after(30):
            async with (
                upstream([HEAD, *upstream.chunked(*pieces)]) as server,
                HttpClient() as client,
            ):
                calls = Calls(
                    Remote(dialect, client, server.url, key=None, default_model="m"),
                    Patience(pace_seconds=0),
                )
                text, weather, clock, stop, used = await ask(calls)
                assert (text, stop, used) == (TextDelta("I look."), Stop("tool"), usage)
                assert [type(c) for c in (weather, clock)] == [ToolCall, ToolCall]
                assert (weather.id, clock.id) == ids
                assert (weather.name, clock.name) == ("weather", "clock")
                assert [orjson.loads(c.arguments) for c in (weather, clock)] == [CITY, CITY]
                again = await ask(
                    calls,
                    ProviderMessage("assistant", text.text, (weather, clock)),
                    ProviderMessage("tool", "rain", tool_call_id=weather.id),
                    ProviderMessage("tool", "noon", tool_call_id=clock.id),
                )
                if wire == "ollama":
                    # It gives no ids: ours are new in each round.
                    assert [e.id for e in again if isinstance(e, ToolCall)] == ["call_2", "call_3"]
                first, second = (orjson.loads(body) for _, body in server.requests)
                assert first["tools"] == second["tools"] == OFFERED[wire]
                assert second["messages"] == HISTORY[wire]

    trio.run(main)

"""What a caller may wish of an answer beside its length, as each dialect says it."""

from dataclasses import replace

import orjson
import pytest

from hivemind.providers import ProviderMessage, ProviderRequest, ToolSpec
from hivemind.providers.anthropic import Anthropic
from hivemind.providers.ollama import Ollama
from hivemind.providers.openai import OpenAI

REQUEST = ProviderRequest(
    "m", "", (ProviderMessage("user", "hi"),), 50, tools=(ToolSpec("look", "", {"type": "object"}),)
)


def sent(dialect, **wishes):
    return orjson.loads(dialect.encode(replace(REQUEST, **wishes)))


@pytest.mark.parametrize(
    ("choice", "openai", "anthropic"),
    [
        ("required", "required", {"type": "any"}),
        ("none", "none", {"type": "none"}),
        ("look", {"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"}),
        (None, None, None),
    ],
)
def test_which_tool(choice, openai, anthropic):
    assert sent(OpenAI("openai"), tool_choice=choice).get("tool_choice") == openai
    assert sent(Anthropic(), tool_choice=choice).get("tool_choice") == anthropic
    assert ("tools" in sent(Ollama(), tool_choice=choice)) == (choice != "none")
    assert "tool_choice" not in sent(OpenAI("openai"), tool_choice=choice, tools=())


def test_where_to_stop():
    assert sent(OpenAI("local"), stop=("END", "\n"))["stop"] == ["END", "\n"]
    assert sent(Anthropic(), stop=("END", "\n"))["stop_sequences"] == ["END"]
    assert "stop_sequences" not in sent(Anthropic(), stop=("\n",))
    assert sent(Ollama(), stop=("END",))["options"]["stop"] == ["END"]
    assert "stop" not in sent(OpenAI("local")) and "stop" not in sent(Ollama())["options"]


def test_how_freely():
    assert sent(Anthropic(), temperature=1.7)["temperature"] == 1
    assert sent(OpenAI("openai"), temperature=1.7)["temperature"] == 1.7

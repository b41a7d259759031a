"""A recording plays as written."""

import pytest
import trio

from hivemind.errors import ConfigError
from hivemind.providers import ProviderMessage, ProviderRequest, Scripted, Stop, TextDelta, ToolCall, Usage
from hivemind.providers.failures import CallFailed
from hivemind.providers.scripted import Answer

RECORDING = """
[{"when": "weather", "steps": [{"text": "Let me look."}, {"tool": {"name": "weather", "arguments": {"q": 1}}}]},
 {"when": "boom", "steps": [{"text": "It "}, {"fail": "status", "status": 529, "retry_after_seconds": 2}]},
 {"steps": [{"pause_seconds": 0}, {"text": "one"}]},
 {"steps": [{"text": "two"}]}]
"""


def play(scripted, text):
    async def main():
        return [
            e
            async for group in scripted.stream(ProviderRequest("", "", (ProviderMessage("user", text),), 9))
            for e in group
        ]

    return trio.run(main)


def test_a_file(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(RECORDING)
    scripted = Scripted.load(path)
    events = play(scripted, "the weather?")
    assert events[:3] == [TextDelta("Let me look."), ToolCall("call_0", "weather", '{"q":1}'), Stop("tool")]
    assert isinstance(events[3], Usage)
    assert [play(scripted, "x")[0].text for _ in range(3)] == ["one", "two", "one"]
    with pytest.raises(CallFailed) as caught:
        play(scripted, "boom")
    assert (caught.value.status, caught.value.retry_after_seconds) == (529, 2)
    assert [r.messages[-1].text for r in scripted.requests] == ["the weather?", "x", "x", "x", "boom"]


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '[{"steps": [{"txt": "a"}]}]', '[{"steps": [{"fail": "often"}]}]']
)
def test_a_bad_file_is_a_config_error(tmp_path, text):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="cannot be read"):
        Scripted.load(path)
    with pytest.raises(ConfigError):
        Scripted.load(tmp_path / "missing.json")


def test_recorded_stop_and_usage_come_last():
    scripted = Scripted([Answer((Usage(1, 2), Stop("length"), TextDelta("x")))])
    assert play(scripted, "x") == [TextDelta("x"), Stop("length"), Usage(1, 2)]

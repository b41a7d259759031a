"""Promise: whoever follows a turn sees its text once, its calls, and what it waits for."""

import pytest

from hivemind.cli.agents import _event, _of_event


@pytest.mark.parametrize(
    ("name", "data", "shown", "told"),
    [
        ("delta", {"text": "a\x1b"}, "x", "a"),
        ("reset", {}, "x", "\n(the answer starts again)\n"),
        ("tool", {"tool": "t", "arguments": {"a": 1}}, "", '\nt({"a": 1})\n'),
        ("tool_result", {"state": "done", "outcome": "1\n2"}, "", "done: 1\n"),
        ("waiting", {"effect_ids": ["e"]}, "", "\n(waits for a person: `hivemind approvals`)\n"),
        ("waiting", {"effect_ids": []}, "", "\n(is paused)\n"),
        ("reply", {"reply": "abc"}, "ab", "c\n"),
        ("reply", {"reply": "abc"}, "xy", "\nabc\n"),
        ("of a newer server", {}, "", ""),
    ],
)
def test_what_is_told_of_an_event(name, data, shown, told):
    assert _of_event(name, data, shown)[0] == told


def test_comments_are_no_events():
    assert _event(b": keep-alive") is None
    assert _event(b'id: 1.2\nevent: delta\ndata: {"text": "a: b"}') == ("delta", {"text": "a: b"})

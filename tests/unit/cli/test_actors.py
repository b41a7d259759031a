"""Promise: the drawn tree shows every actor with its state, its mail and its last error."""

import io

import pytest
from rich.console import Console

from hivemind.cli.actors import draw, span

NODE = {
    "address": "/",
    "state": "running",
    "children": [
        {
            "address": "/agents",
            "state": "running",
            "age_seconds": 7200,
            "children": [
                {
                    "address": "/agents/0198",
                    "state": "failed",
                    "age_seconds": 3.21,
                    "mailbox": {"length": 2, "limit": 1000, "high_water": 9},
                    "handled": 41,
                    "in_hand": {"message": "UserMessage", "age_seconds": 61},
                    "restarts": 5,
                    "last_exit": {"reason": "crashed", "error": "ValueError: [red]x", "at": "…"},
                    "facts": {"slug": "hello", "turn": None},
                    "children": [],
                }
            ],
        },
        {"address": "/edge", "state": "running", "mailbox": {"length": 0, "limit": None, "high_water": 0}},
    ],
}


def test_the_tree_shows_what_an_operator_looks_for():
    out = io.StringIO()
    Console(file=out, width=200).print(draw(NODE))
    text = out.getvalue()
    for expected in (
        "agents  running  2 h",
        "0198  failed  3.2 s  mail 2/1000 (high 9)  handled 41  in hand UserMessage 61 s  restarts 5  slug=hello",
        "last error: ValueError: [red]x (crashed)",
        "edge  running",
    ):
        assert expected in text
    assert "mail 0" not in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (61, "61 s"),
        (120, "2 min"),
        (7200, "2 h"),
        (172800, "2 d"),
        (None, ""),
    ],
)
def test_a_span_is_in_the_unit_that_says_enough(seconds, text):
    assert span(seconds) == text

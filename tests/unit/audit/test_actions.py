"""The vocabulary and the statements that write it are the same, whichever of the two is changed."""

import re
from pathlib import Path

import pytest

from hivemind.audit import Action

ROOT = Path(__file__).parents[3]
SQL = {
    path: path.read_text()
    for path in (*sorted((ROOT / "migrations").glob("*.sql")), *sorted((ROOT / "hivemind").rglob("*.sql")))
}
PYTHON = "\n".join(path.read_text() for path in sorted((ROOT / "hivemind").rglob("*.py")))
WORD = "[a-z][a-z-]*"
WHOLE = {found for text in SQL.values() for found in re.findall(f"'({WORD}:{WORD}:{WORD})'", text)}
# Parts that a statement puts the rest in front of or behind.
BEGINNINGS = {found for text in SQL.values() for found in re.findall(f"'({WORD}:{WORD}:)' *[|][|]", text)}
ENDINGS = {found for text in SQL.values() for found in re.findall(f"[|][|] *'(:{WORD}:{WORD})'", text)}


def test_every_action_that_a_statement_writes_is_in_the_vocabulary():
    assert len(WHOLE) > 15
    assert set(Action) >= WHOLE


def test_every_action_that_a_statement_puts_together_is_in_the_vocabulary():
    assert BEGINNINGS and ENDINGS
    for part in BEGINNINGS:
        assert any(action.startswith(part) for action in Action), part
    for part in ENDINGS:
        assert any(action.endswith(part) for action in Action), part


@pytest.mark.parametrize("action", Action)
def test_every_action_of_the_vocabulary_is_written_somewhere(action):
    assert (
        action in WHOLE
        or any(action.startswith(part) for part in BEGINNINGS)
        or any(action.endswith(part) for part in ENDINGS)
        or f"Action.{action.name}" in PYTHON
    )


def test_actions_have_three_words():
    assert all(re.fullmatch(f"{WORD}:{WORD}:{WORD}", action) for action in Action)

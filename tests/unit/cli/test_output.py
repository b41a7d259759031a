"""Promise: tables are whole in a pipe, colours follow the terminal and the environment, and texts command nothing."""

import json

import pytest

from hivemind.cli import colours, output

ROWS = [{"id": "a" * 300, "text": "\x1b[31mred"}]
COLUMNS = {"id": lambda row: row["id"], "text": lambda row: row["text"]}


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, None),
        ({"NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, None),
        ({"TERM": "dumb"}, False),
    ],
)
def test_what_the_environment_says_of_colours(monkeypatch, environ, wanted):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert colours.wanted() is wanted


def test_a_table_in_a_pipe_is_whole_and_plain(monkeypatch, capsys):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    output.show(ROWS, COLUMNS, "nothing")
    shown = capsys.readouterr().out
    assert "a" * 300 in shown
    assert "[31mred" in shown and "\x1b" not in shown


def test_colours_can_be_forced(monkeypatch, capsys):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    output.show(ROWS, COLUMNS, "nothing")
    assert "\x1b[2m" in capsys.readouterr().out


def test_machines_get_the_rows_as_they_are(capsys):
    output.show(ROWS, COLUMNS, "nothing", as_json=True)
    assert json.loads(capsys.readouterr().out) == ROWS
    output.show([], COLUMNS, "nothing", as_json=True)
    assert json.loads(capsys.readouterr().out) == []


def test_nothing_is_said_in_words(capsys):
    output.show([], COLUMNS, "There is nothing.")
    assert capsys.readouterr().out == "There is nothing.\n"


def test_fields_are_lines():
    assert output.fields({"a": "x", "long": {"b": 1}}) == 'a     x\nlong  {"b": 1}'


def test_dollars():
    assert [output.dollars(n) for n in (0, 25, 9_999, 10_000, 5_000_000)] == [
        "$0.00", "$0.000025", "$0.009999", "$0.01", "$5.00",
    ]  # fmt: skip

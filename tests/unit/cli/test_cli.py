"""Promise: an expected error is two lines and an exit code; a defect keeps its traceback; help is cheap."""

import subprocess
import sys

import click
import pytest

from hivemind import cli
from hivemind.errors import ConfigError, Conflict, RateLimited


@pytest.fixture
def failing(monkeypatch):
    def install(error):
        @click.command()
        def verb():
            raise error

        monkeypatch.setattr(cli.Verbs, "get_command", lambda *_: verb)

    return install


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("bad port", remedy="set another"), 2, "error: bad port\n next: set another\n"),
        (Conflict("twice"), 1, "error: twice\n"),
        (
            RateLimited("slow down", retry_after_seconds=12),
            1,
            "error: slow down\n next: try again in 12 s\n",
        ),
        (
            ExceptionGroup("", [Conflict("a"), ExceptionGroup("", [Conflict("b")])]),
            1,
            "error: a\nerror: b\n",
        ),
        (BaseExceptionGroup("", [KeyboardInterrupt()]), 130, ""),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_expected_errors_are_told_in_two_lines(failing, capsys, error, code, text):
    failing(error)
    assert cli.run(["verb"]) == code
    assert capsys.readouterr().err.strip() == text.strip()


@pytest.mark.parametrize("error", [ValueError("x"), ExceptionGroup("", [Conflict("a"), ValueError("x")])])
def test_a_defect_is_not_swallowed(failing, error):
    failing(error)
    with pytest.raises(type(error)):
        cli.run(["verb"])


def test_a_verb_that_is_unknown_is_a_usage_error(capsys):
    assert cli.run(["serv"]) == 2
    assert "No such command 'serv'" in capsys.readouterr().err


def test_help_lists_every_verb_and_loads_none():
    script = "import sys; from hivemind.cli import run; run(['--help']); print([m for m in sys.modules if m in ('trio', 'pydantic', 'rich')])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.endswith("[]\n")
    assert all(f"  {verb} " in shown for verb in cli.VERBS)


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_every_verb_explains_itself(verb, capsys):
    assert cli.run([verb, "--help"]) == 0
    assert "Usage: hivemind" in capsys.readouterr().out


def test_a_reader_that_leaves_early_is_no_traceback():
    command = f"{sys.executable} -m hivemind config reference | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr

"""Promise: an expected error is two lines and an exit code; a defect keeps its traceback; help is cheap."""

import copy
import os
import shlex
import subprocess
import sys

import click
import pytest

from hivemind import cli
from hivemind.cli import completion
from hivemind.cli.examples import HEADING
from hivemind.errors import BudgetExceeded, ConfigError, Conflict, RateLimited, RemoteError, Unreachable


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
        (
            ConfigError("bad port", remedy="set another"),
            2,
            "error: bad port (config_invalid)\n next: set another\n",
        ),
        (Conflict("twice"), 3, f"error: twice (conflict)\n next: {Conflict.advice}\n"),
        (
            RateLimited("slow down", retry_after_seconds=12),
            3,
            "error: slow down (rate_limited)\n next: try again in 12 s\n",
        ),
        (
            ExceptionGroup(
                "", [Conflict("a", remedy="x"), ExceptionGroup("", [Unreachable("b", remedy="y")])]
            ),
            3,
            "error: a (conflict)\n next: x\nerror: b (unreachable)\n next: y\n",
        ),
        (
            RemoteError("full", answered_code="budget_exceeded"),
            3,
            f"error: full (budget_exceeded)\n next: {BudgetExceeded.advice}\n",
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
    assert "No such command 'serv'. Did you mean 'serve'?" in capsys.readouterr().err
    assert cli.run(["xyzzy"]) == 2
    assert "`hivemind --help` lists them" in capsys.readouterr().err
    assert cli.run(["agents", "lst"]) == 2
    assert "Did you mean 'list'?" in capsys.readouterr().err
    assert cli.run(["actors", "--onse"]) == 2
    assert "'--once'" in capsys.readouterr().err


def test_help_lists_every_verb_and_loads_none():
    script = "import sys; from hivemind.cli import run; run(['--help']); print([m for m in sys.modules if m in ('trio', 'pydantic', 'rich')])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.endswith("[]\n")
    assert all(f"  {verb} " in shown for verb in cli.VERBS)


def commands(command=cli.hivemind, path=("hivemind",)):
    """Every command that does something, with the words that lead to it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        yield from commands(command.get_command(context, name), (*path, name))


COMMANDS = [pytest.param(path, command, id=" ".join(path[1:])) for path, command in commands()]
# What they print is no document, or is one anyway.
NO_DOCUMENT = {
    "serve", "migrate", "mcp", "completion", "config reference", "guards scan", "audit export", "audit public-key",
    "audit rotate-key",
}  # fmt: skip


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_every_command_explains_itself(path, command, capsys):
    assert cli.run([*path[1:], "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: {' '.join(path)}" in shown
    assert command.help
    undescribed = [
        option.name for option in command.params if isinstance(option, click.Option) and not option.help
    ]
    assert undescribed == []


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_every_command_has_an_example_that_is_understood(path, command, capsys):
    """Parsed to the end, with its types and choices, but not carried out."""
    assert cli.run([*path[1:], "--help"]) == 0
    lines = capsys.readouterr().out.partition(f"{HEADING}\n")[2].splitlines()
    assert lines
    for line in lines:
        words = shlex.split(line.rpartition("$(")[2].rstrip('")') if "$(" in line else line, comments=True)
        words = words[words.index("hivemind") :]
        assert tuple(words[: len(path)]) == path, line
        arguments = words[len(path) :]
        if "|" in arguments:
            arguments = arguments[: arguments.index("|")]
        inert = click.Command(None, params=[quiet(param) for param in command.params])
        inert.make_context(path[-1], arguments)


def quiet(param):
    """The same parameter, without a prompt and without opening files."""
    param = copy.copy(param)
    if isinstance(param.type, click.File | click.Path):
        param.type = click.STRING
    param.callback = None
    return param


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_every_command_speaks_json(path, command):
    flags = {flag for option in command.params for flag in option.opts}
    assert ("--json" in flags) is (" ".join(path[1:]) not in NO_DOCUMENT)


def complete(words, monkeypatch):
    environ = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "hivemind"], env=os.environ | environ | {completion.VARIABLE: "bash_complete"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_a_shell_completes_verbs_and_options(monkeypatch):
    assert complete("hivemind ac", monkeypatch) == ["actors"]
    assert complete("hivemind approvals de", monkeypatch) == ["deny"]
    assert "--reason" in complete("hivemind approvals deny --r", monkeypatch)
    assert complete("hivemind approvals list --state pen", monkeypatch) == ["pending"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script(shell, capsys):
    assert cli.run(["completion", shell]) == 0
    assert completion.VARIABLE in capsys.readouterr().out


def test_a_reader_that_leaves_early_is_no_traceback():
    command = f"{sys.executable} -m hivemind config reference | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr

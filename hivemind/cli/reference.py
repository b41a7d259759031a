"""The reference pages on errors, metrics and the command line, from what the code says of itself.

The page on settings is made in `config`.
"""

from collections.abc import Iterator
from inspect import cleandoc

import click

from hivemind import errors
from hivemind.cli import exits, hivemind
from hivemind.http import problems
from hivemind.metrics import CATALOGUE

_ERRORS = """\
# Errors

Made by `make docs` from `hivemind/errors.py`; do not edit.

Over HTTP an error is `{"error": {"code", "message", "retry_after_seconds"?, "remedy"?, "fields"?}}` with the
status below. `code` is stable; `message` and `remedy` are for people, and say more than this table where more
is known. The command line prints the code behind the message and ends with the exit code below:
[command line](cli.md). By symptom: [troubleshoot](../how-to/troubleshoot.md)."""
_BY_STATUS = """\
## Before a request is one of ours

What is not well formed HTTP, or names no route, is answered by its status alone."""
_CLI = """\
# Command line

Made by `make docs` from `hivemind/cli/`; do not edit.

`hivemind VERB --help` shows the same in the terminal. With `--json` the output is what the server says: one
document on one line. `hivemind tasks` is `hivemind tasks list`, and so on.

What asks a server asks the one at `--url`, else at `HIVEMIND_CLIENT_URL`, else the one that runs here by the
settings. It opens it with the key in `HIVEMIND_CLIENT_API_KEY` (or `…_FILE`), else with this installation's
own in `secrets/admin_api_key`. From another machine, take a key of your own: what you do is audited under its
name, and it opens no more than its role.

Colours are for terminals. `NO_COLOR=1` switches them off, `FORCE_COLOR=1` on; the former wins. Into a pipe
tables are not cut to any width."""
_METRICS = """\
# Metrics

Made by `make docs` from `hivemind/metrics.py`; do not edit.

`GET /metrics` in Prometheus's text format; how to scrape it:
[watch with Prometheus](../how-to/watch-with-prometheus.md).
Counters and histograms begin anew with the process. There is no other metric and no other label."""
_COMPLETION = """\
## Completion

Put into `~/.bashrc`, `~/.zshrc` or `~/.config/fish/config.fish` what `hivemind completion --help` shows for
your shell."""


def metrics_page() -> str:
    """Every metric with its type and labels."""
    rows = "\n".join(
        f"| `{name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |"
        for name, metric in CATALOGUE.items()
    )
    return f"{_METRICS}\n\n| metric | type | labels | what |\n|---|---|---|---|\n{rows}\n"


def errors_page() -> str:
    """Every code, its status, its exit code, what it means and what to do."""
    families = sorted(errors.families(), key=lambda cls: (_status(cls), cls.code))
    rows = "\n".join(
        f"| `{cls.code}` | {_status(cls)} | {exits.code_of_class(cls)} | {_meaning(cls)} | {cls.advice} |"
        for cls in families
    )
    known = {cls.code for cls in families}
    others = "\n".join(
        f"| `{code}` | {status} | {message} |"
        for status, (code, message) in problems.BY_STATUS.items()
        if code not in known
    )
    return "\n\n".join(
        [
            _ERRORS,
            f"| code | status | exit | meaning | what to do |\n|---|---|---|---|---|\n{rows}",
            _BY_STATUS,
            f"| code | status | meaning |\n|---|---|---|\n{others}\n",
        ]
    )


def cli_page() -> str:
    """Every command with its arguments, options and example."""
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in exits.MEANINGS.items())
    parts = [_CLI, f"## Exit codes\n\n| code | meaning |\n|---|---|\n{codes}", _COMPLETION]
    root = click.Context(hivemind, info_name="hivemind")
    for name in hivemind.list_commands(root):
        command = hivemind.get_command(root, name)
        assert command is not None
        parts += _sections(command, click.Context(command, root, info_name=name))
    return "\n\n".join(parts) + "\n"


def _sections(command: click.Command, context: click.Context, depth: int = 2) -> Iterator[str]:
    yield f"{'#' * depth} `{context.command_path}`"
    yield _prose(command.help or "")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from _sections(child, click.Context(child, context, info_name=name), depth + 1)
        return
    yield f"    {' '.join([context.command_path, *command.collect_usage_pieces(context)])}"
    rows = [
        (", ".join(f"`{flag}`" for flag in option.opts), record[1])
        for option in command.params
        if isinstance(option, click.Option) and (record := option.get_help_record(context)) is not None
    ]
    if rows:
        yield "| option | |\n|---|---|\n" + "\n".join(
            f"| {flags} | {told.replace('|', chr(92) + '|')} |" for flags, told in rows
        )
    lines = (command.epilog or "").splitlines()[2:]
    if lines:
        yield "\n".join(["For example:", "", *(f"    {line.strip()}" for line in lines)])


def _prose(help_: str) -> str:
    """A help text as paragraphs; what must not be wrapped there is not wrapped here."""
    paragraphs = [part.strip("\n") for part in cleandoc(help_).split("\n\n")]
    return "\n\n".join(
        "\n".join(f"    {line}" for line in part.splitlines()[1:]) if part.startswith("\b") else part
        for part in paragraphs
    )


def _status(cls: type[errors.HivemindError]) -> int:
    return problems.status_of(cls.__new__(cls))


def _meaning(cls: type[errors.HivemindError]) -> str:
    return (cls.__doc__ or "").partition("\n")[0].rstrip(".")

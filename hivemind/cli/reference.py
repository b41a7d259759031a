"""The reference pages on errors, metrics and the command line, from what the code says of itself.

The page on settings is made in `config`.
"""

from collections.abc import Iterator
from inspect import cleandoc

import click
from pydantic import BaseModel

from hivemind import errors
from hivemind.audit import Action
from hivemind.cli import exits, hivemind
from hivemind.http import problems
from hivemind.http.contract.document import GROUPS, refused, role_of
from hivemind.http.contract.operation import Operation
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
_ROUTES = """\
# Routes

Made by `make docs` from `hivemind/http/contract/`; do not edit.

The same, with every field and answer, is `GET /api/v1/openapi.json`, to be browsed at `/api/docs`. How the
parts work together: [HTTP API](http-api.md). `?` marks what may be left out. Beside the codes named here
every route with a role may refuse with `not_authenticated` and `not_permitted`, and every route with
`database_unavailable`: what each means is in [errors](errors.md). Every path below `/api/v1/` answers below
`/api/admin/` as well."""
_ACTIONS = """\
# Actions of the audit log

Made by `make docs` from `hivemind/audit/actions.py`; do not edit.

An action is spelled `source:subject:action`, such as `chat:turn:refused`. The source is who did it: a part
of the server, an `operator` (anybody with a key or a session, named in `detail.by`), or an `admin` where it
takes that role. What is in a row, and how the log is kept: [audit log](audit.md)."""
_EVERYWHERE = frozenset({"not_authenticated", "not_permitted", "database_unavailable"})
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


def routes_page() -> str:
    """Every route, a table for each subject."""
    parts = [_ROUTES]
    for group in GROUPS:
        rows = "\n".join(
            f"| `{operation.key}` | {role_of(operation) or 'none'} | {_what(operation)} |"
            f" {_taken(operation)} | {_codes(operation)} |"
            for operation in group.operations
        )
        table = f"| method and path | role | what | takes | may refuse with |\n|---|---|---|---|---|\n{rows}"
        parts.append(f"## {group.name}\n\n{group.told}\n\n{table}")
    return "\n\n".join(parts) + "\n"


def actions_page() -> str:
    """Every action of the audit log, by who does it."""
    found: dict[str, dict[str, list[str]]] = {}
    for action in Action:
        source, subject, deed = action.value.split(":")
        found.setdefault(source, {}).setdefault(subject, []).append(deed)
    rows = "\n".join(
        f"| `{source}` | `{subject}` | {', '.join(f'`{deed}`' for deed in deeds)} |"
        for source, subjects in sorted(found.items())
        for subject, deeds in sorted(subjects.items())
    )
    return f"{_ACTIONS}\n\n| source | subject | action |\n|---|---|---|\n{rows}\n"


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


def _what(operation: Operation) -> str:
    return f"{operation.summary}. {operation.told}" if operation.told else operation.summary


def _taken(operation: Operation) -> str:
    body = operation.body
    fields: list[str] = []
    if isinstance(body, type) and issubclass(body, BaseModel) and "root" not in body.model_fields:
        fields += [f"{name}{'' if field.is_required() else '?'}" for name, field in body.model_fields.items()]
    elif isinstance(body, dict):
        fields += body
    places: dict[str, list[str]] = {"": fields, "query ": [], "header ": []}
    for asked in operation.query:
        places[f"{asked.place} "].append(f"{asked.name}{'' if asked.required else '?'}")
    return "; ".join(
        place + ", ".join(f"`{name}`" for name in names) for place, names in places.items() if names
    )


def _codes(operation: Operation) -> str:
    codes = {code for told in refused(operation).values() for code in told} - _EVERYWHERE
    return ", ".join(f"`{code}`" for code in sorted(codes))

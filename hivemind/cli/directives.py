"""`hivemind directives`: jobs given without a person waiting, and what came of them."""

import json
import time
from urllib.parse import quote

import click

from hivemind.cli.operator import Document, Operator, first_line, options, safe, show, when

PATH = "/api/v1/directives"
_ENDED = ("done", "failed", "cancelled")
_LOOK_SECONDS = 0.5


@click.group(invoke_without_command=True)
@click.pass_context
def directives(context: click.Context) -> None:
    """Jobs for agents; without a verb, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@directives.command("list")
@click.option("--state", help="Only those: queued, running, done, failed or cancelled.")
@click.option("--limit", default=20, show_default=True)
@options
def list_(url: str | None = None, as_json: bool = False, state: str | None = None, limit: int = 20) -> None:
    """Print the newest."""
    found = Operator.at(url).items(PATH, limit, state=state)
    if as_json:
        click.echo(json.dumps(found))
        return
    columns = {
        "id": lambda row: row["id"],
        "state": lambda row: row["state"],
        "source": lambda row: row["source"],
        "created": lambda row: when(row["created_at"]),
        "text": lambda row: first_line(row["text"]),
        "outcome": lambda row: first_line(row["result"] or (row["failure"] or {}).get("code")),
    }
    show(found, columns, "There are no directives.")


@directives.command()
@click.argument("text")
@click.option("--profile", default="hello", show_default=True, help="Who is to do it.")
@click.option("--not-before", help="A time such as 2026-12-24T18:00:00+01:00.")
@click.option("--attempts", type=int, help="How often it is tried in all.")
@click.option("--wait", is_flag=True, help="Wait for the result and print it.")
@options
def give(
    text: str,
    profile: str,
    not_before: str | None,
    attempts: int | None,
    wait: bool,
    url: str | None,
    as_json: bool,
) -> int:
    """Give a job."""
    body: dict[str, object] = {"profile": profile, "text": text}
    if not_before is not None:
        body["not_before"] = not_before
    if attempts is not None:
        body["retry"] = {"max_attempts": attempts}
    operator = Operator.at(url)
    directive = operator.ask("POST", PATH, body)["directive"]
    while wait and directive["state"] not in _ENDED:
        time.sleep(_LOOK_SECONDS)
        directive = operator.ask("GET", f"{PATH}/{directive['id']}")["directive"]
    _tell(directive, as_json=as_json)
    return 1 if directive["state"] == "failed" else 0


@directives.command("show")
@click.argument("directive_id")
@options
def show_(directive_id: str, url: str | None, as_json: bool) -> None:
    """Print one, with its result."""
    _tell(Operator.at(url).ask("GET", f"{PATH}/{quote(directive_id)}")["directive"], as_json=as_json)


@directives.command()
@click.argument("directive_id")
@options
def cancel(directive_id: str, url: str | None, as_json: bool) -> None:
    """Cancel one, also while it is carried out."""
    gone = Operator.at(url).ask("POST", f"{PATH}/{quote(directive_id)}/cancel", {})["directive"]
    _tell(gone, as_json=as_json)


def _tell(directive: Document, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(directive))
        return
    click.echo(f"{directive['id']}  {directive['state']}")
    if directive["result"]:
        click.echo(safe(directive["result"]))
    if directive["failure"]:
        click.echo(f"{directive['failure']['code']}: {directive['failure']['message']}")

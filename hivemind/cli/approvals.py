"""`hivemind approvals`: the calls that wait for a person, and the answers to them."""

import json
from collections.abc import Callable
from urllib.parse import quote

import click

from hivemind.cli.operator import Document, Operator, options, safe, show, when

PATH = "/api/v1/approvals"


@click.group(invoke_without_command=True)
@click.pass_context
def approvals(context: click.Context) -> None:
    """What agents ask people; without a verb, list what waits."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@approvals.command("list")
@click.option("--state", default="pending", show_default=True, help="pending, approved, denied or all.")
@click.option("--agent", help="Only those of this agent.")
@click.option("--limit", default=20, show_default=True)
@options
def list_(
    url: str | None = None,
    as_json: bool = False,
    state: str = "pending",
    agent: str | None = None,
    limit: int = 20,
) -> None:
    """Print them, the next deadline first."""
    wanted = None if state == "all" else state
    found = Operator.at(url).items(PATH, limit, state=wanted, agent_id=agent)
    if as_json:
        click.echo(json.dumps(found))
        return
    columns = {
        "id": lambda row: row["id"],
        "state": lambda row: row["state"],
        "profile": lambda row: row["profile"],
        "call": _call,
        "until": lambda row: f"{when(row['deadline_at'])}, then {row['on_deadline']}",
        "by": lambda row: row["answered_by"] or "",
    }
    show(found, columns, "Nothing waits for a person.")


def _answer(name: str, told: str) -> Callable[..., None]:
    @approvals.command(name, help=told)
    @click.argument("approval_id")
    @click.option("--reason", help="Why; the model is told the reason of a denial.")
    @options
    def answer(approval_id: str, reason: str | None, url: str | None, as_json: bool) -> None:
        body = {"reason": reason} if reason else {}
        path = f"{PATH}/{quote(approval_id)}/{name}"
        given = Operator.at(url).ask("POST", path, body)["approval"]
        click.echo(json.dumps(given) if as_json else f"{given['id']}  {given['state']}  {_call(given)}")

    return answer


approve = _answer("approve", "Let the call be made.")
deny = _answer("deny", "Do not let it be made.")


def _call(row: Document) -> str:
    doubt = "in doubt: " if row["kind"] == "doubt" else ""
    return f"{doubt}{row['tool']}({safe(json.dumps(row['arguments']))})"

"""`hivemind approvals`: the calls that wait for a person, and the answers to them."""

import json
from collections.abc import Callable
from urllib.parse import quote

import click

from hivemind.cli.examples import example
from hivemind.cli.listing import Listing
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, fields, safe, say, show, when

PATH = "/api/v1/approvals"
_AN_ID = "01a2100f-39cd-7e9b-b6bb-1d2c33d4f8a1"


@click.group(cls=Listing)
def approvals() -> None:
    """Answer what agents may not do by themselves. Without a verb it lists what waits."""


@approvals.command("list", epilog=example("hivemind approvals list --state all --limit 5"))
@click.option(
    "--state",
    type=click.Choice(["pending", "approved", "denied", "all"]),
    default="pending",
    show_default=True,
    help="Only those.",
)
@click.option("--agent", help="Only those of this agent.")
@click.option("--limit", default=20, show_default=True, help="How many.")
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
    columns = {
        "id": lambda row: row["id"],
        "state": lambda row: row["state"],
        "profile": lambda row: row["profile"],
        "call": _call,
        "until": lambda row: f"{when(row['deadline_at'])}, then {row['on_deadline']}",
        "by": lambda row: row["answered_by"] or "",
    }
    show(found, columns, "Nothing waits for a person.", as_json=as_json)


@approvals.command("show", epilog=example(f"hivemind approvals show {_AN_ID}"))
@click.argument("approval_id")
@options
def show_(approval_id: str, url: str | None, as_json: bool) -> None:
    """Print one with the exact call."""
    found = Operator.at(url).ask("GET", f"{PATH}/{quote(approval_id)}")["approval"]
    say(found, fields(found), as_json=as_json)


def _answer(name: str, told: str, reason_for: str) -> Callable[..., None]:
    shown = example(f'hivemind approvals {name} {_AN_ID} --reason "{reason_for}"')

    @approvals.command(name, help=told, epilog=shown)
    @click.argument("approval_id")
    @click.option("--reason", help="Why; the model is told the reason of a denial.")
    @options
    def answer(approval_id: str, reason: str | None, url: str | None, as_json: bool) -> None:
        body = {"reason": reason} if reason else {}
        path = f"{PATH}/{quote(approval_id)}/{name}"
        given = Operator.at(url).ask("POST", path, body)["approval"]
        say(given, f"{given['id']}  {given['state']}  {_call(given)}", as_json=as_json)

    return answer


approve = _answer("approve", "Let the call be made.", "the page is public")
deny = _answer("deny", "Do not let it be made.", "ask the customer first")


def _call(row: Document) -> str:
    doubt = "in doubt: " if row["kind"] == "doubt" else ""
    return f"{doubt}{row['tool']}({safe(json.dumps(row['arguments']))})"

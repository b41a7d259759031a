"""`hivemind conversations`: what was said, as the guards left it, and erasing it."""

from urllib.parse import quote

import click

from hivemind.cli.examples import example
from hivemind.cli.listing import Listing
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, safe, say, show, when

PATH = "/api/v1/conversations"
_AN_ID = "01a20fc0-bb55-715d-a5d5-b3f91b1e1392"


@click.group(cls=Listing)
def conversations() -> None:
    """Read what was said, and erase it. Without a verb it lists the conversations."""


@conversations.command("list", epilog=example("hivemind conversations list --limit 5"))
@click.option("--limit", default=20, show_default=True, help="How many.")
@options
def list_(url: str | None, as_json: bool, limit: int = 20) -> None:
    """Print the newest."""
    found = Operator.at(url).items(PATH, limit)
    columns = {
        "id": lambda row: row["id"],
        "profile": lambda row: row["profile"],
        "state": lambda row: "erased" if row["erased_at"] else row["state"],
        "began": lambda row: when(row["created_at"]),
        "caller": lambda row: row["caller"],
    }
    show(found, columns, "Nobody has said anything.", as_json=as_json)


@conversations.command("show", epilog=example(f"hivemind conversations show {_AN_ID}"))
@click.argument("conversation_id")
@click.option("--limit", default=100, show_default=True, help="How many messages.")
@options
def show_(conversation_id: str, limit: int, url: str | None, as_json: bool) -> None:
    """Print what was said in one."""
    found = Operator.at(url).items(f"{PATH}/{quote(conversation_id)}", limit)
    said = "\n".join(f"{when(row['created_at'])}  {row['role']}: {safe(row['text'] or '')}" for row in found)
    say(found, said or "Nothing was said in it, or it was erased.", as_json=as_json)


@conversations.command(epilog=example(f"hivemind conversations erase {_AN_ID} --yes"))
@click.argument("conversation_id")
@options
@click.confirmation_option(prompt="What was said in it cannot be brought back. Erase it?")
def erase(conversation_id: str, url: str | None, as_json: bool) -> None:
    """Remove what was said in one; its costs and the chain of the audit log stay."""
    told_of(Operator.at(url).ask("DELETE", f"{PATH}/{quote(conversation_id)}"), as_json=as_json)


def told_of(erasure: Document, *, as_json: bool) -> None:
    """Say what an erasure came to."""
    text = f"erased {erasure['messages']} messages and the text of {erasure['entries']} audit rows"
    say(erasure, text, as_json=as_json)

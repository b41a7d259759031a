"""`hivemind directives`: jobs given without a person waiting, and what came of them."""

import time
from pathlib import Path
from urllib.parse import quote

import click

from hivemind.cli import exits, values
from hivemind.cli.examples import example
from hivemind.cli.listing import Listing
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, first_line, safe, say, show, when

PATH = "/api/v1/directives"
_ENDED = ("done", "failed", "cancelled")
_LOOK_SECONDS = 0.5
_AN_ID = "01a2100f-39cd-7e9b-b6bb-1d2c33d4f8a1"


@click.group(cls=Listing)
def directives() -> None:
    """Give agents jobs and see what came of them. Without a verb it lists them."""


@directives.command("list", epilog=example("hivemind directives list --state failed"))
@click.option("--state", help="Only those: queued, running, done, failed or cancelled.")
@click.option("--limit", default=20, show_default=True, help="How many.")
@options
def list_(url: str | None, as_json: bool, state: str | None = None, limit: int = 20) -> None:
    """Print the newest."""
    found = Operator.at(url).items(PATH, limit, state=state)
    columns = {
        "id": lambda row: row["id"],
        "state": lambda row: row["state"],
        "source": lambda row: row["source"],
        "created": lambda row: when(row["created_at"]),
        "text": lambda row: first_line(row["text"]),
        "outcome": lambda row: first_line(row["result"] or (row["failure"] or {}).get("code")),
    }
    show(found, columns, "There are no directives.", as_json=as_json)


@directives.command(epilog=example('hivemind directives give "Sum up the last week." --wait'))
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
    """Give a job. With --wait, exit code 1 when it failed."""
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
    say(directive, _told(directive), as_json=as_json)
    return exits.FAILED if directive["state"] == "failed" else exits.OK


@directives.command("show", epilog=example(f"hivemind directives show {_AN_ID}"))
@click.argument("directive_id")
@options
def show_(directive_id: str, url: str | None, as_json: bool) -> None:
    """Print one, with its result."""
    found = Operator.at(url).ask("GET", f"{PATH}/{quote(directive_id)}")["directive"]
    say(found, _told(found), as_json=as_json)


@directives.command(
    epilog=example(f"hivemind directives edit {_AN_ID} --set not_before=2026-12-24T18:00:00+01:00")
)
@click.argument("directive_id")
@values.options
@options
def edit(
    directive_id: str, given: tuple[str, ...], path: Path | None, url: str | None, as_json: bool
) -> None:
    """Change one that waits: text, not_before, retry."""
    changed = Operator.at(url).ask("PATCH", f"{PATH}/{quote(directive_id)}", values.read_some(given, path))[
        "directive"
    ]
    say(changed, _told(changed), as_json=as_json)


@directives.command(epilog=example(f"hivemind directives cancel {_AN_ID}"))
@click.argument("directive_id")
@options
def cancel(directive_id: str, url: str | None, as_json: bool) -> None:
    """Cancel one, also while it is carried out."""
    gone = Operator.at(url).ask("POST", f"{PATH}/{quote(directive_id)}/cancel", {})["directive"]
    say(gone, _told(gone), as_json=as_json)


@directives.command(epilog=example(f"hivemind directives delete {_AN_ID}"))
@click.argument("directive_id")
@options
def delete(directive_id: str, url: str | None, as_json: bool) -> None:
    """Remove one that has ended."""
    Operator.at(url).ask("DELETE", f"{PATH}/{quote(directive_id)}")
    say({"deleted": directive_id}, f"Deleted {directive_id}.", as_json=as_json)


def _told(directive: Document) -> str:
    lines = [f"{directive['id']}  {directive['state']}"]
    if directive["result"]:
        lines.append(safe(directive["result"]))
    if directive["failure"]:
        lines.append(f"{directive['failure']['code']}: {safe(directive['failure']['message'])}")
    return "\n".join(lines)

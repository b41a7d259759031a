"""`hivemind keys`: API keys for programs."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import click

from hivemind.auth import ROLES
from hivemind.cli.examples import example
from hivemind.cli.listing import Listing
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, safe, say, show, when

PATH = "/api/v1/api-keys"
_AN_ID = "01a2100f-39cd-7e9b-b6bb-1d2c33d4f8a1"


@click.group(cls=Listing)
def keys() -> None:
    """Make, rotate and end keys for programs. Without a verb it lists them."""


@keys.command("list", epilog=example("hivemind keys list"))
@click.option("--limit", default=100, show_default=True, help="How many.")
@options
def list_(url: str | None = None, as_json: bool = False, limit: int = 100) -> None:
    """Print them, the newest first."""
    columns = {
        "id": lambda row: row["id"],
        "name": lambda row: row["name"],
        "role": lambda row: row["role"],
        "ends in": lambda row: f"…{row['hint']}",
        "state": _state,
        "used": lambda row: when(row["used_at"]),
        "made by": lambda row: row["made_by"],
    }
    nothing = "There are no keys beside the owner's: `hivemind keys create NAME` makes one."
    show(Operator.at(url).items(PATH, limit), columns, nothing, as_json=as_json)


@keys.command(epilog=example("hivemind keys create ci --role viewer --days 90"))
@click.argument("name")
@click.option(
    "--role", type=click.Choice(ROLES), default="operator", show_default=True, help="What it may do."
)
@click.option("--days", type=click.IntRange(min=1), help="Until when it counts; without an end if not said.")
@options
def create(name: str, role: str, days: int | None, url: str | None, as_json: bool) -> None:
    """Make a key and print it, this once."""
    body: dict[str, object] = {"name": name, "role": role}
    if days is not None:
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    _tell_key(Operator.at(url).ask("POST", PATH, body), as_json=as_json)


@keys.command(epilog=example(f"hivemind keys rotate {_AN_ID} --overlap-seconds 3600"))
@click.argument("key_id")
@click.option("--overlap-seconds", type=int, help="How long the former goes on; a day if not said.")
@options
def rotate(key_id: str, overlap_seconds: int | None, url: str | None, as_json: bool) -> None:
    """Make a successor and print it, this once; the former counts on for a while."""
    body = {} if overlap_seconds is None else {"overlap_seconds": overlap_seconds}
    _tell_key(Operator.at(url).ask("POST", f"{PATH}/{quote(key_id)}/rotate", body), as_json=as_json)


@keys.command(epilog=example(f"hivemind keys revoke {_AN_ID}"))
@click.argument("key_id")
@options
def revoke(key_id: str, url: str | None, as_json: bool) -> None:
    """End a key now."""
    ended = Operator.at(url).ask("DELETE", f"{PATH}/{quote(key_id)}")["api_key"]
    say(ended, f"The key {safe(ended['name'])} has ended.", as_json=as_json)


def _tell_key(made: Document, *, as_json: bool) -> None:
    """The key alone on standard output, for a pipe; what belongs to it beside."""
    key = made["api_key"]
    if not as_json:
        told = (
            f"{key['id']}  {safe(key['name'])} is {key['role']}, {_state(key)}. The key is shown this once:"
        )
        click.echo(told, err=True)
    say(made, made["key"], as_json=as_json)


def _state(key: Document) -> str:
    if key["revoked_at"]:
        return "revoked"
    if key["expires_at"] is None:
        return "active"
    over = datetime.fromisoformat(key["expires_at"]) <= datetime.now(UTC)
    return "expired" if over else f"until {when(key['expires_at'])}"

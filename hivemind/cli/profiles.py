"""`hivemind profiles`: the personas: list, make, edit, put away."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from hivemind.cli import values
from hivemind.cli.examples import example
from hivemind.cli.listing import Listing
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, fields, first_line, say, show, when

PATH = "/api/v1/agent-profiles"
_KEPT = ("id", "slug", "created_at", "updated_at", "archived_at")


@click.group(cls=Listing)
def profiles() -> None:
    """Make and edit the personas of agents. Without a verb it lists them."""


@profiles.command("list", epilog=example("hivemind profiles list --archived"))
@click.option("--archived", is_flag=True, help="Those that are archived too.")
@click.option("--limit", default=100, show_default=True, help="How many.")
@options
def list_(url: str | None, as_json: bool, archived: bool = False, limit: int = 100) -> None:
    """Print them by their slugs."""
    found = Operator.at(url).items(PATH, limit, archived="true" if archived else None)
    columns = {
        "slug": lambda row: row["slug"],
        "tier": lambda row: row["tier"],
        "model": lambda row: row["model"] or "(default)",
        "tools": lambda row: ", ".join(row["tools"]),
        "changed": lambda row: when(row["updated_at"]),
        "archived": lambda row: when(row["archived_at"]),
        "prompt": lambda row: first_line(row["prompt"], 40),
    }
    show(found, columns, "There are no profiles.", as_json=as_json)


@profiles.command("show", epilog=example("hivemind profiles show hello"))
@click.argument("slug")
@options
def show_(slug: str, url: str | None, as_json: bool) -> None:
    """Print one with all its fields."""
    found = _read(Operator.at(url), slug)
    say(found, fields(found), as_json=as_json)


@profiles.command(
    epilog=example('hivemind profiles create support --prompt "You answer kindly." --set tier=1')
)
@click.argument("slug")
@click.option("--name", help="As people see it; the slug, unless it is given.")
@click.option("--prompt", required=True, help="What the model is told of who it is.")
@values.options
@options
def create(
    slug: str,
    name: str | None,
    prompt: str,
    given: tuple[str, ...],
    path: Path | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Make one; what is not said is as usual."""
    body = {"name": name or slug, "prompt": prompt} | _fields(given, path) | {"slug": slug}
    made = Operator.at(url).ask("POST", PATH, body)["profile"]
    say(made, fields(made), as_json=as_json)


@profiles.command(epilog=example("hivemind profiles edit support --set max_steps=8"))
@click.argument("slug")
@values.options
@options
def edit(slug: str, given: tuple[str, ...], path: Path | None, url: str | None, as_json: bool) -> None:
    """Change fields; with none named, in your editor. What somebody else changed meanwhile is not undone."""
    operator = Operator.at(url)
    was = _read(operator, slug)
    wanted = _fields(given, path) if given or path else _edited(was)
    if wanted is None:
        click.echo("Nothing was changed.")
        return
    changed = {name: value for name, value in wanted.items() if name not in was or was[name] != value}
    body = changed | {"updated_at": was["updated_at"]}
    made = operator.ask("PATCH", f"{PATH}/{quote(slug)}", body)["profile"]
    say(made, fields(made), as_json=as_json)


@profiles.command(epilog=example("hivemind profiles archive support"))
@click.argument("slug")
@options
def archive(slug: str, url: str | None, as_json: bool) -> None:
    """Put one away: it takes no more messages."""
    made = Operator.at(url).ask("POST", f"{PATH}/{quote(slug)}/archive", {})["profile"]
    say(made, fields(made), as_json=as_json)


@profiles.command(epilog=example("hivemind profiles restore support"))
@click.argument("slug")
@options
def restore(slug: str, url: str | None, as_json: bool) -> None:
    """Take one out again."""
    made = Operator.at(url).ask("POST", f"{PATH}/{quote(slug)}/restore", {})["profile"]
    say(made, fields(made), as_json=as_json)


@profiles.command(epilog=example("hivemind profiles delete support"))
@click.argument("slug")
@options
def delete(slug: str, url: str | None, as_json: bool) -> None:
    """Remove one that nothing was done with."""
    Operator.at(url).ask("DELETE", f"{PATH}/{quote(slug)}")
    say({"deleted": slug}, f"Deleted {slug}.", as_json=as_json)


def _read(operator: Operator, slug: str) -> Document:
    found: Document = operator.ask("GET", f"{PATH}/{quote(slug)}")["profile"]
    return found


def _edited(was: Document) -> dict[str, Any] | None:
    """What a person made of it in an editor; None where it was left alone."""
    shown = {name: value for name, value in was.items() if name not in _KEPT}
    text = click.edit(json.dumps(shown, indent=2, ensure_ascii=False) + "\n", extension=".json")
    wanted = None if text is None else values.parse(text)
    return None if wanted == shown else wanted


def _fields(given: tuple[str, ...], path: Path | None) -> dict[str, Any]:
    return {name: value for name, value in values.read(given, path).items() if name not in _KEPT}

"""`hivemind profiles`: the personas: list, make, edit, put away."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from hivemind.cli.operator import Document, Operator, first_line, options, safe, show, when
from hivemind.errors import InvalidRequest

PATH = "/api/v1/agent-profiles"
_KEPT = ("id", "slug", "created_at", "updated_at", "archived_at")
_values = click.option(
    "--set", "given", multiple=True, metavar="FIELD=VALUE", help="A field; the value is JSON, or else a text."
)
_file = click.option(
    "--file", "path", type=click.Path(path_type=Path, exists=True), help="A JSON object of fields."
)


@click.group(invoke_without_command=True)
@click.pass_context
def profiles(context: click.Context) -> None:
    """The personas that agents are instances of; without a verb, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@profiles.command("list")
@click.option("--archived", is_flag=True, help="Those that are archived too.")
@click.option("--limit", default=100, show_default=True)
@options
def list_(url: str | None = None, as_json: bool = False, archived: bool = False, limit: int = 100) -> None:
    """Print them by their slugs."""
    found = Operator.at(url).items(PATH, limit, archived="true" if archived else None)
    if as_json:
        click.echo(json.dumps(found))
        return
    columns = {
        "slug": lambda row: row["slug"],
        "tier": lambda row: row["tier"],
        "model": lambda row: row["model"] or "(default)",
        "tools": lambda row: ", ".join(row["tools"]),
        "changed": lambda row: when(row["updated_at"]),
        "archived": lambda row: when(row["archived_at"]),
        "prompt": lambda row: first_line(row["prompt"], 40),
    }
    show(found, columns, "There are no profiles.")


@profiles.command("show")
@click.argument("slug")
@options
def show_(slug: str, url: str | None, as_json: bool) -> None:
    """Print one with all its fields."""
    _tell(_read(Operator.at(url), slug), as_json=as_json)


@profiles.command()
@click.argument("slug")
@click.option("--name", help="As people see it; the slug, unless it is given.")
@click.option("--prompt", required=True)
@_values
@_file
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
    _tell(Operator.at(url).ask("POST", PATH, body)["profile"], as_json=as_json)


@profiles.command()
@click.argument("slug")
@_values
@_file
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
    _tell(operator.ask("PATCH", f"{PATH}/{quote(slug)}", body)["profile"], as_json=as_json)


@profiles.command()
@click.argument("slug")
@options
def archive(slug: str, url: str | None, as_json: bool) -> None:
    """Put one away: it takes no more messages."""
    _tell(Operator.at(url).ask("POST", f"{PATH}/{quote(slug)}/archive", {})["profile"], as_json=as_json)


@profiles.command()
@click.argument("slug")
@options
def restore(slug: str, url: str | None, as_json: bool) -> None:
    """Take one out again."""
    _tell(Operator.at(url).ask("POST", f"{PATH}/{quote(slug)}/restore", {})["profile"], as_json=as_json)


@profiles.command()
@click.argument("slug")
@options
def delete(slug: str, url: str | None, as_json: bool) -> None:
    """Remove one that nothing was done with."""
    Operator.at(url).ask("DELETE", f"{PATH}/{quote(slug)}")
    click.echo(json.dumps({"deleted": slug}) if as_json else f"Deleted {slug}.")


def _read(operator: Operator, slug: str) -> Document:
    found: Document = operator.ask("GET", f"{PATH}/{quote(slug)}")["profile"]
    return found


def _fields(given: tuple[str, ...], path: Path | None) -> dict[str, Any]:
    """The fields of a file, and over them those of the command line."""
    fields = _object(path.read_text()) if path is not None else {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--set {text!r} has no value: write it as FIELD=VALUE")
        try:
            fields[name] = json.loads(value)
        except ValueError:
            fields[name] = value
    return {name: value for name, value in fields.items() if name not in _KEPT}


def _edited(was: Document) -> dict[str, Any] | None:
    """What a person made of it in an editor; None where it was left alone."""
    shown = {name: value for name, value in was.items() if name not in _KEPT}
    text = click.edit(json.dumps(shown, indent=2, ensure_ascii=False) + "\n", extension=".json")
    wanted = None if text is None else _object(text)
    return None if wanted == shown else wanted


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidRequest(f"That is not JSON: {error}", remedy="nothing was changed") from None
    if not isinstance(value, dict):
        raise InvalidRequest("That is not a JSON object", remedy="nothing was changed")
    return value


def _tell(profile: Document, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(profile))
        return
    width = max(len(name) for name in profile)
    for name, value in profile.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        click.echo(f"{name:<{width}}  {safe(text)}")

"""`hivemind config`: the settings in force and their sources; the reference page comes from the same list."""

import json
from itertools import groupby

import click
from pydantic import SecretStr

from hivemind.cli.examples import example
from hivemind.settings import Settings
from hivemind.settings_load import (
    CONFIG_NAME,
    CONFIG_VARIABLE,
    HIDDEN,
    Leaf,
    Loaded,
    explained,
    leaves,
    load,
    plain,
)

UNSET = "(unset)"
_ABOUT = f"""\
Made by `make docs` from `hivemind/settings.py`; do not edit.

Each setting may stand in `{CONFIG_NAME}` (in the working directory, or where `{CONFIG_VARIABLE}` points) or
in an environment variable, which wins. For a secret, the variable with `_FILE` appended names a file that
holds it, which wins over both. A list in a variable is comma-separated, a table is JSON. An unknown key or
variable is an error. `hivemind config explain` shows the values in force and where each came from."""


@click.group()
def config() -> None:
    """Show the settings and where they come from."""


@config.command(epilog=example("hivemind config explain --changed"))
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--changed", is_flag=True, help="Only what is not at its default.")
def explain(as_json: bool, changed: bool) -> None:
    """Print each setting's value in force, where it came from and what it is for. Secrets stay hidden."""
    loaded = load()
    shown = [leaf for leaf in leaves() if not changed or loaded.sources[leaf.path] != "default"]
    if as_json:
        click.echo(explained_json(loaded, shown))
    else:
        click.echo(explained_text(loaded, shown) or "everything is at its default")


@config.command(epilog=example("hivemind config reference settings"))
@click.argument(
    "page",
    type=click.Choice(["settings", "errors", "cli", "metrics", "routes", "actions"]),
    default="settings",
)
def reference(page: str) -> None:
    """Print a page of docs/reference (`make docs` writes them)."""
    # Here, because it loads every verb.
    from hivemind.cli import reference as pages  # noqa: PLC0415

    made = {
        "settings": reference_page,
        "errors": pages.errors_page,
        "cli": pages.cli_page,
        "metrics": pages.metrics_page,
        "routes": pages.routes_page,
        "actions": pages.actions_page,
    }
    click.echo(made[page](), nl=False)


def explained_json(loaded: Loaded, shown: list[Leaf]) -> str:
    """One object, keyed by path."""
    return json.dumps({told.pop("path"): told for told in explained(loaded, shown)}, indent=2)


def explained_text(loaded: Loaded, shown: list[Leaf]) -> str:
    """A block per section: `key = value`, its source, its doc."""
    lines = []
    for section, members in groupby(shown, key=lambda leaf: leaf.path.rpartition(".")[0]):
        lines.append(click.style(f"[{section}]", bold=True) if section else "")
        for leaf in members:
            name = leaf.path.rpartition(".")[2]
            source = loaded.sources[leaf.path]
            where = f"default; set {leaf.variable}" if source == "default" else f"from {source}"
            lines.append(f"{name} = {_spell(loaded.value(leaf.path))}")
            lines.append(click.style(f"    {leaf.doc} ({where})", dim=True))
        lines.append("")
    return "\n".join(lines).strip()


def reference_page() -> str:
    """The page on every setting, in Markdown."""
    parts = ["# Settings", _ABOUT]
    for section, members in groupby(leaves(), key=lambda leaf: leaf.path.rpartition(".")[0]):
        rows = "\n".join(
            f"| `{leaf.path.rpartition('.')[2]}` | `{leaf.variable}`"
            f"{f' or `{leaf.file_variable}`' if leaf.file_variable else ''} | "
            f"`{_spell(leaf.default)}` | {leaf.doc} |"
            for leaf in members
        )
        about = Settings.model_fields[section].annotation.__doc__ if section else "Top level."
        parts.append(f"## `[{section}]`" if section else "## Top level")
        if section and about:
            parts.append(about)
        parts.append(f"| key | variable | default | what |\n|---|---|---|---|\n{rows}")
    return "\n\n".join(parts) + "\n"


def _spell(value: object) -> str:
    if value is None:
        return UNSET
    if isinstance(value, SecretStr):
        return HIDDEN
    return json.dumps(plain(value), ensure_ascii=False)

"""How the command line shows what it got: tables, documents, moments, and texts that others wrote.

What is shown is up to each verb. Colours are decided in `colours`, errors are told by `hivemind.cli.tell`.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from hivemind.cli import colours

Document = Mapping[str, Any]
Columns = Mapping[str, Callable[[Document], object]]

# Into a pipe, nothing is cut to the width of a terminal that is not there.
_PIPE_WIDTH = 400


def console() -> Console:
    """Standard output, with colours where they are wanted."""
    terminal, wanted = sys.stdout.isatty(), colours.wanted()
    return Console(
        force_terminal=terminal or wanted is True,
        color_system=None if wanted is False else "auto",
        width=None if terminal else _PIPE_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
    )


def say(document: object, told: str, *, as_json: bool) -> None:
    """A document for machines, or what is told of it to people."""
    click.echo(json.dumps(document, default=str) if as_json else told)


def show(rows: Sequence[Document], columns: Columns, nothing: str, *, as_json: bool = False) -> None:
    """The rows for machines; or a table, or what to say when there is nothing in it."""
    if as_json:
        click.echo(json.dumps(rows, default=str))
    elif rows:
        console().print(table(rows, columns))
    else:
        click.echo(nothing)


def table_text(rows: Sequence[Document], columns: Columns) -> str:
    """The table as text, where something else is told with it."""
    drawn = console()
    with drawn.capture() as captured:
        drawn.print(table(rows, columns))
    return captured.get().rstrip("\n")


def table(rows: Sequence[Document], columns: Columns) -> Table:
    """A row for each document; each column takes from it what it shows."""
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        drawn.add_column(name, overflow="fold")
    for row in rows:
        drawn.add_row(
            *("" if (value := take(row)) is None else safe(str(value)) for take in columns.values())
        )
    return drawn


def fields(document: Document) -> str:
    """A line for each field."""
    width = max(map(len, document), default=0)
    spelt = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for name, value in document.items()
    }
    return "\n".join(f"{name:<{width}}  {safe(text)}" for name, text in spelt.items())


def when(text: str | None) -> str:
    """A moment as people read it, in UTC."""
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S") if text else ""


def safe(text: str) -> str:
    """A text that models or others wrote, without what would command the terminal."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def first_line(text: str | None, width: int = 60) -> str:
    """The beginning of a text."""
    line = safe(text or "").strip().partition("\n")[0]
    return line if len(line) <= width else f"{line[: width - 1]}…"


def dollars(micros: int) -> str:
    """Money as people write it; amounts below a cent keep what they have."""
    if micros and abs(micros) < 10_000:
        return f"${micros / 1_000_000:.6f}".rstrip("0")
    return f"${micros / 1_000_000:,.2f}"

"""`hivemind guards`: the guards over texts, without a server: scan, explain, and replay over stored turns."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from hivemind.guards import Explanation, Reason

_STYLES = {"low": "cyan", "medium": "yellow", "high": "red", "critical": "bold red"}


@click.group()
def guards() -> None:
    """Run the guards over texts."""


@guards.command()
def scan() -> None:
    """Read JSON lines with `id` and `text`; write one line of findings for each."""
    # Here, because it compiles the rules.
    from hivemind.guards.scan import main  # noqa: PLC0415

    main()


@guards.command()
@click.argument("text", required=False)
@click.option("--threshold", type=click.FloatRange(0, 1, min_open=True), default=0.5, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def explain(text: str | None, threshold: float, as_json: bool) -> None:
    """Say what the guards do with TEXT, or with standard input, and why."""
    from hivemind.guards import Guards  # noqa: PLC0415
    from hivemind.guards import explain as judge  # noqa: PLC0415

    text = sys.stdin.read() if text is None else text
    why = judge(Guards.load(cache_folder()), text, threshold)
    if as_json:
        click.echo(json.dumps(asdict(why), ensure_ascii=False))
        return
    _show(text, why)


def cache_folder() -> Path:
    """Where compiled rules are kept for commands that have no data folder."""
    return Path.home() / ".cache" / "hivemind"


def _show(text: str, why: "Explanation") -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table as Rows  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    shown = Text(text)
    for reason in (*why.leaks, *why.reasons):
        shown.stylize(f"reverse {_STYLES[reason.severity]}", reason.start, reason.end)
    console.print(shown)
    console.print(
        f"\n[bold]{why.decision}[/bold]: score {why.score:.3f} against a threshold of {why.threshold:.3f}"
    )
    for title, reasons in (("as a message", why.reasons), ("as a reply", why.leaks)):
        if reasons:
            console.print(_table(Rows(title=title, title_justify="left"), reasons))
    for change in why.changes:
        console.print(Text(f"- {change}"))


def _table(table: "Table", reasons: "tuple[Reason, ...]") -> "Table":
    from rich.text import Text  # noqa: PLC0415

    for column in ("rule", "weight", "span", "what"):
        table.add_column(column)
    for reason in reasons:
        table.add_row(
            f"{reason.rule} v{reason.version}",
            f"{reason.weight:.3f}" if reason.weight else "",
            f"{reason.start}-{reason.end}",
            Text(f"read as: {reason.reading}" if reason.reading else reason.value),
        )
    return table

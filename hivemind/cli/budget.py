"""`hivemind budget`: each cap with a bar and the time at which it runs out, and what was spent lately."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hivemind.cli.examples import example
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, console, dollars

_ALL = 10_000
BAR_WIDTH = 24
_FULL, _HELD, _EMPTY = "█", "▒", "·"
_STYLES = ((1.0, "bold red"), (0.8, "yellow"), (0.0, "green"))


@click.command(epilog=example("hivemind budget"))
@options
def budget(url: str | None, as_json: bool) -> None:
    """Show the spending limits: spent, held, limit, and when each runs out. `caps` changes them."""
    operator = Operator.at(url)
    caps = operator.items("/api/v1/caps", _ALL)
    costs = operator.items("/api/v1/costs", _ALL, group_by="model")
    if as_json:
        click.echo(json.dumps({"caps": caps, "costs": costs}))
    else:
        console().print(draw(caps, costs, datetime.now(UTC)))


def draw(caps: Sequence[Document], costs: Sequence[Document], now: datetime) -> RenderableType:
    """A table of the caps, and below it what the models cost."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("cap", "spent", "held", "limit", ""):
        table.add_column(heading, justify="left" if heading in ("cap", "") else "right", no_wrap=True)
    table.add_column("runs out")
    for cap in caps:
        table.add_row(*_row(cap, now))
    spent = Text("\nLast 30 days: ")
    spent.append(dollars(sum(cost["cost_micros"] for cost in costs)), style="bold")
    spent.append(f" in {sum(cost['turns'] for cost in costs)} turns")
    models = [
        Text(f"  {cost['model']}  {dollars(cost['cost_micros'])}  {cost['turns']} turns")
        for cost in sorted(costs, key=lambda cost: -cost["cost_micros"])
    ]
    nothing = Text("There is no cap: nothing limits what is spent.", style="bold red")
    return Group(table if caps else nothing, spent, *models)


def _row(cap: Document, now: datetime) -> tuple[Text, ...]:
    name = Text(title(cap))
    limit = Text(dollars(cap["limit_micros"]))
    window = cap["window"]
    if window is None:
        return name, Text("-"), Text("-"), limit, Text("for each turn", style="dim"), Text("")
    spent, held = window["spent_micros"], window["reserved_micros"]
    shown = bar(spent, held, cap["limit_micros"])
    shown.append(f" {window['share']:>4.0%}")
    return name, Text(dollars(spent)), Text(dollars(held)), limit, shown, forecast(cap, now)


def title(cap: Document) -> str:
    """What the cap is for, shortly."""
    subject = {"": "", "*": "each "}.get(cap["subject"])
    whose = cap["scope"] if subject is not None else f"{cap['scope']} {cap['name'] or cap['subject']}"
    return f"{subject or ''}{whose} / {cap['period']}"


def bar(spent: int, held: int, limit: int) -> Text:
    """Spent, held and free as parts of a line; what is there at all is seen."""
    share = (spent + held) / limit if limit else float(spent + held > 0)
    style = next(style for least, style in _STYLES if share >= least)
    full = _cells(spent, limit)
    taken = max(full, _cells(spent + held, limit))
    text = Text(_FULL * full, style=style)
    text.append(_HELD * (taken - full), style=style)
    text.append(_EMPTY * (BAR_WIDTH - taken), style="dim")
    return text


def forecast(cap: Document, now: datetime) -> Text:
    """When the money is gone, or that it lasts; and what a soft share that is reached means."""
    window = cap["window"]
    at = window["runs_out_at"]
    if at is None:
        text = Text("lasts", style="dim")
    else:
        moment = datetime.fromisoformat(at)
        gone = moment <= now
        text = Text("used up" if gone else _when(moment, now), style="bold red" if gone else "yellow")
    if window["soft_reached"]:
        told = {"warn": "soft share reached", "cheaper": "cheaper model", "ask": "waits for a person"}
        acknowledged = window["acknowledged_until"]
        if cap["on_soft"] == "ask" and acknowledged and datetime.fromisoformat(acknowledged) > now:
            told["ask"] = "acknowledged"
        at = window["soft_at"]
        since = f" since {_when(datetime.fromisoformat(at), now)}" if at else ""
        text.append(f"  ({told[cap['on_soft']]}{since})", style="yellow")
    return text


def _when(moment: datetime, now: datetime) -> str:
    return moment.strftime("%H:%M UTC" if moment.date() == now.date() else "%d %b %H:%M UTC")


def _cells(amount: int, limit: int) -> int:
    if amount <= 0:
        return 0
    return BAR_WIDTH if amount >= limit else max(1, amount * BAR_WIDTH // limit)

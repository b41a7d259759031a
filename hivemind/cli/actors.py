"""`hivemind actors`: the tree of actors as the server tells it, drawn once or live."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

import click
import trio
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from hivemind.cli import remote
from hivemind.cli.examples import example
from hivemind.cli.operator import Operator
from hivemind.cli.output import console, say
from hivemind.errors import Unreachable
from hivemind.outbound import HttpClient
from hivemind.settings_load import load

Node = Mapping[str, object]
FORMS = ("text", "json", "dot")
DEEDS = ("restart", "stop", "suspend", "resume")

_STATE_STYLES = {"up": "green", "idle": "green", "failed": "bold red", "killed": "red", "stopped": "dim"}
_OTHER_STATE_STYLE = "yellow"


@click.command(
    epilog=example(
        "hivemind actors /agents --once",
        'hivemind actors /workers/watchdog --do restart --reason "looks stuck"',
    )
)
@click.option("--url", help="The server; by default the one of the settings.")
@click.option("--once", is_flag=True, help="Print the tree once and leave.")
@click.option("--json", "as_json", is_flag=True, help="Print the tree once, for machines.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "dot"]),
    default="text",
    show_default=True,
    help="json: every look is a line.",
)
@click.option(
    "--every",
    "every_seconds",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option(
    "--do",
    "deed",
    type=click.Choice(["restart", "stop", "suspend", "resume"]),
    help="Act on the actor at ADDRESS.",
)
@click.option("--reason", default="", help="Why; it goes into the audit log.")
@click.argument("address", required=False)
def actors(
    url: str | None,
    once: bool,
    as_json: bool,
    form: str,
    every_seconds: float,
    deed: str | None,
    reason: str,
    address: str | None,
) -> None:
    """Show the live tree of actors, or the part of it below ADDRESS. Ctrl-C leaves.

    With --format json every look is one line; --format dot is for Graphviz.
    """
    settings = load().settings
    key, base = remote.api_key(settings), remote.address(settings, url)
    path = f"/api/v1/actors/{address.strip('/')}" if address else "/api/v1/actors"
    if deed is not None:
        if not address:
            raise click.UsageError("--do needs the ADDRESS of an actor")
        told = Operator(base, key).ask("POST", f"{path}/{deed}", {"reason": reason})
        say(told, f"{told['address']} is {told['state']}", as_json=as_json)
        return
    if as_json:
        form, once = "json", True
    once = once or form == "dot" or (form == "text" and not sys.stdout.isatty())
    with suppress(KeyboardInterrupt):
        trio.run(_show, Source(base, path, key), None if once else every_seconds, form)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the tree is asked for, and the key that opens it."""

    base: str
    path: str
    api_key: str = field(repr=False)

    async def look(self, client: HttpClient) -> Node:
        """The tree at this moment."""
        status, document = await remote.get(client, self.base, self.path, api_key=self.api_key)
        error = remote.error_of(document)
        if error is not None and status == 401:
            raise remote.not_accepted(self.base)
        if error is not None:
            raise error
        return cast("Node", document.get("tree") or document.get("actor") or {})


async def _show(source: Source, every_seconds: float | None, form: str) -> None:
    async with HttpClient(max_connections=1) as client:
        if form == "dot":
            click.echo(dot(await source.look(client)), nl=False)
            return
        if form == "json":
            while True:
                click.echo(json.dumps(await source.look(client)))
                if every_seconds is None:
                    return
                await trio.sleep(every_seconds)
        # The first look may fail for good; later ones wait for the server to come back.
        node = await source.look(client)
        if every_seconds is None:
            console().print(draw(node))
            return
        with Live(draw(node), console=console(), screen=True, auto_refresh=False) as live:
            while True:
                await trio.sleep(every_seconds)
                try:
                    node = await source.look(client)
                    live.update(draw(node), refresh=True)
                except Unreachable as error:
                    lost = Text(f"{error.message}; looking again", style="bold red")
                    live.update(Group(lost, draw(node)), refresh=True)


def dot(node: Node) -> str:
    """The tree in Graphviz's language."""
    lines = [
        "digraph hivemind {",
        "  rankdir=LR;",
        '  node [shape=box, style=rounded, fontname="sans-serif"];',
    ]
    _dot(lines, node)
    return "\n".join([*lines, "}", ""])


def _dot(lines: list[str], node: Node) -> None:
    address, state = str(node.get("address")), str(node.get("state"))
    colour = {"up": "darkgreen", "idle": "darkgreen", "failed": "red"}.get(state, "orange")
    label = f"{address.rpartition('/')[2] or '/'}\\n{state}"
    lines.append(f'  "{address}" [label="{label}", color={colour}];')
    for child in cast("Sequence[Node]", node.get("children") or ()):
        lines.append(f'  "{address}" -> "{child.get("address")}";')
        _dot(lines, child)


def draw(node: Node) -> RenderableType:
    """The tree, an actor a line, with what went wrong below the actor it happened to."""
    tree = Tree(_line(node), guide_style="dim")
    _grow(tree, node)
    return tree


def _grow(tree: Tree, node: Node) -> None:
    for child in cast("Sequence[Node]", node.get("children") or ()):
        _grow(tree.add(_line(child)), child)


def _line(node: Node) -> Text:
    address = str(node.get("address", "?"))
    state = str(node.get("state", "?"))
    line = Text(address.rstrip("/").rpartition("/")[2] or "/", style="bold")
    line.append(f"  {state}", style=_STATE_STYLES.get(state, _OTHER_STATE_STYLE))
    for text, style in _details(node):
        line.append(text, style=style)
    return line


def _details(node: Node) -> Iterator[tuple[str, str]]:
    age = node.get("age_seconds")
    if isinstance(age, int | float):
        yield f"  {span(age)}", "dim"
    mailbox = node.get("mailbox")
    if isinstance(mailbox, dict) and (mailbox.get("length") or mailbox.get("high_water")):
        limit = f"/{mailbox['limit']}" if mailbox.get("limit") else ""
        yield f"  mail {mailbox.get('length')}{limit} (high {mailbox.get('high_water')})", "cyan"
    if node.get("handled"):
        yield f"  handled {node['handled']}", "dim"
    in_hand = node.get("in_hand")
    if isinstance(in_hand, dict):
        yield f"  in hand {in_hand.get('message')} {span(in_hand.get('age_seconds'))}", "magenta"
    if node.get("restarts"):
        yield f"  restarts {node['restarts']}", "yellow"
    facts = node.get("facts")
    if isinstance(facts, dict):
        for name, value in facts.items():
            if value is not None:
                yield f"  {name}={value}", "dim"
    last = node.get("last_exit")
    if isinstance(last, dict) and last.get("error"):
        yield f"\n  last error: {last['error']} ({last.get('reason')})", "red"


def span(seconds: object) -> str:
    """A duration in the largest unit that says enough."""
    if not isinstance(seconds, int | float):
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"

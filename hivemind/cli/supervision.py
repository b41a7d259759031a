"""`hivemind supervision`: the policy by which actors are restarted, and changing it while the server runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from hivemind.cli import values
from hivemind.cli.examples import example
from hivemind.cli.listing import Listing
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, say

PATH = "/api/v1/supervision"


@click.group(cls=Listing)
def supervision() -> None:
    """See and change how actors are restarted. Without a verb it shows what was set."""


@supervision.command("show", epilog=example("hivemind supervision show /workers/watchdog"))
@click.argument("address", required=False)
@options
def show_(url: str | None, as_json: bool, address: str | None = None) -> None:
    """Print what the settings say and what was changed since; of ADDRESS, each value with its source."""
    query = f"?{urlencode({'address': address})}" if address else ""
    found = Operator.at(url).ask("GET", PATH + query)
    say(found, _of_actor(found) if address else _of_all(found), as_json=as_json)


@supervision.command("set", epilog=example("hivemind supervision set agents --set max_restarts=10"))
@click.argument("section")
@values.options
@options
def set_(section: str, given: tuple[str, ...], path: Path | None, url: str | None, as_json: bool) -> None:
    """Change the policy of SECTION, a kind or an address, until the next start; null takes a change back."""
    changed = Operator.at(url).ask("PATCH", PATH, {section: values.read_some(given, path)})
    say(changed, _of_all(changed), as_json=as_json)


def _of_all(found: Document) -> str:
    lines = []
    for name in ("settings", "changes"):
        lines.append(f"[{name}]")
        sections: Mapping[str, Any] = found[name]
        lines += [
            f"{section}.{key} = {value}" for section, part in sections.items() for key, value in part.items()
        ] or ["(none)"]
    return "\n".join([*lines, f"kinds: {', '.join(found['kinds'])}"])


def _of_actor(found: Document) -> str:
    policy: Mapping[str, Any] = found["actor"]["policy"]
    return "\n".join(f"{name} = {each['value']}  ({each['source']})" for name, each in policy.items())

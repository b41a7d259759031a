"""`hivemind health`: whether a running server says that it can do its work; `doctor` looks around it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click
import trio

from hivemind.cli import exits, remote
from hivemind.cli.examples import example
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, safe, say, show, when
from hivemind.outbound import HttpClient
from hivemind.settings_load import load

_MOST = 10_000
_MARKS = {"ok": "ok  ", "degraded": "warn", "down": "FAIL"}


@click.command(epilog=example("hivemind health", "hivemind health --history 7"))
@click.option(
    "--history", type=click.IntRange(1, 30), metavar="DAYS", help="Print what changed; needs a key."
)
@options
def health(url: str | None, as_json: bool, history: int | None) -> int:
    """Ask the running server for its health; needs no key. Exit code 1 when it is down."""
    if history is not None:
        _tell_history(url, history, as_json=as_json)
        return exits.OK
    base = remote.address(load().settings, url)

    async def ask() -> dict[str, object]:
        async with HttpClient(max_connections=1) as client:
            return dict((await remote.get(client, base, "/api/v1/health"))[1])

    found = trio.run(ask)
    lines = [f"{found.get('status')}  {found.get('version', '')}"]
    checks = found.get("checks")
    for name, check in checks.items() if isinstance(checks, dict) else ():
        lines.append(f"{_MARKS.get(check['status'], '?   ')} {name}  {safe(check.get('message') or '')}")
        if check.get("remedy"):
            lines.append(f"     next: {safe(check['remedy'])}")
    say(found, "\n".join(lines), as_json=as_json)
    return exits.FAILED if found.get("status") == "down" else exits.OK


def _tell_history(url: str | None, days: int, *, as_json: bool) -> None:
    since = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    rows = Operator.at(url).items("/api/v1/health/history", _MOST, since=since)
    columns = {
        "when": lambda row: when(row["at"]),
        "what": lambda row: row["name"],
        "state": lambda row: row["status"],
        "why": lambda row: row["message"],
        "next": lambda row: row["remedy"],
    }
    told = rows if as_json else list(_changes(rows))
    nothing = (
        f"Nothing changed in {len(rows)} looks."
        if rows
        else "Nobody has looked yet: the server does every five minutes."
    )
    show(told, columns, nothing, as_json=as_json)


def _changes(newest_first: list[Document]) -> Iterator[Document]:
    """Each check where it turned, oldest first."""
    known: dict[str, str] = {}
    for row in reversed(newest_first):
        for name, check in row["checks"].items():
            if check["status"] != known.get(name, "ok"):
                yield {"message": None, "remedy": None, **check, "at": row["at"], "name": name}
            known[name] = check["status"]

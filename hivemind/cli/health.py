"""`hivemind health`: whether a running server says that it can do its work; `doctor` looks around it."""

import click
import trio

from hivemind.cli import exits, remote
from hivemind.cli.examples import example
from hivemind.cli.operator import options
from hivemind.cli.output import safe, say
from hivemind.outbound import HttpClient
from hivemind.settings_load import load

_MARKS = {"ok": "ok  ", "degraded": "warn", "down": "FAIL"}


@click.command(epilog=example("hivemind health --url https://chat.example.org"))
@options
def health(url: str | None, as_json: bool) -> int:
    """Ask the running server for its health; needs no key. Exit code 1 when it is down."""
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

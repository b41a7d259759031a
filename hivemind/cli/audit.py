"""`hivemind audit`: list, export, verify and erase, and the keys behind it.

Reads a running server, or the database itself; a file that was exported before is verified without either.
"""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Literal, TextIO
from urllib.parse import urlencode
from uuid import UUID

import click
import trio

from hivemind import keyfiles
from hivemind.audit import HEADS_FILE, Action, Filter, HeadKey, lines, record
from hivemind.audit.chain import Report, Verifier
from hivemind.audit.signature import Head
from hivemind.cli import exits, stored
from hivemind.cli.conversations import told_of
from hivemind.cli.examples import example
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, first_line, say, show
from hivemind.errors import ConfigError
from hivemind.settings import Settings
from hivemind.settings_load import load

PATH = "/api/v1/agent-chat/audit"
FILTERS = (
    "since",
    "until",
    "profile",
    "agent",
    "turn",
    "caller",
    "action",
    "verdict",
    "code",
    "rule",
    "text",
)
_SHOWN_PROBLEMS = 20


def _filtered(command: click.decorators.FC) -> click.decorators.FC:
    for name in reversed(FILTERS):
        command = click.option(f"--{name}", help=f"Only rows with this {name}.")(command)
    return click.option("--url", help="The server; by default the one of the settings.")(command)


@click.group()
def audit() -> None:
    """Read, verify and export the audit log: what was done, by whom, and whether the log is whole."""


@audit.command("list", epilog=example("hivemind audit list --action 'chat:*' --verdict refused"))
@_filtered
@click.option("--limit", default=50, show_default=True, help="How many.")
@click.option("--cursor", help="Go on after this page.")
@click.option("--json", "as_json", is_flag=True, help="The page as the server sends it.")
def list_(url: str | None, limit: int, cursor: str | None, as_json: bool, **filters: str | None) -> None:
    """Print the newest rows."""
    page = Operator.at(url).ask("GET", _path(PATH, {"limit": str(limit), "cursor": cursor, **filters}))
    if as_json:
        click.echo(json.dumps(page))
        return
    names = ("seq", "at", "action", "profile", "caller")
    columns: dict[str, Callable[[Document], object]] = {name: partial(_cell, name) for name in names}
    columns |= {"verdict": _verdict, "text": partial(_cell, "text")}
    show(page["items"], columns, "There is no such row.")
    if page.get("next_cursor"):
        click.echo(f"more: --cursor {page['next_cursor']}", err=True)


@audit.command(epilog=example("hivemind audit export -o audit.jsonl"))
@_filtered
@click.option("--output", "-o", type=click.File("w", encoding="utf-8"), default="-", help="Where to.")
def export(url: str | None, output: TextIO, **filters: str | None) -> None:
    """Write the log as lines of JSON, oldest first. Without filters the result can be verified offline."""
    trio.run(_export, url, _path(PATH, filters), output)


@audit.command(epilog=example("hivemind audit verify audit.jsonl"))
@click.argument("file", required=False, type=click.File("r", encoding="utf-8"))
@click.option("--url", help="The server; by default the one of the settings.")
@click.option("--database", "direct", is_flag=True, help="Read the database itself: no server is needed.")
@click.option(
    "--public-key", "public_keys", multiple=True, help="In hex; by default those of this installation."
)
@click.option("--heads", type=click.Path(path_type=Path), help="Signed heads kept outside of the database.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def verify(
    file: TextIO | None,
    url: str | None,
    direct: bool,
    public_keys: tuple[str, ...],
    heads: Path | None,
    as_json: bool,
) -> int:
    """Check every hash, link and signature, of the server's log or of an exported FILE."""
    settings = load().settings
    if public_keys:
        keys = [_public(text) for text in public_keys]
    else:
        folder = settings.data.secrets_folder
        keys = [
            HeadKey(keyfiles.read_audit_key(folder)).public,
            *keyfiles.read_former_audit_keys(folder),
        ]
    verifier = Verifier(keys)
    if file is not None:
        for line in file:
            verifier.line(line)
    else:
        if direct:
            trio.run(_feed_directly, settings, verifier)
        else:
            trio.run(_feed, url, verifier)
        heads = heads or settings.data.folder / HEADS_FILE
    report = verifier.finish(anchors=_anchors(heads))
    say(_as_dict(report), _told(report), as_json=as_json)
    return exits.FAILED if report.problems else exits.OK


@audit.command(epilog=example("hivemind audit erase 01a20fc0-bb55-715d-a5d5-b3f91b1e1392 --yes"))
@click.argument("conversation_id", type=click.UUID)
@options
@click.confirmation_option(prompt="What was said in it cannot be brought back. Erase it?")
def erase(conversation_id: UUID, url: str | None, as_json: bool) -> None:
    """Remove what was said in a conversation; its costs and the chain stay."""
    told_of(Operator.at(url).ask("DELETE", f"/api/v1/conversations/{conversation_id}"), as_json=as_json)


@audit.command("public-key", epilog=example("hivemind audit public-key"))
def public_key() -> None:
    """Print the key that verifies this installation's signatures."""
    click.echo(HeadKey(keyfiles.read_audit_key(load().settings.data.secrets_folder)).public.hex())


@audit.command("rotate-key", epilog=example("hivemind audit rotate-key caller"))
@click.argument("key", type=click.Choice(["caller", "signing"]), default="caller")
def rotate_key(key: Literal["caller", "signing"]) -> None:
    r"""Make a new key, which counts from the next start of the server.

    \b
    caller   hashes addresses. Rows of before and after can then not be linked by caller: the former key
             is destroyed.
    signing  signs the end of the log. The former one's public part is kept, and verifies what it signed.
    """
    trio.run(_rotate, load().settings, key)
    click.echo(f"made a new {key} key: restart the server to use it")


async def _rotate(settings: Settings, key: Literal["caller", "signing"]) -> None:
    """Nothing is rotated that the log could not be told of."""
    folder = settings.data.secrets_folder
    async with stored.opened(settings) as database:
        detail: dict[str, object] = {"key": key, "by": "command line"}
        if key == "caller":
            await record(database, Action.KEY_ROTATED, detail=detail)
            keyfiles.rotate_caller_key(folder)
            return
        former = HeadKey(keyfiles.read_audit_key(folder))
        await record(database, Action.KEY_ROTATED, detail={**detail, "former": former.key_id})
        keyfiles.rotate_audit_key(folder, former.public)


def _path(path: str, query: Mapping[str, str | None]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


async def _lines(url: str | None, path: str) -> AsyncGenerator[str, None]:
    rest = b""
    async with aclosing(Operator.at(url).pieces(path, "application/x-ndjson")) as chunks:
        async for chunk in chunks:
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line.decode()


async def _export(url: str | None, path: str, output: TextIO) -> None:
    async with aclosing(_lines(url, path)) as lines:
        async for line in lines:
            output.write(line + "\n")


async def _feed(url: str | None, verifier: Verifier) -> None:
    async with aclosing(_lines(url, PATH)) as lines:
        async for line in lines:
            verifier.line(line)


async def _feed_directly(settings: Settings, verifier: Verifier) -> None:
    async with stored.opened(settings) as database, aclosing(lines(database, Filter())) as batches:
        async for batch in batches:
            for line in batch:
                verifier.line(line)


def _public(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigError(
            f"{text!r} is not a public key", remedy="take what `hivemind audit public-key` prints"
        )
    return key


def _anchors(path: Path | None) -> list[Head]:
    if path is None or not path.exists():
        return []
    return [Head(**json.loads(line)) for line in path.read_text("ascii").splitlines()]


def _as_dict(report: Report) -> dict[str, object]:
    problems = [{"seq": problem.seq, "what": problem.what} for problem in report.problems]
    return {
        "whole": not problems,
        "rows": report.rows,
        "erased": report.erased,
        "heads": report.heads,
        "signed_seq": report.signed_seq,
        "signed_at": report.signed_at,
        "unsealed": report.unsealed,
        "problems": problems,
    }


def _told(report: Report) -> str:
    said = []
    for problem in report.problems[:_SHOWN_PROBLEMS]:
        where = "the log" if problem.seq is None else f"row {problem.seq}"
        said.append(f"{where}: {problem.what}")
    if len(report.problems) > _SHOWN_PROBLEMS:
        said.append(f"and {len(report.problems) - _SHOWN_PROBLEMS} more")
    after = report.last_seq - report.signed_seq
    signed = (
        f"signed up to row {report.signed_seq} ({report.signed_at})" if report.signed_at else "not signed"
    )
    said.append(
        f"{report.rows} rows ({report.erased} of them erased), {report.heads} heads, {signed}, "
        f"{after} rows after that, {report.unsealed} not sealed yet"
    )
    said.append("the log is NOT whole" if report.problems else "the log is whole")
    return "\n".join(said)


def _cell(name: str, item: Document) -> str:
    value = item.get(name)
    return "" if value is None else first_line(str(value), 80)


def _verdict(item: Document) -> str:
    detail = item.get("detail")
    if not isinstance(detail, dict):
        return "erased"
    found = detail.get("findings")
    rules = ", ".join(str(finding.get("rule")) for finding in found) if isinstance(found, list) else ""
    return str(detail.get("code") or detail.get("error") or rules)[:60]

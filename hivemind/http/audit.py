"""The audit log over HTTP: filtered pages in the order of the chain, or the export as a stream of lines."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

from quart import Blueprint, Response, request

from hivemind.audit import Filter, Verdict, chain, lines, page
from hivemind.errors import InvalidRequest
from hivemind.http import paging
from hivemind.http.bodies import answer
from hivemind.persistence import Database, Row

NDJSON = "application/x-ndjson"
FILTERS = tuple(name for name in Filter.__dataclass_fields__)
_OTHERS = ("limit", "cursor", "order")


def routes(database: Database) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("audit", __name__)

    @blueprint.get("/api/v1/agent-chat/audit")
    async def read_audit() -> Response:
        wanted = filter_of(request.args)
        if NDJSON in request.headers.get("Accept", ""):
            return Response(_bytes(database, wanted), 200, content_type=NDJSON)
        asked = paging.asked(request.args, int)
        order = request.args.get("order", "newest")
        if order not in ("newest", "oldest"):
            raise InvalidRequest("order must be newest or oldest")
        after = int(str(asked.after[0])) if asked.after else None
        rows = await page(database, wanted, after=after, fetch=asked.fetch, newest_first=order == "newest")
        return answer(asked.reply(rows, lambda row: (row["seq"],), _item))

    @blueprint.get("/api/v1/agent-chat/audit/chain")
    async def read_chain() -> Response:
        return answer({"chain": await chain(database)})

    return blueprint


def filter_of(arguments: Mapping[str, str]) -> Filter:
    """The filter in a query string.

    Raises:
        InvalidRequest: a name is not known, or a value is not of its kind.
    """
    values: dict[str, Any] = {}
    for name, text in arguments.items():
        if name in _OTHERS:
            continue
        if name not in FILTERS:
            raise InvalidRequest(f"There is no filter {name[:80]!r}", remedy=f"use {', '.join(FILTERS)}")
        if "\0" in text:
            raise InvalidRequest(f"{name} holds a NUL character")
        values[name] = _value(name, text)
    return Filter(**values)


def _value(name: str, text: str) -> object:
    try:
        if name in ("since", "until"):
            # A plus sign that a client did not escape arrives as a space.
            at = datetime.fromisoformat(text.replace(" ", "+"))
            if at.tzinfo is None:
                raise InvalidRequest(f"{name} needs a time zone, as in 2026-11-24T00:00:00Z")
            return at
        if name in ("profile_id", "agent", "turn"):
            return UUID(text)
    except ValueError as error:
        raise InvalidRequest(f"{name} cannot be read: {error}") from None
    if name == "verdict" and text not in get_args(Verdict):
        raise InvalidRequest(f"verdict must be one of {', '.join(get_args(Verdict))}")
    return text


def _item(row: Row) -> dict[str, object]:
    return dict(row)


async def _bytes(database: Database, wanted: Filter) -> AsyncGenerator[bytes, None]:
    async with aclosing(lines(database, wanted)) as batches:
        async for batch in batches:
            if batch:
                yield ("\n".join(batch) + "\n").encode()

"""Read the audit log: filters, pages in the order of the chain, and the export as lines."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from hivemind.audit.log import seal
from hivemind.persistence import Database, Row, load_queries

Verdict = Literal["refused", "found", "clean"]
BATCH_ROWS = 1_000

_QUERIES = load_queries("hivemind.audit", "queries.sql")
_CONDITIONS: Mapping[str, str] = {
    "since": "a.at >= %(since)s",
    "until": "a.at < %(until)s",
    "profile_id": "a.profile_id = %(profile_id)s",
    "profile": "a.profile_id = (select id from agent_profiles where slug = %(profile)s)",
    "agent": "a.agent_id = %(agent)s",
    "turn": "a.turn_id = %(turn)s",
    "caller": "a.caller = %(caller)s",
    "action": "a.action like %(action)s",
    "code": "coalesce(a.detail->>'code', a.detail->>'error') = %(code)s",
    "rule": "a.detail->'findings' @> jsonb_build_array(jsonb_build_object('rule', %(rule)s::text))",
    "text": "(a.text ilike %(text)s or a.detail::text ilike %(text)s)",
}
_VERDICTS: Mapping[Verdict, str] = {
    "refused": "a.action like '%%:refused'",
    "found": "jsonb_array_length(a.detail->'findings') > 0",
    "clean": "a.detail->'findings' = '[]'",
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What rows are wanted; a field that is None takes them all. `action` may end in `*`."""

    since: datetime | None = None
    until: datetime | None = None
    profile: str | None = None
    profile_id: UUID | None = None
    agent: UUID | None = None
    turn: UUID | None = None
    caller: str | None = None
    action: str | None = None
    verdict: Verdict | None = None
    code: str | None = None
    rule: str | None = None
    text: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it takes the whole log, which alone can be verified."""
        return self == Filter()

    def where(self) -> tuple[str, dict[str, object]]:
        """Conditions and their parameters."""
        values: dict[str, object] = {
            name: value for name in _CONDITIONS if (value := getattr(self, name)) is not None
        }
        parts = [_CONDITIONS[name] for name in values]
        if self.verdict is not None:
            parts.append(_VERDICTS[self.verdict])
        if self.action is not None:
            literal = _literal(self.action.removesuffix("*"))
            values["action"] = literal + "%" if self.action.endswith("*") else literal
        if self.text is not None:
            values["text"] = f"%{_literal(self.text)}%"
        return "".join(f" and {part}" for part in parts), values


async def page(
    database: Database, wanted: Filter, *, after: int | None, fetch: int, newest_first: bool
) -> list[Row]:
    """Rows in the order of the chain, or against it; what was committed before the call is in it."""
    if after is None:
        await seal(database)
    where, values = wanted.where()
    if after is not None:
        where += f" and a.seq {'<' if newest_first else '>'} %(after)s"
        values["after"] = after
    sql = _QUERIES["page"].format(where=where, order="desc" if newest_first else "asc")
    return await database.fetch_all(sql, {**values, "fetch": fetch}, repeatable=True)


async def chain(database: Database) -> Row:
    """How far the chain goes, how many rows are not part of it yet, and its last signed head."""
    row = await database.fetch_one(_QUERIES["chain"], repeatable=True)
    assert row is not None
    return row


async def lines(database: Database, wanted: Filter) -> AsyncGenerator[list[str], None]:
    """The export up to the row that is the last one now, some lines at a time, and a line that ends it.

    The signed heads stand behind their rows where the whole log is exported.
    """
    last = (await seal(database)).seq
    where, values = wanted.where()
    sql = _QUERIES["export"].format(where=f"{where} and a.seq > %(after)s and a.seq <= %(last)s")
    after = 0
    while after < last:
        asked = {**values, "after": after, "last": last, "fetch": BATCH_ROWS}
        rows = await database.fetch_all(sql, asked, repeatable=True)
        upto = rows[-1]["seq"] if len(rows) == BATCH_ROWS else last
        told = [(row["seq"], 0, row["line"]) for row in rows]
        if wanted.is_whole:
            heads = await database.fetch_all(_QUERIES["heads"], (after, upto), repeatable=True)
            told += [(head["seq"], 1, head["line"]) for head in heads]
        yield [line for _, _, line in sorted(told)]
        after = upto
    if wanted.is_whole:
        # A head of a row that is not there any more: the verifier has to see it.
        beyond = await database.fetch_all(_QUERIES["heads"], (last, 2**63 - 1), repeatable=True)
        yield [head["line"] for head in beyond]
    end = await database.fetch_one(_QUERIES["end"], repeatable=True)
    assert end is not None
    yield [f'{{"kind": "end", "seq": {last}, "unsealed": {end["unsealed"]}}}']


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")

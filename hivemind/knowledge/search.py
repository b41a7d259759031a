"""Passages found by their words, the best first, each in the language of its document."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from hivemind.persistence import Database, load_queries

MAX_PASSAGES = 20
_QUERIES = load_queries("hivemind.knowledge", "queries.sql")


@dataclass(frozen=True, slots=True)
class Found:
    """A passage with the document that it is of."""

    id: int
    document_id: UUID
    number: int
    title: str
    source: str | None
    text: str
    rank: float


async def search(
    database: Database, query: str, *, collections: Sequence[str] | None = None, limit: int = 5
) -> list[Found]:
    """Passages with all the words of a query; where there are none, those with at least a third of them.

    The query is written as for a search engine ("exact words", or, -without). None of `collections` is all.
    """
    params = {
        "query": query,
        "collections": list(collections) if collections is not None else None,
        "limit": min(limit, MAX_PASSAGES),
    }
    rows = await database.fetch_all(_QUERIES["search_all"], params, repeatable=True)
    if not rows:
        rows = await database.fetch_all(_QUERIES["search_some"], params, repeatable=True)
    return [Found(**row) for row in rows]


async def passage(database: Database, passage_id: int) -> Found | None:
    """The passage that a citation names."""
    row = await database.fetch_one(_QUERIES["passage"], (passage_id,), repeatable=True)
    return Found(**row) if row is not None else None

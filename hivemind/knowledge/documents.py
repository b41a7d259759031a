"""Documents as they are stored: whole, and in passages that follow every change in the same transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import trio
from uuid_utils.compat import uuid7

from hivemind.errors import InvalidFields, NotFound
from hivemind.knowledge.passages import split
from hivemind.persistence import Database, Jsonb, Transaction, load_queries

_QUERIES = load_queries("hivemind.knowledge", "queries.sql")


@dataclass(frozen=True, slots=True)
class Draft:
    """A document that is to be stored; `language` names one of Postgres's text search configurations."""

    title: str
    text: str
    collection: str = "default"
    language: str = "english"
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document without its text."""

    id: UUID
    collection: str
    title: str
    source: str | None
    language: str
    chars: int
    passages: int
    created_at: datetime
    updated_at: datetime


async def create(database: Database, draft: Draft, *, by: str) -> Document:
    """Store a document.

    Raises:
        InvalidFields: Postgres does not know the language.
    """
    return await _store(database, uuid7(), draft, "knowledge_created", by)


async def replace(database: Database, document_id: UUID, draft: Draft, *, by: str) -> Document:
    """Store another text under the same id; its passages are new ones.

    Raises:
        InvalidFields: Postgres does not know the language.
        NotFound: there is no such document.
    """
    return await _store(database, document_id, draft, "knowledge_changed", by)


async def delete(database: Database, document_id: UUID, *, by: str) -> None:
    """Remove a document with its passages.

    Raises:
        NotFound: there is no such document.
    """
    async with database.transaction() as transaction:
        row = await transaction.fetch_one(_QUERIES["delete_document"], (document_id,))
        if row is None:
            raise _missing()
        await _audit(transaction, "knowledge_deleted", document_id, row["title"], by)


async def documents(
    database: Database, *, collection: str | None, after: UUID | None, limit: int
) -> list[Document]:
    """Documents by id, which is by age."""
    params = {"collection": collection, "after": after, "limit": limit}
    rows = await database.fetch_all(_QUERIES["documents"], params, repeatable=True)
    return [Document(**row) for row in rows]


async def document(database: Database, document_id: UUID) -> tuple[Document, str]:
    """One document and its text.

    Raises:
        NotFound: there is no such document.
    """
    row = await database.fetch_one(_QUERIES["document"], (document_id,), repeatable=True)
    if row is None:
        raise _missing()
    fields: dict[str, Any] = dict(row)
    text: str = fields.pop("text")
    return Document(**fields), text


async def _store(database: Database, document_id: UUID, draft: Draft, action: str, by: str) -> Document:
    text = draft.text.replace("\r\n", "\n").replace("\r", "\n")
    title = " ".join(draft.title.split())
    cut = await trio.to_thread.run_sync(split, text)
    fields: Mapping[str, object] = {
        "id": document_id,
        "collection": draft.collection,
        "title": title,
        "source": draft.source,
        "language": draft.language,
        "text": text,
    }
    async with database.transaction() as transaction:
        if await transaction.fetch_one(_QUERIES["language"], (draft.language,)) is None:
            raise InvalidFields(
                "Missing or wrong: language",
                fields=(("language", "is the name of a text search configuration of Postgres"),),
            )
        statement = "insert_document" if action == "knowledge_created" else "update_document"
        if await transaction.fetch_one(_QUERIES[statement], fields) is None:
            raise _missing()
        await transaction.execute(_QUERIES["delete_passages"], (document_id,))
        await transaction.execute(
            _QUERIES["insert_passages"],
            {
                **fields,
                "starts": [passage.starts_at for passage in cut],
                "texts": [passage.text for passage in cut],
            },
        )
        await _audit(transaction, action, document_id, title, by)
    return (await document(database, document_id))[0]


async def _audit(transaction: Transaction, action: str, document_id: UUID, title: str, by: str) -> None:
    detail = Jsonb({"document": str(document_id), "title": title, "by": by})
    await transaction.execute(_QUERIES[action], (detail,))


def _missing() -> NotFound:
    return NotFound("There is no such document")

"""`/api/v1/knowledge`: the documents that agents search, and what a search of them finds."""

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from quart import Blueprint, Response, request

from hivemind import knowledge
from hivemind.errors import InvalidFields, NotFound
from hivemind.http import bodies, paging
from hivemind.http.access import identity
from hivemind.http.bodies import answer
from hivemind.knowledge import Draft
from hivemind.persistence import Database

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
MAX_QUERY_CHARS = 1_000


class DocumentBody(BaseModel):
    """A document as it is sent, whole."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: Title
    text: str = Field(min_length=1)
    collection: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    language: str = Field(default="english", pattern=r"^[a-z_]{1,63}$")
    source: str | None = Field(default=None, max_length=2_000)


def routes(database: Database) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("knowledge", __name__)

    @blueprint.get("/api/v1/knowledge")
    async def list_documents() -> Response:
        page = paging.asked(request.args, UUID)
        after = page.after[0] if page.after else None
        assert after is None or isinstance(after, UUID)
        found = await knowledge.documents(
            database, collection=request.args.get("collection"), after=after, limit=page.fetch
        )
        return answer(page.reply(found, lambda document: (document.id,), asdict))

    @blueprint.post("/api/v1/knowledge")
    async def create_document() -> Response:
        made = await knowledge.create(database, await _draft(), by=identity().by)
        return answer({"document": asdict(made)}, 201)

    @blueprint.get("/api/v1/knowledge/<uuid:document_id>")
    async def read_document(document_id: UUID) -> Response:
        document, text = await knowledge.document(database, document_id)
        return answer({"document": {**asdict(document), "text": text}})

    @blueprint.put("/api/v1/knowledge/<uuid:document_id>")
    async def replace_document(document_id: UUID) -> Response:
        made = await knowledge.replace(database, document_id, await _draft(), by=identity().by)
        return answer({"document": asdict(made)})

    @blueprint.delete("/api/v1/knowledge/<uuid:document_id>")
    async def delete_document(document_id: UUID) -> Response:
        await knowledge.delete(database, document_id, by=identity().by)
        return Response(b"", 204)

    @blueprint.get("/api/v1/knowledge/search")
    async def search_documents() -> Response:
        query = request.args.get("query", "").strip()
        if not query or len(query) > MAX_QUERY_CHARS or "\0" in query:
            problem = f"has to have 1 to {MAX_QUERY_CHARS} characters"
            raise InvalidFields("Missing or wrong: query", fields=(("query", problem),))
        collections = request.args.getlist("collection") or None
        found = await knowledge.search(database, query, collections=collections)
        return answer({"items": [asdict(passage) for passage in found]})

    @blueprint.get("/api/v1/knowledge/passages/<int:passage_id>")
    async def read_passage(passage_id: int) -> Response:
        passage = await knowledge.passage(database, passage_id) if passage_id < 2**63 else None
        if passage is None:
            raise NotFound("There is no such passage; its document may have been changed")
        return answer({"passage": asdict(passage)})

    return blueprint


async def _draft() -> Draft:
    data = await request.get_data(as_text=False)
    assert isinstance(data, bytes)
    body = bodies.parse(DocumentBody, data, request.headers.get("Content-Type"))
    return Draft(**body.model_dump())

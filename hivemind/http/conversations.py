"""Conversations for operators: what there is, what was said, and its erasure."""

from collections.abc import Mapping
from uuid import UUID

import trio
from quart import Blueprint, Response, request

from hivemind.actors import ActorSystem
from hivemind.agents import Attach, Interrupt, control
from hivemind.agents import answer as turn_end
from hivemind.audit import Erasure, erase
from hivemind.errors import AgentBusy, NotFound
from hivemind.http import paging
from hivemind.http.access import identity
from hivemind.http.bodies import answer
from hivemind.persistence import Database, Row, load_queries

ERASE_SECONDS = 10.0
_QUERIES: Mapping[str, str] = load_queries("hivemind.http", "conversations.sql")


def routes(system: ActorSystem, database: Database) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("conversations", __name__)

    @blueprint.get("/api/v1/conversations")
    async def read_conversations() -> Response:
        page = paging.asked(request.args, UUID)
        after = page.after[0] if page.after else None
        rows = await database.fetch_all(
            _QUERIES["conversations"], (after, after, page.fetch), repeatable=True
        )
        return answer(page.reply(rows, lambda row: (row["id"],), _item))

    @blueprint.get("/api/v1/conversations/<uuid:conversation_id>")
    async def read_conversation(conversation_id: UUID) -> Response:
        page = paging.asked(request.args, int)
        found = await database.fetch_one(_QUERIES["conversation"], (conversation_id,), repeatable=True)
        if found is None:
            raise NotFound("There is no such conversation")
        after = page.after[0] if page.after else 0
        rows = await database.fetch_all(
            _QUERIES["messages"], (conversation_id, after, page.fetch), repeatable=True
        )
        body = page.reply(rows, lambda row: (row["id"],), _item)
        return answer({"conversation": _item(found), **body})

    @blueprint.delete("/api/v1/conversations/<uuid:conversation_id>")
    async def erase_conversation(conversation_id: UUID) -> Response:
        erasure = await _erase(system, database, conversation_id)
        if erasure.outcome == "unknown":
            raise NotFound("There is no such conversation")
        messages, entries = erasure.messages, erasure.entries
        # What was said in it was passed on to them. It begins nothing any more, so there come no others.
        for child in await control.family(database, conversation_id):
            erasure = await _erase(system, database, child)
            messages, entries = messages + erasure.messages, entries + erasure.entries
        return answer({"messages": messages, "entries": entries})

    return blueprint


async def _erase(system: ActorSystem, database: Database, conversation_id: UUID) -> Erasure:
    """Erase, and end what still runs first; the agent's memory of it goes with its actor."""
    agent = system.at(f"/agents/{conversation_id}")
    with trio.move_on_after(ERASE_SECONDS):
        while True:
            erasure = await erase(database, conversation_id, {"by": identity().by})
            if erasure.outcome != "busy" or erasure.turn_id is None:
                if (live := system.whereis(f"/agents/{conversation_id}")) is not None:
                    live.kill()
                return erasure
            agent.tell(Interrupt())
            await turn_end(system, agent, Attach(erasure.turn_id))
    raise AgentBusy("The conversation's turn does not end", remedy="try again in a moment")


def _item(row: Row) -> dict[str, object]:
    return dict(row)

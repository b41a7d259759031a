"""`/api/v1/approvals`: the questions that agents put to people, and the answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

from quart import Blueprint, Response, request

from hivemind.actors import ActorSystem
from hivemind.agents import Resume, answer_approval
from hivemind.errors import Conflict, NotFound
from hivemind.http import paging
from hivemind.http.access import identity
from hivemind.http.agents import ReasonBody
from hivemind.http.bodies import answer, sent
from hivemind.http.filters import choice_in, id_in
from hivemind.persistence import Database, Row, load_queries

PATH = "/api/v1/approvals"
State = Literal["pending", "approved", "denied"]
STATES: tuple[State, ...] = get_args(State)
_QUERIES: Mapping[str, str] = load_queries("hivemind.http", "approvals.sql")
_ALL: Mapping[str, object] = dict.fromkeys(("id", "state", "agent_id", "part", "place", "after"))


def routes(system: ActorSystem, database: Database) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("approvals", __name__)

    @blueprint.get(PATH)
    async def list_approvals() -> Response:
        page = paging.asked(request.args, int, datetime, UUID)
        part, place, after = page.after or (None, None, None)
        values = {
            **_ALL,
            "state": choice_in(request.args, "state", STATES),
            "agent_id": id_in(request.args, "agent_id"),
            "part": part,
            "place": place,
            "after": after,
            "limit": page.fetch,
        }
        rows = await database.fetch_all(_QUERIES["approvals"], values, repeatable=True)
        return answer(page.reply(rows, lambda row: (row["part"], row["place"], row["id"]), _item))

    @blueprint.get(f"{PATH}/<uuid:approval_id>")
    async def read_approval(approval_id: UUID) -> Response:
        return answer({"approval": await _approval(database, approval_id)})

    @blueprint.post(f"{PATH}/<uuid:approval_id>/approve")
    async def approve(approval_id: UUID) -> Response:
        return await _answered(system, database, approval_id, approve=True)

    @blueprint.post(f"{PATH}/<uuid:approval_id>/deny")
    async def deny(approval_id: UUID) -> Response:
        return await _answered(system, database, approval_id, approve=False)

    return blueprint


async def _answered(system: ActorSystem, database: Database, approval_id: UUID, *, approve: bool) -> Response:
    body = await sent(ReasonBody)
    agent_id = await answer_approval(
        database, approval_id, approve=approve, by=identity().by, reason=body.reason
    )
    found = await _approval(database, approval_id)
    if agent_id is None:
        raise Conflict(f"This was answered before: {found['state']} by {found['answered_by']}")
    system.at(f"/agents/{agent_id}").tell(Resume())
    return answer({"approval": found})


async def _approval(database: Database, approval_id: UUID) -> dict[str, object]:
    row = await database.fetch_one(
        _QUERIES["approvals"], {**_ALL, "id": approval_id, "limit": 1}, repeatable=True
    )
    if row is None:
        raise NotFound("There is no such approval")
    return _item(row)


def _item(row: Row) -> dict[str, object]:
    return {name: value for name, value in row.items() if name not in ("part", "place")}

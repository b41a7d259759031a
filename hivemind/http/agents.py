"""`/api/v1/agents`: making agents, looking at them, and what operators and outside daemons do to them.

What is said to an agent and what it says is `agent_streams`.
"""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from quart import Blueprint, Response, request

from hivemind.actors import ActorSystem
from hivemind.agents import Profiles, control, inspection
from hivemind.agents.control import ReportedState
from hivemind.agents.directives import Wanted
from hivemind.agents.dispatcher import Wake, tell
from hivemind.agents.inspection import Filter
from hivemind.agents.lifecycle import STATES, WISHES, Wish
from hivemind.errors import InvalidFields
from hivemind.http import paging
from hivemind.http.access import identity
from hivemind.http.bodies import answer, sent
from hivemind.http.directives import RetryBody, Slug, Text
from hivemind.http.filters import choice_in, id_in
from hivemind.persistence import Database

PATH = "/api/v1/agents"
MAX_TOTAL = 2**53
Total = Annotated[int, Field(ge=0, le=MAX_TOTAL)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]


class SpawnBody(BaseModel):
    """An agent as it is asked for: with a directive, for a conversation, or run by an outside daemon."""

    model_config = ConfigDict(extra="forbid")

    profile: Slug
    directive: Text | None = None
    retry: RetryBody | None = None
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    parent_id: UUID | None = None
    external: bool = False

    def check(self) -> None:
        """Raise unless the fields fit together."""
        if self.external and self.directive is not None:
            raise _wrong("directive", "an external agent gets its work from its daemon")
        for name in ("retry", "idempotency_key"):
            if self.directive is None and getattr(self, name) is not None:
                raise _wrong(name, "belongs to a directive")


class ReasonBody(BaseModel):
    """Why an operator does it; goes into the audit log."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason | None = None


class HeartbeatBody(BaseModel):
    """What an outside daemon reports of its agent; tokens and cost are totals."""

    model_config = ConfigDict(extra="forbid")

    state: ReportedState | None = None
    note: Annotated[str, StringConstraints(max_length=1_000)] | None = None
    input_tokens: Total | None = None
    output_tokens: Total | None = None
    cost_micros: Total | None = None


def routes(system: ActorSystem, database: Database, profiles: Profiles) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("agents", __name__)

    @blueprint.get(PATH)
    async def list_agents() -> Response:
        page = paging.asked(request.args, UUID)
        wanted = Filter(
            choice_in(request.args, "state", STATES),
            request.args.get("profile") or None,
            id_in(request.args, "parent_id"),
        )
        found = await inspection.page(database, wanted, _after(page), page.fetch)
        return answer(page.reply(found, lambda row: (row["id"],), dict))

    @blueprint.post(PATH)
    async def spawn_agent() -> Response:
        body = await sent(SpawnBody)
        body.check()
        profile = await profiles.by_slug(body.profile)
        wanted = None
        if body.directive is not None:
            key = f"api:{body.idempotency_key}" if body.idempotency_key else None
            retry = (body.retry or RetryBody(max_attempts=3, backoff_seconds=60)).policy()
            wanted = Wanted(profile.id, body.directive, "api", parent_id=body.parent_id, key=key, retry=retry)
        made = await control.spawn(
            database,
            profile.id,
            by=identity().by,
            directive=wanted,
            parent_id=body.parent_id,
            external=body.external,
        )
        if made.directive is not None:
            tell(system, Wake())
        return answer(
            {
                "agent": await inspection.agent(database, made.agent_id),
                "directive": made.directive.as_dict() if made.directive else None,
            },
            201,
        )

    @blueprint.get(f"{PATH}/<uuid:agent_id>")
    async def read_agent(agent_id: UUID) -> Response:
        page = paging.asked(request.args, UUID)
        found = await inspection.agent(database, agent_id)
        turns = await inspection.turns(database, agent_id, _after(page), page.fetch)
        body = page.reply(turns, lambda turn: (_id(turn),), dict)
        return answer({"agent": found | {"live": _live(system, agent_id)}, **body})

    _operate(blueprint, system, database)
    return blueprint


def _operate(blueprint: Blueprint, system: ActorSystem, database: Database) -> None:
    def wish_route(wish: Wish) -> None:
        @blueprint.post(f"{PATH}/<uuid:agent_id>/{wish}", endpoint=wish)
        async def carry_out(agent_id: UUID) -> Response:
            body = await sent(ReasonBody)
            await control.change(system, database, agent_id, wish, by=identity().by, reason=body.reason)
            return answer({"agent": await inspection.agent(database, agent_id)})

    for wish in WISHES:
        wish_route(wish)

    @blueprint.post(f"{PATH}/<uuid:agent_id>/interrupt")
    async def interrupt_agent(agent_id: UUID) -> Response:
        body = await sent(ReasonBody)
        await control.interrupt(system, database, agent_id, by=identity().by, reason=body.reason)
        return answer({"agent": await inspection.agent(database, agent_id)})

    @blueprint.post(f"{PATH}/<uuid:agent_id>/heartbeat")
    async def report_agent(agent_id: UUID) -> Response:
        body = await sent(HeartbeatBody)
        state = await control.heartbeat(database, agent_id, **body.model_dump())
        return answer({"state": state})


def _wrong(field: str, problem: str) -> InvalidFields:
    return InvalidFields(f"Missing or wrong: {field}", fields=((field, problem),))


def _live(system: ActorSystem, agent_id: UUID) -> Mapping[str, object] | None:
    """What its actor says of itself, if it has one at the moment."""
    tree = system.tree(f"/agents/{agent_id}")
    if tree is None:
        return None
    shot = tree.snapshot
    return {"actor": shot.state, "restarts": shot.restarts, "mailbox": shot.mailbox.length, **shot.facts}


def _after(page: paging.Page) -> UUID | None:
    after = page.after[0] if page.after else None
    assert after is None or isinstance(after, UUID)
    return after


def _id(turn: Mapping[str, object]) -> UUID:
    found = turn["id"]
    assert isinstance(found, UUID)
    return found

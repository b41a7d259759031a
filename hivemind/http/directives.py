"""`/api/v1/directives`: jobs given without a person waiting."""

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from quart import Blueprint, Response, request

from hivemind.actors import ActorSystem
from hivemind.agents import Profiles, directives
from hivemind.agents.directives import STATES, Directive, Filter, Wanted
from hivemind.agents.dispatcher import Cancelled, Wake, tell
from hivemind.agents.retry import MAX_BACKOFF_SECONDS, Retry
from hivemind.errors import InvalidFields
from hivemind.http import paging
from hivemind.http.bodies import answer, sent
from hivemind.http.filters import choice_in, id_in
from hivemind.persistence import Database

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100_000)]
Slug = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class RetryBody(BaseModel):
    """How often it is tried in all, and the wait after the first failure."""

    model_config = ConfigDict(extra="forbid")

    max_attempts: int = Field(3, ge=1, le=20)
    backoff_seconds: float = Field(60, ge=0, le=MAX_BACKOFF_SECONDS, allow_inf_nan=False)

    def policy(self) -> Retry:
        """As it is stored."""
        return Retry(self.max_attempts, self.backoff_seconds)


class DirectiveBody(BaseModel):
    """A directive as it is asked for."""

    model_config = ConfigDict(extra="forbid")

    profile: Slug
    text: Text
    not_before: AwareDatetime | None = None
    retry: RetryBody = RetryBody(max_attempts=3, backoff_seconds=60)
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


class ChangeBody(BaseModel):
    """What may be changed of one that waits."""

    model_config = ConfigDict(extra="forbid")

    text: Text | None = None
    not_before: AwareDatetime | None = None
    retry: RetryBody | None = None


def routes(database: Database, system: ActorSystem, profiles: Profiles) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("directives", __name__)

    @blueprint.get("/api/v1/directives")
    async def list_directives() -> Response:
        page = paging.asked(request.args, UUID)
        after = page.after[0] if page.after else None
        assert after is None or isinstance(after, UUID)
        wanted = Filter(
            choice_in(request.args, "state", STATES),
            id_in(request.args, "profile_id"),
            id_in(request.args, "schedule_id"),
            id_in(request.args, "task_id"),
        )
        found = await directives.page(database, wanted, after, page.fetch)
        return answer(page.reply(found, lambda directive: (directive.id,), Directive.as_dict))

    @blueprint.post("/api/v1/directives")
    async def create_directive() -> Response:
        body = await sent(DirectiveBody)
        profile = await profiles.by_slug(body.profile)
        wanted = Wanted(
            profile.id,
            body.text,
            "api",
            key=f"api:{body.idempotency_key}" if body.idempotency_key else None,
            retry=body.retry.policy(),
            not_before=body.not_before,
        )
        made = await directives.create(database, wanted)
        tell(system, Wake())
        return _told(made, 201)

    @blueprint.get("/api/v1/directives/<uuid:directive_id>")
    async def read_directive(directive_id: UUID) -> Response:
        return _told(await directives.directive(database, directive_id))

    @blueprint.patch("/api/v1/directives/<uuid:directive_id>")
    async def change_directive(directive_id: UUID) -> Response:
        body = await sent(ChangeBody)
        for name in body.model_fields_set:
            if getattr(body, name) is None:
                raise InvalidFields(f"Missing or wrong: {name}", fields=((name, "has to have a value"),))
        was = await directives.directive(database, directive_id)
        made = await directives.change(
            database,
            directive_id,
            body.text or was.text,
            body.not_before or was.not_before,
            body.retry.policy() if body.retry else was.retry,
        )
        tell(system, Wake())
        return _told(made)

    @blueprint.post("/api/v1/directives/<uuid:directive_id>/cancel")
    async def cancel_directive(directive_id: UUID) -> Response:
        gone = await directives.cancel(database, directive_id)
        tell(system, Cancelled(directive_id))
        return _told(gone)

    @blueprint.delete("/api/v1/directives/<uuid:directive_id>")
    async def delete_directive(directive_id: UUID) -> Response:
        await directives.delete(database, directive_id)
        return Response(b"", 204)

    return blueprint


def _told(directive: Directive, status: int = 200) -> Response:
    return answer({"directive": directive.as_dict()}, status)

"""`/api/v1/caps`: the spending limits, how each stands, and a person's word past a soft share."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from quart import Blueprint, Response, request

from hivemind.budgets import EVERYONE, Rule
from hivemind.budgets import caps as store
from hivemind.errors import InvalidFields
from hivemind.http import paging
from hivemind.http.access import identity
from hivemind.http.bodies import answer, parse
from hivemind.persistence import Database

Micros = Annotated[int, Field(ge=0, le=2**53, strict=True)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Subject = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
OnSoft = Literal["warn", "cheaper", "ask"]
Model = TypeVar("Model", bound=BaseModel)


class CapBody(BaseModel):
    """A cap that is to be made. A caller is named by the keyed hash that costs and audit show."""

    model_config = ConfigDict(extra="forbid")

    scope: Literal["install", "profile", "agent", "schedule", "caller"]
    subject: Subject = ""
    period: Literal["turn", "day", "month"]
    limit_micros: Micros
    soft_share: Share | None = None
    on_soft: OnSoft = "warn"


class ChangeBody(BaseModel):
    """What of a cap is to be different."""

    model_config = ConfigDict(extra="forbid")

    limit_micros: Micros | None = None
    soft_share: Share | None = None
    on_soft: OnSoft | None = None


class AcknowledgeBody(BaseModel):
    """For whom, where the cap is for everyone, and until when at most."""

    model_config = ConfigDict(extra="forbid")

    subject: Subject = ""
    until: AwareDatetime | None = None


def routes(database: Database) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("caps", __name__)

    @blueprint.get("/api/v1/caps")
    async def list_caps() -> Response:
        page = paging.asked(request.args, UUID)
        after = page.after[0] if page.after else None
        assert after is None or isinstance(after, UUID)
        now = datetime.now(UTC)
        found = await store.caps(database, after, page.fetch)
        return answer(page.reply(found, lambda cap: (cap.id,), lambda cap: cap.as_dict(now)))

    @blueprint.post("/api/v1/caps")
    async def create_cap() -> Response:
        return _told(await store.create(database, rule_of(await _body(CapBody)), by=identity().by), 201)

    @blueprint.get("/api/v1/caps/<uuid:cap_id>")
    async def read_cap(cap_id: UUID) -> Response:
        return _told(await store.cap(database, cap_id))

    @blueprint.patch("/api/v1/caps/<uuid:cap_id>")
    async def change_cap(cap_id: UUID) -> Response:
        body = await _body(ChangeBody)
        wanted = changed((await store.cap(database, cap_id)).rule, body)
        return _told(
            await store.change(
                database, cap_id, wanted.limit_micros, wanted.soft_share, wanted.on_soft, by=identity().by
            )
        )

    @blueprint.delete("/api/v1/caps/<uuid:cap_id>")
    async def delete_cap(cap_id: UUID) -> Response:
        await store.delete(database, cap_id, by=identity().by)
        return Response(b"", 204)

    @blueprint.post("/api/v1/caps/<uuid:cap_id>/acknowledge")
    async def acknowledge_cap(cap_id: UUID) -> Response:
        body = await _body(AcknowledgeBody)
        rule = (await store.cap(database, cap_id)).rule
        if (rule.subject == EVERYONE) != (body.subject != ""):
            everyone = rule.subject == EVERYONE
            raise _wrong("subject", "says for whom" if everyone else "is only for caps for everyone")
        return _told(await store.acknowledge(database, cap_id, body.subject, body.until, by=identity().by))

    return blueprint


def rule_of(body: CapBody) -> Rule:
    """What a body asks for, whole and in one spelling.

    Raises:
        InvalidFields: its parts do not fit together.
    """
    subject = body.subject
    if body.scope == "install" and subject:
        raise _wrong("subject", "the installation has none")
    if body.scope != "install" and not subject:
        raise _wrong("subject", "says for whom, or * for everyone by themselves")
    if body.scope not in ("install", "caller") and subject != EVERYONE:
        try:
            subject = str(UUID(subject))
        except ValueError:
            raise _wrong("subject", f"is the id of the {body.scope}, or *") from None
    if body.period == "turn" and body.soft_share is not None:
        raise _wrong("soft_share", "a cap for one turn has none")
    return Rule(body.scope, subject, body.period, body.limit_micros, body.soft_share, body.on_soft)


def changed(rule: Rule, body: ChangeBody) -> Rule:
    """The rule with what the body says; only the soft share may be taken away.

    Raises:
        InvalidFields: it cannot be so.
    """
    given = {name: getattr(body, name) for name in body.model_fields_set}
    for name, value in given.items():
        if value is None and name != "soft_share":
            raise _wrong(name, "has to have a value")
    wanted = replace(rule, **given)
    if wanted.period == "turn" and wanted.soft_share is not None:
        raise _wrong("soft_share", "a cap for one turn has none")
    return wanted


def _wrong(field: str, problem: str) -> InvalidFields:
    return InvalidFields(f"Missing or wrong: {field}", fields=((field, problem),))


async def _body(model: type[Model]) -> Model:
    data = await request.get_data(as_text=False)
    assert isinstance(data, bytes)
    return parse(model, data, request.headers.get("Content-Type"))


def _told(cap: store.Cap, status: int = 200) -> Response:
    return answer({"cap": cap.as_dict(datetime.now(UTC))}, status)

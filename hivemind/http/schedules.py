"""`/api/v1/schedules`: work at given times, what came of each of them, and when the next are."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from quart import Blueprint, Response, request

from hivemind.actors import ActorSystem
from hivemind.agents import Profiles
from hivemind.agents.dispatcher import Cancelled, Wake, tell
from hivemind.errors import InvalidFields, InvalidRequest, NotFound
from hivemind.http import paging
from hivemind.http.bodies import answer, sent
from hivemind.http.directives import RetryBody, Slug, Text
from hivemind.persistence import Database
from hivemind.schedules import rows
from hivemind.schedules.cron import Cron
from hivemind.schedules.rows import Tick
from hivemind.schedules.schedule import CatchUp, Overlap, Rule, Schedule
from hivemind.schedules.ticking import run_now

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Zone = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Seconds = Annotated[int, Field(gt=0, le=366 * 86_400)]

DEFAULT_PREVIEW = 5
MAX_PREVIEW = 100


class ScheduleBody(BaseModel):
    """A schedule as it is asked for."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    cron: Expression
    time_zone: Zone = "UTC"
    profile: Slug
    text: Text
    overlap: Overlap = "skip"
    catch_up: CatchUp = "none"
    catch_up_seconds: Seconds = 86_400
    retry: RetryBody = RetryBody(max_attempts=3, backoff_seconds=60)


class ChangeBody(BaseModel):
    """What is to be another."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    cron: Expression | None = None
    time_zone: Zone | None = None
    profile: Slug | None = None
    text: Text | None = None
    overlap: Overlap | None = None
    catch_up: CatchUp | None = None
    catch_up_seconds: Seconds | None = None
    retry: RetryBody | None = None


class PreviewBody(BaseModel):
    """An expression that is no schedule yet."""

    model_config = ConfigDict(extra="forbid")

    cron: Expression
    time_zone: Zone = "UTC"
    count: int = Field(DEFAULT_PREVIEW, ge=1, le=MAX_PREVIEW)


def routes(database: Database, system: ActorSystem, profiles: Profiles) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("schedules", __name__)
    _show(blueprint, database)
    _change(blueprint, database, profiles)
    _run(blueprint, database, system)
    return blueprint


def _show(blueprint: Blueprint, database: Database) -> None:
    @blueprint.get("/api/v1/schedules")
    async def list_schedules() -> Response:
        page = paging.asked(request.args, UUID)
        after = page.after[0] if page.after else None
        assert after is None or isinstance(after, UUID)
        found = await rows.page(database, after, page.fetch)
        return answer(page.reply(found, lambda schedule: (schedule.id,), Schedule.as_dict))

    @blueprint.post("/api/v1/schedules/preview")
    async def preview_expression() -> Response:
        body = await sent(PreviewBody)
        return _times(Cron.parse(body.cron, body.time_zone), body.time_zone, body.count)

    @blueprint.get("/api/v1/schedules/<uuid:schedule_id>")
    async def read_schedule(schedule_id: UUID) -> Response:
        return _told(await rows.schedule(database, schedule_id))

    @blueprint.get("/api/v1/schedules/<uuid:schedule_id>/next")
    async def preview_schedule(schedule_id: UUID) -> Response:
        rule = (await rows.schedule(database, schedule_id)).rule
        return _times(rule.parsed(), rule.time_zone, _count())

    @blueprint.get("/api/v1/schedules/<uuid:schedule_id>/ticks")
    async def list_ticks(schedule_id: UUID) -> Response:
        await rows.schedule(database, schedule_id)
        page = paging.asked(request.args, datetime)
        before = page.after[0] if page.after else None
        assert before is None or isinstance(before, datetime)
        found = await rows.ticks(database, schedule_id, before, page.fetch)
        return answer(page.reply(found, lambda tick: (tick.due_at,), Tick.as_dict))


def _change(blueprint: Blueprint, database: Database, profiles: Profiles) -> None:
    @blueprint.post("/api/v1/schedules")
    async def create_schedule() -> Response:
        body = await sent(ScheduleBody)
        values = body.model_dump(exclude={"profile", "retry"})
        profile = await profiles.by_slug(body.profile)
        rule = Rule(**values, profile_id=profile.id, retry=body.retry.policy())
        return _told(await rows.create(database, rule, _now()), 201)

    @blueprint.patch("/api/v1/schedules/<uuid:schedule_id>")
    async def change_schedule(schedule_id: UUID) -> Response:
        body = await sent(ChangeBody)
        given = await _given(body, profiles)
        rule = replace((await rows.schedule(database, schedule_id)).rule, **given)
        return _told(await rows.change(database, schedule_id, rule, _now()))

    @blueprint.delete("/api/v1/schedules/<uuid:schedule_id>")
    async def delete_schedule(schedule_id: UUID) -> Response:
        await rows.delete(database, schedule_id)
        return Response(b"", 204)

    @blueprint.post("/api/v1/schedules/<uuid:schedule_id>/pause")
    async def pause_schedule(schedule_id: UUID) -> Response:
        return _told(await rows.pause(database, schedule_id))

    @blueprint.post("/api/v1/schedules/<uuid:schedule_id>/resume")
    async def resume_schedule(schedule_id: UUID) -> Response:
        return _told(await rows.resume(database, schedule_id, _now()))


def _run(blueprint: Blueprint, database: Database, system: ActorSystem) -> None:
    @blueprint.post("/api/v1/schedules/<uuid:schedule_id>/run")
    async def run_schedule(schedule_id: UUID) -> Response:
        fired = await run_now(database, schedule_id, _now())
        if fired is None:
            raise NotFound("There is no such schedule")
        for gone in fired.replaced:
            tell(system, Cancelled(gone))
        tell(system, Wake())
        told = {"outcome": fired.outcome, "directive_id": fired.directive_id, "replaced": fired.replaced}
        return answer({"tick": told}, 201)


async def _given(body: ChangeBody, profiles: Profiles) -> dict[str, Any]:
    """What a change says of the rule."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    for name, value in given.items():
        if value is None:
            raise InvalidFields(f"Missing or wrong: {name}", fields=((name, "has to have a value"),))
    if body.profile is not None:
        del given["profile"]
        given["profile_id"] = (await profiles.by_slug(body.profile)).id
    if body.retry is not None:
        given["retry"] = body.retry.policy()
    return given


def _now() -> datetime:
    return datetime.now(UTC)


def _times(cron: Cron, time_zone: str, count: int) -> Response:
    """The next times as moments and as the clocks there show them."""
    times = [
        {"at": moment, "local": moment.astimezone(cron.zone).isoformat()}
        for moment in islice(cron.upcoming(_now()), count)
    ]
    return answer({"cron": cron.expression, "time_zone": time_zone, "times": times})


def _count() -> int:
    text = request.args.get("count", str(DEFAULT_PREVIEW))
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MAX_PREVIEW):
        raise InvalidRequest(f"count must be a whole number from 1 to {MAX_PREVIEW}")
    return int(text)


def _told(schedule: Schedule, status: int = 200) -> Response:
    return answer({"schedule": schedule.as_dict()}, status)

"""`/api/v1/tasks`: items of work, and having a profile do one."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints
from quart import Blueprint, Response, request

from hivemind.actors import ActorSystem
from hivemind.agents import Profiles, directives, tasks
from hivemind.agents.directives import Wanted
from hivemind.agents.dispatcher import Wake, tell
from hivemind.agents.tasks import STATES, Filter, State, Task
from hivemind.errors import Conflict, InvalidFields
from hivemind.http import paging
from hivemind.http.bodies import answer, sent
from hivemind.http.directives import RetryBody, Slug
from hivemind.http.filters import choice_in, id_in
from hivemind.persistence import Database

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100_000)]


class TaskBody(BaseModel):
    """A task as it is asked for; `profile` is the slug of who is to do it."""

    model_config = ConfigDict(extra="forbid")

    title: Title
    text: Text = ""
    profile: Slug | None = None


class ChangeBody(BaseModel):
    """What may be changed; only the profile may be taken away."""

    model_config = ConfigDict(extra="forbid")

    title: Title | None = None
    text: Text | None = None
    state: State | None = None
    profile: Slug | None = None


class RunBody(BaseModel):
    """Who does it now: the task's own profile, unless another is named."""

    model_config = ConfigDict(extra="forbid")

    profile: Slug | None = None
    retry: RetryBody = RetryBody(max_attempts=3, backoff_seconds=60)


def routes(database: Database, system: ActorSystem, profiles: Profiles) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("tasks", __name__)

    @blueprint.get("/api/v1/tasks")
    async def list_tasks() -> Response:
        page = paging.asked(request.args, UUID)
        after = page.after[0] if page.after else None
        assert after is None or isinstance(after, UUID)
        wanted = Filter(
            choice_in(request.args, "state", STATES),
            request.args.get("source") or None,
            id_in(request.args, "profile_id"),
        )
        found = await tasks.page(database, wanted, after, page.fetch)
        return answer(page.reply(found, lambda task: (task.id,), Task.as_dict))

    @blueprint.post("/api/v1/tasks")
    async def create_task() -> Response:
        body = await sent(TaskBody)
        profile_id = await _profile_id(profiles, body.profile)
        return _told(await tasks.create(database, body.title, body.text, profile_id), 201)

    @blueprint.get("/api/v1/tasks/<uuid:task_id>")
    async def read_task(task_id: UUID) -> Response:
        return _told(await tasks.task(database, task_id))

    @blueprint.patch("/api/v1/tasks/<uuid:task_id>")
    async def change_task(task_id: UUID) -> Response:
        body = await sent(ChangeBody)
        wanted = _changed(await tasks.task(database, task_id), body)
        if "profile" in body.model_fields_set:
            wanted = replace(wanted, profile_id=await _profile_id(profiles, body.profile))
        return _told(await tasks.change(database, wanted))

    @blueprint.delete("/api/v1/tasks/<uuid:task_id>")
    async def delete_task(task_id: UUID) -> Response:
        await tasks.delete(database, task_id)
        return Response(b"", 204)

    @blueprint.post("/api/v1/tasks/<uuid:task_id>/run")
    async def run_task(task_id: UUID) -> Response:
        body = await sent(RunBody)
        task = await tasks.task(database, task_id)
        await _check_idle(database, task)
        profile_id = await _profile_id(profiles, body.profile) or task.profile_id
        if profile_id is None:
            raise InvalidFields(
                "Missing or wrong: profile", fields=(("profile", "nobody is to do this task"),)
            )
        wanted = Wanted(profile_id, task.job, "task", task_id=task.id, retry=body.retry.policy())
        made = await directives.create(database, wanted)
        tell(system, Wake())
        return answer({"directive": made.as_dict()}, 201)

    return blueprint


def _changed(task: Task, body: ChangeBody) -> Task:
    """The task with what the body says, but for its profile."""
    given = {name: getattr(body, name) for name in body.model_fields_set - {"profile"}}
    for name, value in given.items():
        if value is None:
            raise InvalidFields(f"Missing or wrong: {name}", fields=((name, "has to have a value"),))
    return replace(task, **given)


async def _profile_id(profiles: Profiles, slug: str | None) -> UUID | None:
    return (await profiles.by_slug(slug)).id if slug else None


async def _check_idle(database: Database, task: Task) -> None:
    for last in await directives.page(database, directives.Filter(task_id=task.id), None, 1):
        if last.state not in directives.ENDED:
            raise Conflict("The task is being done", remedy=f"cancel directive {last.id} first")


def _told(task: Task, status: int = 200) -> Response:
    return answer({"task": task.as_dict()}, status)

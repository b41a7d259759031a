"""Directives, tasks and schedules, and the profiles that carry them out."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from hivemind.agents.directives import Source as DirectiveSource
from hivemind.agents.directives import State as DirectiveState
from hivemind.agents.tasks import State as TaskState
from hivemind.errors import Conflict, InvalidFields, NotFound
from hivemind.http import directives, profiles, schedules, tasks
from hivemind.http.contract.operation import NONE, PAGE, Group, Operation, Parameter, listed, says
from hivemind.schedules.rows import Tick
from hivemind.schedules.schedule import CatchUp, Overlap, TickOutcome

DIRECTIVE = "/api/v1/directives/{directive_id}"
TASK = "/api/v1/tasks/{task_id}"
SCHEDULE = "/api/v1/schedules/{schedule_id}"
PROFILE = "/api/v1/agent-profiles/{slug}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer."""

    code: str
    message: str | None


@dataclass(frozen=True, slots=True)
class Retry:
    """How often it is tried in all, and the wait after the first failure."""

    max_attempts: int
    backoff_seconds: float


@dataclass(frozen=True, slots=True)
class Directive:
    """A job given without a person waiting."""

    id: UUID
    profile_id: UUID
    agent_id: UUID
    parent_id: UUID | None
    text: str
    state: DirectiveState
    source: DirectiveSource
    schedule_id: UUID | None
    task_id: UUID | None
    retry: Retry
    not_before: datetime
    attempts: int
    result: str | None
    failure: Failure | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Task:
    """An item of work."""

    id: UUID
    title: str
    text: str
    state: TaskState
    source: str
    external_id: str | None
    external_url: str | None
    profile_id: UUID | None
    directive_id: UUID | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """Work at given times; `next_run_at` is null while nothing is due."""

    id: UUID
    name: str
    cron: str
    time_zone: str
    profile_id: UUID
    text: str
    overlap: Overlap
    catch_up: CatchUp
    catch_up_seconds: int
    retry: Retry
    paused: bool
    next_run_at: datetime | None
    last_run_at: datetime | None
    last_directive_id: UUID | None
    failure: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Time:
    """A moment, and what the clocks there show."""

    at: datetime
    local: datetime


@dataclass(frozen=True, slots=True)
class Times:
    """When an expression is due next."""

    cron: str
    time_zone: str
    times: list[Time]


@dataclass(frozen=True, slots=True)
class Fired:
    """What came of firing it now."""

    outcome: TickOutcome
    directive_id: UUID | None
    replaced: list[UUID]


@dataclass(frozen=True, slots=True)
class Profile:
    """A persona; `tools` is by name or pattern, each with its `policy` and options."""

    id: UUID
    slug: str
    name: str
    prompt: str
    tier: int
    model: str | None
    cheaper_model: str | None
    max_input_chars: int
    max_output_tokens: int
    history_messages: int
    injection_threshold: float
    on_injection: Literal["refuse", "flag"]
    when_busy: Literal["queue", "refuse", "interrupt"]
    when_client_leaves: Literal["finish", "stop"]
    max_messages_per_minute: int | None
    max_steps: int
    max_turn_seconds: int
    max_turn_tokens: int | None
    max_turn_micros: int | None
    max_same_calls: int
    approval_seconds: int
    on_approval_deadline: Literal["approve", "deny"]
    tools: dict[str, dict[str, Any]]
    documents_only: bool
    on_client_instructions: Literal["append", "refuse"]
    widget_origins: list[str]
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


_PROFILE = {"profile": Profile}
_SCHEDULE = {"schedule": Schedule}
_TASK = {"task": Task}
_DIRECTIVE = {"directive": Directive}
_IF_MATCH = Parameter("If-Match", str, "The `ETag` that the profile was read with.", "header")

PROFILES = Group(
    "Profiles",
    "The personas that agents are instances of.",
    (
        Operation(
            "GET /api/v1/agent-profiles",
            "Profiles, by their slugs",
            listed(Profile),
            query=(Parameter("archived", bool, "Those that were put away."), *PAGE),
        ),
        Operation(
            "POST /api/v1/agent-profiles",
            "Make a profile",
            says(_PROFILE, "It is there.", 201),
            body=profiles.ProfileBody,
            refuses=(Conflict,),
            example={"slug": "support", "name": "Support", "prompt": "You answer questions about our shop."},
        ),
        Operation(f"GET {PROFILE}", "One profile", says(_PROFILE)),
        Operation(
            f"PATCH {PROFILE}",
            "Change a profile",
            says(_PROFILE, "As it is now."),
            body=profiles.ChangeBody,
            query=(_IF_MATCH,),
            refuses=(Conflict,),
            example={"prompt": "You answer in one sentence."},
        ),
        Operation(
            f"DELETE {PROFILE}",
            "Remove one that nothing was done with",
            NONE,
            query=(_IF_MATCH,),
            refuses=(Conflict,),
        ),
        Operation(
            f"POST {PROFILE}/archive",
            "Put it away: it takes no more messages",
            says(_PROFILE),
            refuses=(Conflict,),
        ),
        Operation(f"POST {PROFILE}/restore", "Take it out again", says(_PROFILE), refuses=(Conflict,)),
    ),
)
DIRECTIVES = Group(
    "Directives",
    "Jobs given without a person waiting.",
    (
        Operation(
            "GET /api/v1/directives",
            "Directives, newest first",
            listed(Directive),
            query=(
                Parameter("state", DirectiveState, "How they stand."),
                Parameter("profile_id", UUID, "Whose they are."),
                Parameter("schedule_id", UUID, "What they came from."),
                Parameter("task_id", UUID, "What they came from."),
                *PAGE,
            ),
        ),
        Operation(
            "POST /api/v1/directives",
            "Give a job",
            says(_DIRECTIVE, "It waits for its turn.", 201),
            body=directives.DirectiveBody,
            refuses=(Conflict, NotFound),
            example={"profile": "hello", "text": "Write a haiku about Mondays."},
        ),
        Operation(f"GET {DIRECTIVE}", "One job, with its result or failure", says(_DIRECTIVE)),
        Operation(
            f"PATCH {DIRECTIVE}",
            "Change one that waits",
            says(_DIRECTIVE, "As it is now."),
            body=directives.ChangeBody,
            refuses=(Conflict,),
            example={"text": "Write a haiku about Tuesdays."},
        ),
        Operation(f"DELETE {DIRECTIVE}", "Remove one that has ended", NONE, refuses=(Conflict,)),
        Operation(
            f"POST {DIRECTIVE}/cancel",
            "Cancel one, also while it is carried out",
            says(_DIRECTIVE),
            refuses=(Conflict,),
        ),
    ),
)
TASKS = Group(
    "Tasks",
    "Items of work, local or pulled from elsewhere.",
    (
        Operation(
            "GET /api/v1/tasks",
            "Tasks, newest first",
            listed(Task),
            query=(
                Parameter("state", TaskState, "How they stand."),
                Parameter("source", str, "Where they come from: `local` or `plane`."),
                Parameter("profile_id", UUID, "Who is to do them."),
                *PAGE,
            ),
        ),
        Operation(
            "POST /api/v1/tasks",
            "Make a task",
            says(_TASK, "It is there.", 201),
            body=tasks.TaskBody,
            refuses=(NotFound,),
            example={"title": "Translate the leaflet"},
        ),
        Operation(f"GET {TASK}", "One task", says(_TASK)),
        Operation(
            f"PATCH {TASK}",
            "Change a task",
            says(_TASK, "As it is now."),
            body=tasks.ChangeBody,
            refuses=(Conflict,),
            example={"state": "done"},
        ),
        Operation(f"DELETE {TASK}", "Remove a local task", NONE, refuses=(Conflict,)),
        Operation(
            f"POST {TASK}/run",
            "Have a profile do it",
            says(_DIRECTIVE, "The directive.", 201),
            body=tasks.RunBody,
            refuses=(Conflict, NotFound),
            example={"profile": "hello"},
        ),
    ),
)
SCHEDULES = Group(
    "Schedules",
    "Work at given times.",
    (
        Operation("GET /api/v1/schedules", "Schedules", listed(Schedule), query=PAGE),
        Operation(
            "POST /api/v1/schedules",
            "Make a schedule",
            says(_SCHEDULE, "It is there.", 201),
            body=schedules.ScheduleBody,
            refuses=(Conflict, NotFound),
            example={
                "name": "Morning report",
                "cron": "0 8 * * 1-5",
                "time_zone": "Europe/Berlin",
                "profile": "hello",
                "text": "What is on today?",
            },
        ),
        Operation(
            "POST /api/v1/schedules/preview",
            "When an expression would be due",
            says(Times),
            body=schedules.PreviewBody,
            example={"cron": "0 8 * * 1-5", "time_zone": "Europe/Berlin", "count": 3},
        ),
        Operation(f"GET {SCHEDULE}", "One schedule", says(_SCHEDULE)),
        Operation(
            f"GET {SCHEDULE}/next",
            "When it is due next",
            says(Times),
            query=(
                Parameter("count", Annotated[int, Field(ge=1, le=schedules.MAX_PREVIEW)], "How many times."),
            ),
            refuses=(InvalidFields,),
        ),
        Operation(
            f"PATCH {SCHEDULE}",
            "Change a schedule",
            says(_SCHEDULE, "As it is now."),
            body=schedules.ChangeBody,
            refuses=(Conflict,),
            example={"cron": "0 9 * * 1-5"},
        ),
        Operation(f"DELETE {SCHEDULE}", "Remove a schedule and its ticks", NONE, refuses=(Conflict,)),
        Operation(f"POST {SCHEDULE}/pause", "Let nothing be due", says(_SCHEDULE), refuses=(Conflict,)),
        Operation(
            f"POST {SCHEDULE}/resume",
            "Go on from now",
            says(_SCHEDULE),
            refuses=(Conflict, InvalidFields),
        ),
        Operation(
            f"POST {SCHEDULE}/run",
            "Fire it now",
            says({"tick": Fired}, "What came of it.", 201),
            refuses=(Conflict,),
        ),
        Operation(
            f"GET {SCHEDULE}/ticks",
            "Its due times and what came of each, newest first",
            listed(Tick),
            query=PAGE,
        ),
    ),
)

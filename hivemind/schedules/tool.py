"""`create_schedule`: a job that an agent wants done at given times, by itself or another."""

from datetime import UTC, datetime
from typing import Any

from hivemind.agents import Profiles
from hivemind.agents.tools.tool import Call, Outcome, Tool
from hivemind.agents.tools.toolbox import Builtin, Options, unknown
from hivemind.errors import Conflict, DatabaseUnavailable, InvalidFields, NotFound
from hivemind.persistence import Database
from hivemind.schedules import rows
from hivemind.schedules.schedule import Rule, Schedule

NAME = "create_schedule"
_DESCRIPTION = (
    "Have a job done again and again at given times, each time by a new agent that knows nothing of this "
    "conversation."
)


def builtin(database: Database, profiles: Profiles) -> Builtin:
    """The tool; a profile's `profiles` say who may be given the job."""

    def make(options: Options) -> Tool:
        parameters = {
            "type": "object",
            "properties": {
                "name": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 200,
                    "description": "not used before",
                },
                "cron": {
                    "type": "string",
                    "maxLength": 200,
                    "description": "minute hour day-of-month month day-of-week, as in crontab",
                },
                "time_zone": {
                    "type": "string",
                    "maxLength": 100,
                    "description": "as Europe/Berlin; UTC if not given",
                },
                "agent": {"enum": list(options["profiles"]), "description": "which agent does it"},
                "job": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 20_000,
                    "description": "what it is to do",
                },
            },
            "required": ["name", "cron", "agent", "job"],
            "additionalProperties": False,
        }

        async def run(call: Call) -> Outcome:
            try:
                schedule = await _made(database, profiles, call)
            except (InvalidFields, NotFound, Conflict, DatabaseUnavailable) as error:
                fields = error.fields if isinstance(error, InvalidFields) else ()
                why = "; ".join(f"{name} {problem}" for name, problem in fields) or error.message
                return Outcome(f"The schedule was not made: {why}", failed=True)
            return Outcome(
                f"Schedule {schedule.rule.name} is made; it runs first at {schedule.next_run_at:%c} UTC."
            )

        return Tool(NAME, _DESCRIPTION, parameters, run, repeatable=True, outbound=False)

    return Builtin(make, _mistake)


async def _made(database: Database, profiles: Profiles, call: Call) -> Schedule:
    """The schedule of this call, made now or by the same call before."""
    said = call.arguments
    profile = await profiles.by_slug(said["agent"])
    rule = Rule(said["name"].strip(), said["cron"], said.get("time_zone", "UTC"), profile.id, said["job"])
    try:
        return await rows.create(
            database, rule, datetime.now(UTC), agent_id=call.agent_id, schedule_id=call.id
        )
    except Conflict as taken:
        try:
            return await rows.schedule(database, call.id)
        except NotFound:
            raise taken from None


def _mistake(options: Options) -> str | None:
    slugs: Any = options.get("profiles")
    if not isinstance(slugs, list) or not slugs or not all(isinstance(slug, str) for slug in slugs):
        return "profiles has to list the slugs that may be given the job"
    return unknown(options, ("profiles",))

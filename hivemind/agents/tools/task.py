"""`create_task`: an item of work for a person or another agent, done later or never."""

from typing import Any

from hivemind.agents import tasks
from hivemind.agents.profile import Profiles
from hivemind.agents.tools.tool import Call, Outcome, Tool
from hivemind.agents.tools.toolbox import Builtin, Options, unknown
from hivemind.errors import DatabaseUnavailable, NotFound
from hivemind.persistence import Database

NAME = "create_task"
_DESCRIPTION = "Write down a task for later. It is not worked on until somebody starts it."


def builtin(database: Database, profiles: Profiles) -> Builtin:
    """The tool; a profile's `profiles` say whom it may assign tasks to, nobody if it has none."""

    def make(options: Options) -> Tool:
        assignees = list(options.get("profiles", ()))
        properties: dict[str, Any] = {
            "title": {"type": "string", "minLength": 1, "maxLength": 300},
            "text": {"type": "string", "maxLength": 20_000, "description": "all that is needed to do it"},
        }
        if assignees:
            properties["agent"] = {"enum": assignees, "description": "which agent is to do it"}
        parameters = {
            "type": "object",
            "properties": properties,
            "required": ["title"],
            "additionalProperties": False,
        }

        async def run(call: Call) -> Outcome:
            slug = call.arguments.get("agent")
            try:
                profile_id = (await profiles.by_slug(slug)).id if slug is not None else None
                task = await tasks.create(
                    database,
                    call.arguments["title"],
                    call.arguments.get("text", ""),
                    profile_id,
                    agent_id=call.agent_id,
                    task_id=call.id,
                )
            except (NotFound, DatabaseUnavailable) as error:
                return Outcome(f"The task was not written down: {error.message}", failed=True)
            return Outcome(f"Task {task.id} is written down: {task.title}")

        return Tool(NAME, _DESCRIPTION, parameters, run, repeatable=True, outbound=False)

    return Builtin(make, _mistake)


def _mistake(options: Options) -> str | None:
    slugs: Any = options.get("profiles", [])
    if not isinstance(slugs, list) or not all(isinstance(slug, str) for slug in slugs):
        return "profiles has to be a list of slugs"
    return unknown(options, ("profiles",))

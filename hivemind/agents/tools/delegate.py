"""`delegate`: a job for another agent, whose answer is the tool's result.

The child has its own row below the agent that called, so caps count for both; its id is the effect's, so the
same call again is the same child. Its text passes the gates as every message does. It outlives a crash of its
parent, and ends with the parent's turn.
"""

from collections import defaultdict
from contextlib import suppress
from typing import Any
from uuid import UUID

import trio

from hivemind.actors import ActorDeadError, ActorSystem, Address
from hivemind.agents.events import Reply
from hivemind.agents.following import answer
from hivemind.agents.messages import Interrupt, UserMessage
from hivemind.agents.profile import Profiles
from hivemind.agents.tools.tool import Call, Outcome, Tool
from hivemind.agents.tools.toolbox import Builtin, Options, unknown
from hivemind.errors import DatabaseUnavailable, HivemindError, MailboxFull
from hivemind.persistence import Database, load_queries

NAME = "delegate"
MAX_DEPTH = 3
MAX_CHILDREN = 8
MAX_SECONDS = 600.0
_QUERIES = load_queries("hivemind.agents.tools", "queries.sql")
_DESCRIPTION = (
    "Give a job to another agent and get its answer. It knows nothing of this conversation: say everything "
    "that it needs."
)


def builtin(system: ActorSystem, database: Database, profiles: Profiles) -> Builtin:
    """The tool; a profile's `profiles` say which others it may give jobs to."""
    delegation = Delegation(system, database, profiles)

    def make(options: Options) -> Tool:
        parameters = {
            "type": "object",
            "properties": {
                "agent": {"enum": list(options["profiles"]), "description": "which agent"},
                "job": {
                    "type": "string",
                    "minLength": 1,
                    "description": "what it is to do, and all it needs",
                },
            },
            "required": ["agent", "job"],
            "additionalProperties": False,
        }
        return Tool(
            NAME,
            _DESCRIPTION,
            parameters,
            delegation.run,
            repeatable=True,
            timeout_seconds=MAX_SECONDS + 30,
            outbound=False,
            abandon=delegation.abandon,
        )

    return Builtin(make, _mistake)


class Delegation:
    """Keeps each turn to its number of children, also for calls that run at once."""

    def __init__(self, system: ActorSystem, database: Database, profiles: Profiles) -> None:
        self._system = system
        self._database = database
        self._profiles = profiles
        self._running: dict[UUID, set[UUID]] = defaultdict(set)

    async def run(self, call: Call) -> Outcome:
        """Have the job done, or say why it is not."""
        self._running[call.turn_id].add(call.id)
        try:
            return await self._run(call)
        except HivemindError as error:
            return Outcome(f"{call.arguments['agent']} did not do it: {error.message}", failed=True)
        finally:
            running = self._running[call.turn_id]
            running.discard(call.id)
            if not running:
                del self._running[call.turn_id]

    async def _run(self, call: Call) -> Outcome:
        scope = f"{NAME}:{call.turn_id}"
        row = await self._database.fetch_one(
            _QUERIES["delegation"],
            {"agent": call.agent_id, "turn": call.turn_id, "scope": scope, "most": MAX_DEPTH + 1},
            repeatable=True,
        )
        if row is None:
            raise DatabaseUnavailable
        if row["depth"] >= MAX_DEPTH:
            return Outcome(
                f"Jobs are passed on at most {MAX_DEPTH} times: do this one yourself.", failed=True
            )
        children = {UUID(key) for key in row["children"]} | self._running[call.turn_id]
        if len(children) > MAX_CHILDREN and str(call.id) not in row["children"]:
            return Outcome(f"One answer may give out at most {MAX_CHILDREN} jobs.", failed=True)
        message = UserMessage(
            call.arguments["job"],
            await self._profiles.by_slug(call.arguments["agent"]),
            call.caller,
            opens=True,
            idempotency=(scope, str(call.id)),
            schedule_id=row["schedule_id"],
            parent_id=call.agent_id,
        )
        return await self._answered(self._system.at(f"/agents/{call.id}"), message)

    async def _answered(self, child: Address, message: UserMessage) -> Outcome:
        with trio.move_on_after(MAX_SECONDS):
            # Cancelled, the child goes on: the agent may have crashed, and take it up again.
            last = await answer(self._system, child, message)
            if isinstance(last, Reply):
                return Outcome(last.text)
            return Outcome(f"{message.profile.slug} did not do it: {last.error.message}", failed=True)
        _interrupt(child)
        return Outcome(f"{message.profile.slug} was not done within {MAX_SECONDS:g} seconds.", failed=True)

    def abandon(self, call_id: UUID) -> None:
        """End the child's turn: nobody is there for its answer any more, so it is not to be paid for."""
        _interrupt(self._system.at(f"/agents/{call_id}"))


def _interrupt(child: Address) -> None:
    with suppress(ActorDeadError, MailboxFull):
        child.tell(Interrupt())


def _mistake(options: Options) -> str | None:
    slugs: Any = options.get("profiles")
    if not isinstance(slugs, list) or not slugs or not all(isinstance(slug, str) for slug in slugs):
        return "profiles has to list the slugs that it may give jobs to"
    return unknown(options, ("profiles",))

"""What was refused before an agent took it, for the audit log: counted here, written every few seconds.

One row tells of all refusals of one caller for one reason: a flood of requests is no flood of rows.
What the gates of an agent refuse is written at once, by the turn.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

import trio

from hivemind.actors import Actor
from hivemind.audit import Action, record
from hivemind.errors import DatabaseUnavailable, HivemindError
from hivemind.metrics import Counts
from hivemind.persistence import Database

log = logging.getLogger("hivemind.http")

WRITE_SECONDS = 5.0
MAX_GROUPS = 200


@dataclass(frozen=True, slots=True)
class Group:
    """Refusals that one row tells of; those that find no room any more are told of without their caller."""

    code: str
    reason: str
    caller: str | None
    conversation_id: UUID | None


class Refusals:
    """At most `MAX_GROUPS` groups and one for each reason wait to be written."""

    def __init__(self, counts: Counts | None = None) -> None:
        self._counts: dict[Group, int] = {}
        self._metrics = counts or Counts()

    def note(self, refusal: HivemindError, caller: str, conversation_id: UUID | None) -> None:
        """Count one refusal."""
        self._metrics.add("hivemind_refusals_total", (refusal.code,))
        group = Group(refusal.code, refusal.message, caller, conversation_id)
        if group not in self._counts and len(self._counts) >= MAX_GROUPS:
            # The message may hold numbers that the client chooses; the code does not.
            group = Group(refusal.code, "", None, None)
        self._counts[group] = self._counts.get(group, 0) + 1

    def take(self) -> Mapping[Group, int]:
        """What waits; it is the caller's now."""
        counts, self._counts = self._counts, {}
        return counts

    def give_back(self, counts: Mapping[Group, int]) -> None:
        """Keep what could not be written."""
        for group, count in counts.items():
            self._counts[group] = self._counts.get(group, 0) + count


class RefusalWriter(Actor):
    """Writes what was refused; what cannot be written now is kept, and written at the next time."""

    mode = "task"
    kind: ClassVar[str] = "refusals"

    def __init__(self, database: Database, refusals: Refusals) -> None:
        self._database = database
        self._refusals = refusals
        self._written = 0

    def on_start(self) -> None:
        """Begin to write."""
        self.spawn_task(self._write_on)

    async def on_stop(self) -> None:
        """Write the last."""
        await self._write()

    def facts(self) -> Mapping[str, object]:
        """How many rows were written."""
        return {"rows_written": self._written}

    async def _write_on(self) -> None:
        while True:
            await trio.sleep(WRITE_SECONDS)
            await self._write()

    async def _write(self) -> None:
        waiting = dict(self._refusals.take())
        try:
            while waiting:
                group, count = next(iter(waiting.items()))
                await record(
                    self._database,
                    Action.REQUEST_REFUSED,
                    agent_id=group.conversation_id,
                    caller=group.caller,
                    detail={"code": group.code, "reason": group.reason, "count": count},
                )
                del waiting[group]
                self._written += 1
        except DatabaseUnavailable as error:
            log.warning("refusals wait to be written: %s", error)
        finally:
            self._refusals.give_back(waiting)

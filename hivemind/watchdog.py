"""The watchdog: takes up turns that nobody works on, gives expired reservations back, records health.

Each sweep is fail-soft: what fails now is tried again at the next.
"""

import logging
from collections.abc import Mapping
from typing import ClassVar

import trio

from hivemind.actors import Actor
from hivemind.agents import Resume, expire_approvals, unfinished_agents
from hivemind.budgets import release_expired
from hivemind.errors import DatabaseUnavailable
from hivemind.health import Health
from hivemind.persistence import Database, Jsonb, load_queries

log = logging.getLogger("hivemind.watchdog")

SWEEP_SECONDS = 30.0
HEALTH_SECONDS = 300.0
_QUERIES = load_queries("hivemind", "watchdog.sql")


class Watchdog(Actor):
    """Looks after what has no actor of its own at the moment. The first sweep is at the start."""

    mode = "task"
    kind: ClassVar[str] = "watchdog"

    def __init__(self, database: Database, health: Health) -> None:
        self._database = database
        self._health = health
        self._sweeps = 0
        self._nudged = 0

    def on_start(self) -> None:
        """Begin to sweep."""
        self.spawn_task(self._sweep_on)
        self.spawn_task(self._record_health_on)

    def facts(self) -> Mapping[str, object]:
        """How often it looked, and how often it told an agent of a turn that has not ended."""
        return {"sweeps": self._sweeps, "turns_nudged": self._nudged}

    async def _sweep_on(self) -> None:
        while True:
            try:
                await self._sweep()
            except DatabaseUnavailable as error:
                log.warning("the sweep waits for the database: %s", error)
            await trio.sleep(SWEEP_SECONDS)

    async def _sweep(self) -> None:
        self._sweeps += 1
        expired = await expire_approvals(self._database)
        for agent_id in dict.fromkeys([*expired, *await unfinished_agents(self._database)]):
            # An agent that works on it takes no notice.
            self.system.at(f"/agents/{agent_id}").tell(Resume())
            self._nudged += 1
        released = await release_expired(self._database)
        if released:
            log.warning("gave back %d reservations that nobody ended", released)

    async def _record_health_on(self) -> None:
        while True:
            report = await self._health.check()
            checks = {name: check.as_dict() for name, check in report.checks.items()}
            try:
                await self._database.execute(_QUERIES["record_health"], (report.status, Jsonb(checks)))
            except DatabaseUnavailable as error:
                log.warning("the health check could not be recorded: %s", error)
            await trio.sleep(HEALTH_SECONDS)

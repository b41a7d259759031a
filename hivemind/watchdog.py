"""The watchdog: looks after agents that nobody works on or that go too far, after money, and records health.

Each sweep is fail-soft: what fails now is tried again at the next, and one agent that cannot be dealt with
keeps nobody from the others. When an agent is warned, paused or killed is decided by `strikes`.
"""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

import trio

from hivemind.actors import Actor, ActorDeadError, Exit, GivenUp
from hivemind.agents import (
    Resources,
    Resume,
    control,
    expire_approvals,
    give_up,
    keeping,
    unfinished_agents,
)
from hivemind.audit import Action, record
from hivemind.budgets import release_expired
from hivemind.errors import Conflict, DatabaseUnavailable, MailboxFull, NotFound
from hivemind.health import Health, keep
from hivemind.persistence import Row, load_queries
from hivemind.settings import WatchdogSettings
from hivemind.strikes import Deed, judge, told

log = logging.getLogger("hivemind.watchdog")

# What a turn may take over its time: to notice, and to be written down.
GRACE_SECONDS = 30.0
# A little less than an interval, so that a sweep which comes early still counts.
_JUDGED_SHARE = 0.8
_QUERIES = load_queries("hivemind", "watchdog.sql")
_DONE: Mapping[Deed, str] = {"warn": "warned", "pause": "paused", "kill": "killed", "forgive": "forgiven"}
# What changes the agent's state is audited with that.
_AUDITED: Mapping[Deed, Action] = {"warn": Action.AGENT_WARNED, "forgive": Action.AGENT_FORGIVEN}


@dataclass(frozen=True, slots=True)
class Sweep:
    """Look now; answered when that is done."""


class Watchdog(Actor):
    """Looks after what has no actor of its own at the moment. The first sweep is at the start."""

    mode = "task"
    kind: ClassVar[str] = "watchdog"
    expected_errors: ClassVar[tuple[type[BaseException], ...]] = (DatabaseUnavailable,)

    def __init__(self, resources: Resources, health: Health, settings: WatchdogSettings) -> None:
        self._resources = resources
        self._database = resources.database
        self._health = health
        self._settings = settings
        self._counts = dict.fromkeys(("sweeps", "turns_nudged", *_DONE.values(), "failed"), 0)
        self._system_health: str | None = None

    def on_start(self) -> None:
        """Begin to sweep."""
        self.spawn_task(keeping.keep_on, self._resources)
        self.spawn_task(self._sweep_on)
        self.spawn_task(self._record_health_on)

    async def on_stop(self) -> None:
        """Let other servers take up at once what is left here."""
        try:
            await keeping.leave(self._resources)
        except DatabaseUnavailable as error:
            log.warning("turns are anybody's when this server is missed: %s", error)

    async def on_receive(self, message: object) -> None:
        """Sweep at once."""
        if isinstance(message, Sweep):
            await self._sweep()

    def facts(self) -> Mapping[str, object]:
        """How often it looked, what it has done to agents, and the health that it recorded last."""
        return {**self._counts, "health": self._system_health}

    async def _sweep_on(self) -> None:
        while True:
            try:
                await self._sweep()
            except DatabaseUnavailable as error:
                log.warning("the sweep waits for the database: %s", error)
            await trio.sleep(self._settings.sweep_seconds)

    async def _sweep(self) -> None:
        self._counts["sweeps"] += 1
        expired = await expire_approvals(self._database)
        unfinished = await unfinished_agents(self._database, self._resources.server)
        for agent_id in dict.fromkeys([*expired, *unfinished]):
            await self._nudge(agent_id)
        released = await release_expired(self._database)
        if released:
            log.warning("gave back %d reservations that nobody ended", released)
        await self._judge_all()

    async def _nudge(self, agent_id: UUID) -> None:
        """Have a turn taken up: an agent that works on it takes no notice, one that is flooded will."""
        try:
            self.system.at(f"/agents/{agent_id}").tell(Resume())
        except GivenUp as given_up:
            # It could not be written down when it was given up, and its turn would wait for ever.
            await give_up(self._resources, agent_id, Exit("error", given_up))
        except (ActorDeadError, MailboxFull):
            return
        self._counts["turns_nudged"] += 1

    # -- strikes

    async def _judge_all(self) -> None:
        """Judge every agent, unless another server has done so in this interval."""
        interval = self._settings.sweep_seconds * _JUDGED_SHARE
        if await self._database.fetch_one(_QUERIES["judge_now"], (interval,)) is None:
            return
        await self._database.execute(_QUERIES["forget_ended"], repeatable=True)
        limits = {"grace_seconds": GRACE_SECONDS, "heartbeat_seconds": self._settings.heartbeat_seconds}
        for row in await self._database.fetch_all(_QUERIES["suspects"], limits, repeatable=True):
            try:
                await self._judge(row)
            except DatabaseUnavailable:
                raise
            except Exception:
                self._counts["failed"] += 1
                log.exception("agent %s could not be dealt with", row["id"])

    async def _judge(self, row: Row) -> None:
        judgement = judge(row["strikes"], row["breaches"])
        if judgement.deed is not None:
            await self._do(judgement.deed, row, judgement.strikes)
        # After the deed: what was cut off here is done again at the next sweep, and does no harm twice.
        if judgement.strikes:
            values = (row["id"], judgement.strikes, row["breaches"])
            await self._database.execute(_QUERIES["set_strikes"], values, repeatable=True)
        else:
            await self._database.execute(_QUERIES["forget_strikes"], (row["id"],), repeatable=True)

    async def _do(self, deed: Deed, row: Row, strikes: int) -> None:
        agent_id: UUID = row["id"]
        why = told(row["breaches"])
        match deed:
            case "pause" | "kill":
                # It may have been paused, or have ended, since it was looked at.
                with suppress(Conflict, NotFound):
                    await control.change(
                        self.system, self._database, agent_id, deed, by="watchdog:strikes", reason=why
                    )
            case "warn" | "forgive":
                await record(
                    self._database,
                    _AUDITED[deed],
                    profile_id=row["profile_id"],
                    agent_id=agent_id,
                    detail={"strikes": strikes, "breaches": row["breaches"]},
                )
        if deed != "forgive":
            log.warning("agent %s is %s at strike %d: %s", agent_id, _DONE[deed], strikes, why)
        self._counts[_DONE[deed]] += 1

    # -- health

    async def _record_health_on(self) -> None:
        while True:
            report = await self._health.check()
            self._system_health = report.status
            try:
                await keep(self._database, report)
            except DatabaseUnavailable as error:
                log.warning("the health check could not be recorded: %s", error)
            await trio.sleep(self._settings.health_seconds)

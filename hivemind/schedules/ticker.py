"""The actor that looks at the schedules once a minute, and tells the dispatcher of what came of it."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import ClassVar

import trio

from hivemind.actors import Actor
from hivemind.agents import dispatcher
from hivemind.errors import DatabaseUnavailable
from hivemind.schedules.ticking import Sweep

log = logging.getLogger("hivemind.schedules")

EVERY_SECONDS = 60.0
RETRY_SECONDS = 5.0


def utc_now() -> datetime:
    """The time by the machine's clock."""
    return datetime.now(UTC)


class Ticker(Actor):
    """Looks at the start, then at the start of each minute; sooner again where the database was away."""

    mode = "task"
    kind: ClassVar[str] = "schedules"

    def __init__(
        self, sweep: Callable[[datetime], Awaitable[Sweep]], now: Callable[[], datetime] = utc_now
    ) -> None:
        self._sweep = sweep
        self._now = now
        self._looked_at: datetime | None = None
        self._fired = 0
        self._failures = 0

    def on_start(self) -> None:
        """Begin to look."""
        self.spawn_task(self._look_on)

    def facts(self) -> Mapping[str, object]:
        """When it looked last, and what came of all looks."""
        return {"looked_at": self._looked_at, "fired": self._fired, "failures": self._failures}

    async def _look_on(self) -> None:
        while True:
            try:
                await self._look()
            except DatabaseUnavailable as error:
                log.warning("the schedules wait for the database: %s", error)
                await trio.sleep(RETRY_SECONDS)
                continue
            await trio.sleep(EVERY_SECONDS - self._now().timestamp() % EVERY_SECONDS)

    async def _look(self) -> None:
        now = self._looked_at = self._now()
        done = await self._sweep(now)
        self._failures += done.failures
        for fired in done.fired:
            for gone in fired.replaced:
                dispatcher.tell(self.system, dispatcher.Cancelled(gone))
        made = sum(fired.directive_id is not None for fired in done.fired)
        if made:
            self._fired += made
            dispatcher.tell(self.system, dispatcher.Wake())

"""The actor that pulls the workspace now and then, and at once what a webhook says has changed."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

import trio

from hivemind.actors import Actor, ActorDeadError, ActorSystem
from hivemind.errors import DatabaseUnavailable, IntegrationError
from hivemind.outbound import HttpClient
from hivemind.persistence import Database
from hivemind.plane.client import PlaneClient
from hivemind.plane.item import Place
from hivemind.plane.pull import Pulled, note_failure, pull, pull_one
from hivemind.plane.waiting import Pace
from hivemind.settings import PlaneSettings

log = logging.getLogger("hivemind.plane")

ADDRESS = "/workers/plane"
MAX_HINTS = 1_000


@dataclass(frozen=True, slots=True)
class Changed:
    """Plane says that this item was changed or deleted."""

    project: str
    item_id: str


def tell(system: ActorSystem, changed: Changed) -> None:
    """Tell the puller of this process; if it is down, the next pull finds the change."""
    try:
        system.at(ADDRESS).tell(changed)
    except ActorDeadError:
        log.info("nobody pulls from Plane at the moment")


class Puller(Actor):
    """Without a key it does nothing at all."""

    mode = "task"
    kind: ClassVar[str] = "plane"

    def __init__(
        self, database: Database, client: HttpClient, settings: PlaneSettings, pace: Pace | None = None
    ) -> None:
        self._database = database
        self._settings = settings
        self._client = PlaneClient(client, settings, pace or Pace())
        self._hints: dict[Changed, None] = {}
        self._hinted = trio.Event()
        self._total = Pulled()
        self._pulls = 0
        self._last_error: str | None = None
        self._pulled_at: datetime | None = None

    @property
    def configured(self) -> bool:
        """Whether there is something to pull from."""
        return self._settings.api_key is not None and bool(self._settings.workspace)

    def on_start(self) -> None:
        """Begin to pull."""
        if self.configured:
            self.spawn_task(self._pull_on)
        elif self._settings.api_key is not None:
            log.warning("PLANE_API_KEY is set and PLANE_WORKSPACE is not: nothing is pulled")

    def on_receive(self, message: object) -> None:
        """Keep a hint until there is time for it; more than can be kept come with the next pull."""
        if isinstance(message, Changed) and self.configured and len(self._hints) < MAX_HINTS:
            self._hints[message] = None
            self._hinted.set()

    def facts(self) -> Mapping[str, object]:
        """What was pulled, and what went wrong last."""
        return {
            "configured": self.configured,
            "pulls": self._pulls,
            "pulled_at": self._pulled_at,
            "requests": self._client.requests,
            "new": self._total.new,
            "changed": self._total.changed,
            "gone": self._total.gone,
            "skipped": self._total.skipped,
            "last_error": self._last_error,
        }

    async def _pull_on(self) -> None:
        while True:
            began_at = trio.current_time()
            await self._pull_all()
            while trio.current_time() < began_at + self._settings.every_seconds:
                with trio.move_on_at(began_at + self._settings.every_seconds):
                    await self._hinted.wait()
                    await self._follow_hints()

    async def _pull_all(self) -> None:
        try:
            projects = list(self._settings.projects) or await self._client.projects()
        except IntegrationError as error:
            self._tell(error)
            return
        for project in projects:
            try:
                done = await pull(
                    self._database, self._client, self._place(project), self._settings.full_every
                )
            except IntegrationError as error:
                self._tell(error)
                await self._note(project, error)
            except DatabaseUnavailable as error:
                self._tell(error)
            else:
                self._total += done
                self._pulls += 1
                self._pulled_at = datetime.now(UTC)

    async def _follow_hints(self) -> None:
        while self._hints:
            hint = next(iter(self._hints))
            del self._hints[hint]
            if self._settings.projects and hint.project not in self._settings.projects:
                continue
            try:
                place = self._place(hint.project)
                self._total += await pull_one(self._database, self._client, place, hint.item_id)
            except (IntegrationError, DatabaseUnavailable) as error:
                self._tell(error)
        self._hinted = trio.Event()

    async def _note(self, project: str, error: IntegrationError) -> None:
        try:
            await note_failure(self._database, project, error.message)
        except DatabaseUnavailable as away:
            log.warning("the failure of a pull is not kept: %s", away)

    def _place(self, project: str) -> Place:
        return Place(self._settings.base_url, self._settings.workspace, project)

    def _tell(self, error: IntegrationError | DatabaseUnavailable) -> None:
        self._last_error = error.message
        log.warning("nothing is pulled from Plane: %s", error.message)

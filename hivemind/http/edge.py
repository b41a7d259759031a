"""The edge as an actor: the last child to start and the first to stop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import trio

from hivemind.actors import Actor
from hivemind.http.lane import Lane
from hivemind.http.server import Bound, serve
from hivemind.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class Drain:
    """Stop accepting, let what is in flight finish, close; answered when that is done or its time is up."""


class Edge(Actor):
    """Owns the listening socket: when the server fails it is restarted like anything else."""

    mode = "task"
    kind: ClassVar[str] = "edge"

    def __init__(self, lane: Lane, settings: ServerSettings) -> None:
        self._lane = lane
        self._settings = settings
        self._stop = trio.Event()
        self._ended = trio.Event()
        self._ready = trio.Event()
        self._bound: Bound | None = None
        self._failure: Exception | None = None

    async def on_start(self) -> None:
        """Return when the server listens; raise what kept it from it."""
        self.spawn_task(self._serve)
        await self._ready.wait()
        if self._failure is not None:
            raise self._failure

    async def on_receive(self, message: Any) -> Bound | None:
        """Drain on demand; any other message asks where the server listens."""
        if isinstance(message, Drain):
            self._stop.set()
            await self._ended.wait()
        return self._bound

    def facts(self) -> Mapping[str, object]:
        """Where it listens."""
        return {"listens": f"{self._bound.host}:{self._bound.port}" if self._bound else None}

    async def _serve(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._bound = await nursery.start(self._run)
                self._ready.set()
        except Exception as error:
            if self._ready.is_set():
                raise
            self._failure = _lone(error)
            self._ready.set()
        finally:
            self._ended.set()

    async def _run(self, task_status: trio.TaskStatus[Bound]) -> None:
        await serve(self._lane, self._settings, stop=self._stop, task_status=task_status)


def _lone(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error

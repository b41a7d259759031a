# ruff: noqa: A002 -- an exit is what ends an actor, as in OTP
"""The actor that keeps a child process of the server alive: the embedded Postgres, the local model."""

from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

from hivemind.actors import Actor, Exit
from hivemind.errors import HivemindError


class Child(Protocol):
    """A child process, as its own module knows to run it."""

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""

    async def start(self, report: Callable[[str], None]) -> None:
        """Run it and return when it answers."""

    async def wait(self) -> None:
        """Return when it has died."""

    async def stop(self) -> None:
        """End it in order."""


class ChildDied(HivemindError):
    """A child process ended by itself."""

    code = "child_died"


class ChildProcess(Actor):
    """One child process: it dies, the actor fails, the supervisor starts both again by its policy."""

    mode = "task"
    kind: ClassVar[str] = "children"
    expected_errors: ClassVar[tuple[type[BaseException], ...]] = (HivemindError,)

    def __init__(self, name: str, child: Child, report: Callable[[str], None]) -> None:
        self._name = name
        self._child = child
        self._report = report

    def on_start(self) -> None:
        """Start the process without holding the tree up: the parts above wait for it by themselves."""
        self.spawn_task(self._keep)

    async def _keep(self) -> None:
        if self._child.pid is None:
            await self._child.start(self._report)
        await self._child.wait()
        # Reaps it and gives up what it held, so that the next incarnation finds none and starts one.
        await self._child.stop()
        raise ChildDied(f"{self._name} ended by itself")

    async def on_stop(self) -> None:
        """End the process with the actor."""
        await self._child.stop()

    def on_exit(self, exit: Exit) -> None:
        """Leave the process alone when the actor failed or was killed: the next one takes it over."""

    def facts(self) -> Mapping[str, object]:
        """Which process it is."""
        return {"pid": self._child.pid}

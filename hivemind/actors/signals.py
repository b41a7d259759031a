# ruff: noqa: A002 -- an exit is what ends an actor, as in OTP
"""What actors tell each other about their ends: exits, `Down`, `LinkExit`, and who watches whom.

The error classes of the runtime are here too, because only this package may derive from pykka's. Whether
an exit leads to a restart is decided in `policy`.
"""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import pykka
import trio

if TYPE_CHECKING:
    from hivemind.actors.cell import Cell
    from hivemind.actors.ref import ActorRef

ExitReason = Literal["normal", "shutdown", "passivated", "killed", "error", "start_failed", "noproc"]


@dataclass(frozen=True, slots=True)
class Exit:
    """Why one incarnation of an actor ended."""

    reason: ExitReason
    error: BaseException | None = None

    @property
    def abnormal(self) -> bool:
        """Whether a transient child is restarted after it."""
        return self.reason in {"killed", "error", "start_failed"}


NORMAL: Final = Exit("normal")
SHUTDOWN: Final = Exit("shutdown")
PASSIVATED: Final = Exit("passivated")
KILLED: Final = Exit("killed")
NOPROC: Final = Exit("noproc")


@dataclass(frozen=True, slots=True)
class Down:
    """Told once to a monitoring actor when the incarnation that it watched ended."""

    ref: "ActorRef"
    exit: Exit
    monitor: int


@dataclass(frozen=True, slots=True)
class LinkExit:
    """Told to a linked actor that sets `trap_exit`, in place of ending with its peer."""

    ref: "ActorRef"
    exit: Exit


class WouldDeadlock(RuntimeError):
    """A blocking call was made on the thread that runs the actors."""


class ActorFailed(pykka.ActorDeadError):
    """The actor failed on this very message; `__cause__` says how."""


class GivenUp(pykka.ActorDeadError):
    """The row spent its restart budget and waits for an operator."""


class CallTimeout(pykka.Timeout, TimeoutError):
    """No answer came in time; the request is dropped if it had not begun."""


class Escalated(Exception):
    """A supervisor spent its restart budget: its own parent decides now."""


class Watches:
    """Monitors and links of one system; an actor that uses none costs nothing here.

    Every entry belongs to the present incarnation of its target and is gone once that has ended.
    """

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._monitors: dict[Cell, dict[int, Cell]] = {}
        self._links: dict[Cell, set[Cell]] = {}

    def monitor(self, target: "Cell", watcher: "Cell") -> int:
        """Have `watcher` told `Down` when `target` ends; at once if it is already dead."""
        monitor = next(self._ids)
        if target.actor is None:
            watcher.mailbox.put_late(Down(target.ref, NOPROC, monitor))
        else:
            self._monitors.setdefault(target, {})[monitor] = watcher
        return monitor

    def demonitor(self, monitor: int) -> None:
        """Forget a monitor; an unknown one is no error, since it may just have fired."""
        for watchers in self._monitors.values():
            if watchers.pop(monitor, None) is not None:
                return

    def link(self, one: "Cell", other: "Cell") -> None:
        """Tie two lives: the abnormal end of one ends the other, unless that traps exits."""
        self._links.setdefault(one, set()).add(other)
        self._links.setdefault(other, set()).add(one)

    def unlink(self, one: "Cell", other: "Cell") -> None:
        """Undo `link`."""
        self._links.get(one, set()).discard(other)
        self._links.get(other, set()).discard(one)

    def ended(self, cell: "Cell", exit: Exit) -> None:
        """Tell everyone who watched this incarnation. Synchronous: part of the exit path."""
        if self._monitors:
            for monitor, watcher in self._monitors.pop(cell, {}).items():
                watcher.mailbox.put_late(Down(cell.ref, exit, monitor))
        if self._links:
            for peer in self._links.pop(cell, ()):
                self._links.get(peer, set()).discard(cell)
                if peer.actor is None:
                    continue
                if peer.actor.trap_exit:
                    peer.mailbox.put_late(LinkExit(cell.ref, exit))
                elif exit.abnormal:
                    peer.kill(exit)


class StartFailed(Exception):
    """A child did not come up; `__cause__` says why."""


def split_cancelled(
    error: BaseException,
) -> tuple[BaseException | None, BaseException | None]:
    """Part trio's cancellation, which must go on, from what an actor did wrong."""
    if isinstance(error, trio.Cancelled):
        return error, None
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)
    return None, error

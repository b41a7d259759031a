# ruff: noqa: A001, A002 -- an exit is what ends an actor, as in OTP
"""Keeping children running as OTP does: strategies, ordered start, reverse stop, budget, escalation.

What to do after an exit is decided by `policy.decide`; this does it. Every decision is a message in the
supervisor's own mailbox, so decisions are serial and a flapping child never makes it deaf. A back-off is a
timer that sends a message, never a sleep. Children that are database rows are in `rows`.
"""

import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import trio

from hivemind.actors.actor import Actor
from hivemind.actors.cell import Cell, State
from hivemind.actors.future import Future
from hivemind.actors.mailbox import CLOSED
from hivemind.actors.policy import (
    ChildSpec,
    Decision,
    Escalate,
    Forget,
    GiveUp,
    History,
    Restart,
    Wait,
    decide,
    wants_restart,
    within,
)
from hivemind.actors.ref import ActorRef
from hivemind.actors.signals import Escalated, Exit, StartFailed
from hivemind.errors import Conflict, NotFound

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]

logger = logging.getLogger("hivemind.actors")


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start one more child; answers its ref."""

    spec: ChildSpec


@dataclass(frozen=True, slots=True)
class StopChild:
    """Stop a child in order and leave it down."""

    name: str


@dataclass(frozen=True, slots=True)
class RestartChild:
    """Stop a child if it runs and start it with a clean history; answers its ref."""

    name: str


@dataclass(frozen=True, slots=True)
class SuspendChild:
    """Have a child handle nothing; its mail is kept."""

    name: str


@dataclass(frozen=True, slots=True)
class ResumeChild:
    """Undo `SuspendChild`."""

    name: str


@dataclass(frozen=True, slots=True)
class WhichChildren:
    """Answers a tuple of `ChildFacts` in start order."""


@dataclass(frozen=True, slots=True)
class CountChildren:
    """Answers the number of children by state."""


@dataclass(frozen=True, slots=True)
class ChildFacts:
    """One child as its supervisor sees it."""

    name: str
    state: State
    restarts: int
    ref: ActorRef


@dataclass(frozen=True, slots=True)
class Exited:
    """A child ended by itself."""

    cell: Cell
    incarnation: int
    exit: Exit


@dataclass(frozen=True, slots=True)
class Due:
    """A child's back-off is over."""

    cell: Cell
    incarnation: int


class Supervisor(Actor):
    """Owns its children: none of them outlives it, and only it starts, stops or forgets them.

    `children` is in start order, keyed by address. A child that was stopped, or whose exit its policy
    takes as final, stays listed as `down` until it is restarted; a temporary one is forgotten.
    """

    mode = "task"
    kind = "supervisor"
    has_children: ClassVar[bool] = True
    expected_errors = (NotFound, Conflict, StartFailed)

    def __init__(
        self,
        children: Iterable[ChildSpec] = (),
        *,
        strategy: Strategy = "one_for_one",
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.children: dict[str, Cell] = {}
        self.strategy = strategy
        self.chance = chance
        self._specs = tuple(children)
        self._restarted_at: tuple[float, ...] = ()
        self._awaited: tuple[Cell, Future[Exit | None]] | None = None
        self._stopping: set[Cell] = set()
        self._kept: set[Cell] = set()
        self._releasing = False

    async def on_start(self) -> None:
        """Start the children in order; the first failure is the supervisor's own."""
        for spec in self._specs:
            cell = self._adopt(spec)
            exit = await self._start(cell)
            if exit is not None:
                error = exit.error or StartFailed(f"{cell.address} ended while it started: {exit.reason}")
                error.add_note(f"while {cell.address} was started")
                raise error

    async def on_receive(self, message: Any) -> Any:  # noqa: C901, PLR0912 one table of messages
        """Carry out one decision or one wish of an operator."""
        match message:
            case Exited(cell, incarnation, exit):
                if self._is_current(cell, incarnation) and cell.actor is None:
                    await self._exited(cell, exit)
            case Due(cell, incarnation):
                if self._is_current(cell, incarnation) and cell.state == "waiting":
                    await self._restart(cell)
            case StartChild(spec):
                return await self._start_child(spec)
            case StopChild(name):
                await self._stop_child(self._child_named(name))
            case RestartChild(name):
                return await self._restart_child(name)
            case SuspendChild(name):
                self._child_named(name).suspend()
            case ResumeChild(name):
                self._child_named(name).resume()
            case WhichChildren():
                return tuple(
                    ChildFacts(cell.name, cell.state, cell.restarts, cell.ref)
                    for cell in self.children.values()
                )
            case CountChildren():
                counts: dict[str, int] = {}
                for cell in self.children.values():
                    counts[cell.state] = counts.get(cell.state, 0) + 1
                return counts
            case _:
                logger.warning("%s does not understand %s", self.address, type(message).__name__)
        return None

    # -- told by the children's exit path, synchronously

    def child_started(self, cell: Cell) -> None:
        """Note that a child is up."""
        if self._awaited is not None and self._awaited[0] is cell:
            (_, outcome), self._awaited = self._awaited, None
            outcome.set(None)

    def keeps_mailbox(self, cell: Cell, exit: Exit) -> bool:
        """Whether a restart may follow, so that the mail of a dying child has to be kept."""
        if self._releasing or self.children.get(cell.address) is not cell:
            return False
        if cell in self._stopping:
            return cell in self._kept
        return wants_restart(cell.policy, exit)

    def child_ended(self, cell: Cell, exit: Exit) -> None:
        """Queue the decision, unless this end was asked for."""
        if self._awaited is not None and self._awaited[0] is cell:
            (_, outcome), self._awaited = self._awaited, None
            outcome.set(exit)
        elif cell in self._stopping or self._releasing:
            return
        elif self.strategy == "one_for_one" and not self._cell.mailbox.signal:
            # A restart that concerns nobody else need not wait for the supervisor's turn.
            decision = self._decide(cell, exit, cell.since)
            if type(decision) is Restart:
                self._remember(cell, decision.history)
                self._relaunch(cell)
            else:
                self._tell_self(Exited(cell, cell.incarnation, exit))
        else:
            self._tell_self(Exited(cell, cell.incarnation, exit))

    # -- deciding and doing

    def _decide(self, cell: Cell, exit: Exit, now: float) -> Decision:
        attempts = 0 if cell.history is None else cell.history.attempts
        up_at = None if exit.reason == "start_failed" else cell.up_at
        history = History(self._restarted_at, attempts, up_at)
        return decide(cell.policy, history, now, exit, chance=self.chance(), budget=self._cell.policy)

    def _remember(self, cell: Cell, history: History) -> None:
        """Keep the window for all children, and for each what an operator wants to see of it."""
        now = history.restarted_at[-1]
        earlier = () if cell.history is None else within(self._cell.policy, cell.history.restarted_at, now)
        self._restarted_at = history.restarted_at
        cell.history = History((*earlier, now), history.attempts)

    def _relaunch(self, cell: Cell) -> None:
        cell.restarts += 1
        self._launch(cell)

    def _launch(self, cell: Cell, spec: ChildSpec | None = None) -> None:
        """Start a child without waiting for it; a failure comes back as a message."""
        try:
            spec = spec or self._spec_of(cell)
            cell.incarnate(spec.args, spec.kwargs)
        except Exception as error:
            logger.exception("%s could not be made", cell.address)
            self._tell_self(Exited(cell, cell.incarnation, Exit("start_failed", error)))

    async def _exited(self, cell: Cell, exit: Exit) -> None:
        decision = self._decide(cell, exit, self.system.now())
        if isinstance(decision, (Restart, Wait)):
            self._remember(cell, decision.history)
        await self._follow(cell, exit, decision)

    async def _follow(self, cell: Cell, exit: Exit, decision: Decision) -> None:
        match decision:
            case Restart():
                await self._restart(cell)
            case Wait(seconds):
                cell.enter("waiting")
                due = Due(cell, cell.incarnation)
                self.system.timers.after(seconds, lambda: self._tell_self(due))
            case Forget():
                cell.bury()
                if cell.policy.restart == "temporary":
                    self._disown(cell)
            case GiveUp() | Escalate():
                cell.bury("failed")
                policy = self._cell.policy
                raise Escalated(
                    f"{cell.address}: more than {policy.max_restarts} restarts "
                    f"in {policy.within_seconds:g} seconds"
                ) from exit.error

    async def _restart(self, cell: Cell) -> None:
        """Restart a child, and with it whom the strategy names, in start order."""
        if self.strategy == "one_for_one":
            self._relaunch(cell)
            return
        everyone = list(self.children.values())
        group = everyone if self.strategy == "one_for_all" else everyone[everyone.index(cell) :]
        for other in reversed(group):
            if other is not cell:
                temporary = other.policy.restart == "temporary"
                await self._stop_child(other, keep=not temporary and not other.closed)
                if temporary:
                    self._disown(other)
        for member in group:
            if self.children.get(member.address) is not member:
                continue
            present = self._reopen(member)
            if present is cell or member is cell:
                present.restarts += 1
            exit = await self._start(present)
            if exit is not None:
                # As in OTP, after the mailbox had its turn; the failed try counts like any other.
                self._tell_self(Exited(present, present.incarnation, exit))
                return

    async def _start(self, cell: Cell) -> Exit | None:
        """Start a child and wait until it is up; return the exit if it did not come up."""
        outcome = Future[Exit | None]()
        self._awaited = (cell, outcome)
        try:
            spec = self._spec_of(cell)
            cell.incarnate(spec.args, spec.kwargs)
        except Exception as error:
            logger.exception("%s could not be made", cell.address)
            self._awaited = None
            return Exit("start_failed", error)
        try:
            return await outcome
        finally:
            self._awaited = None

    async def _stop_child(self, cell: Cell, *, keep: bool = False) -> None:
        """Stop in order, kill after the deadline; with `keep` the mail waits for a restart."""
        self._stopping.add(cell)
        if keep:
            self._kept.add(cell)
        try:
            if cell.actor is not None:
                seconds = cell.policy.shutdown_seconds
                if seconds > 0:
                    cell.stop()
                    with trio.move_on_after(seconds):
                        await cell.ended()
                if cell.actor is not None:
                    if seconds > 0:
                        logger.warning("%s did not stop in %g seconds: killed", cell.address, seconds)
                    cell.kill()
                    await cell.ended()
        finally:
            self._stopping.discard(cell)
            self._kept.discard(cell)
        if keep:
            cell.enter("down")
        else:
            cell.bury()

    async def _release(self, exit: Exit) -> None:
        """End all children before this supervisor ends: in reverse order, or by a kill."""
        self._releasing = True
        cells = list(reversed(self.children.values()))
        if exit.reason == "killed":
            for cell in cells:
                cell.kill()
            for cell in cells:
                await cell.ended()
        else:
            await self._stop_all(cells)
        for cell in cells:
            if cell.mailbox.state != CLOSED:
                cell.bury()
            self.system.forget(cell)

    async def _stop_all(self, cells: list[Cell]) -> None:
        for cell in cells:
            await self._stop_child(cell)

    # -- wishes

    async def _start_child(self, spec: ChildSpec) -> ActorRef:
        present = self.children.get(self._path(spec.name))
        if present is not None and not present.closed:
            raise Conflict(f"there is already a child {spec.name!r}")
        cell = self._adopt(spec)
        exit = await self._start(cell)
        if exit is not None:
            self._disown(cell)
            cell.bury()
            raise StartFailed(f"{cell.address} did not start") from exit.error
        return cell.ref

    async def _restart_child(self, name: str) -> ActorRef:
        cell = self._child_named(name)
        await self._stop_child(cell, keep=not cell.closed)
        cell = self._reopen(cell)
        cell.history = None
        cell.restarts += 1
        exit = await self._start(cell)
        if exit is not None:
            self._tell_self(Exited(cell, cell.incarnation, exit))
            raise StartFailed(f"{cell.address} did not start") from exit.error
        return cell.ref

    def _child_named(self, name: str) -> Cell:
        cell = self.children.get(self._path(name))
        if cell is None:
            raise NotFound(f"{self.address} has no child {name!r}")
        return cell

    # -- the table of children

    def _path(self, name: str) -> str:
        return f"{self.address.rstrip('/')}/{name}"

    def _adopt(self, spec: ChildSpec) -> Cell:
        if not spec.name or "/" in spec.name:
            raise Conflict(f"{spec.name!r} cannot be a child's name: it is one segment of an address")
        address = self._path(spec.name)
        cell = Cell(self.system, address, spec.cls, spec.policy, self)
        cell.spec = spec
        self.children[address] = self.system.cells[address] = cell
        return cell

    def _disown(self, cell: Cell) -> None:
        self.children.pop(cell.address, None)
        self.system.forget(cell)

    def _reopen(self, cell: Cell) -> Cell:
        """Return the cell, or a successor at the same place when its mailbox is closed for good."""
        if not cell.closed:
            return cell
        successor = self._adopt(self._spec_of(cell))
        successor.restarts = cell.restarts
        successor.last_exit = cell.last_exit
        successor.mailbox.handled = cell.mailbox.handled
        successor.mailbox.dropped = cell.mailbox.dropped
        return successor

    def _spec_of(self, cell: Cell) -> ChildSpec:
        assert cell.spec is not None
        return cell.spec

    def _is_current(self, cell: Cell, incarnation: int) -> bool:
        return self.children.get(cell.address) is cell and cell.incarnation == incarnation

    def _tell_self(self, message: object) -> None:
        self._cell.mailbox.put_late(message)


class RootSupervisor(Supervisor):
    """The top of a tree: says when it is up, and ends the system when it fails."""

    def __init__(self, children: Iterable[ChildSpec] = ()) -> None:
        super().__init__(children)
        self.ready = Future[None]()

    @classmethod
    def of(cls, cell: Cell) -> "RootSupervisor":
        """Return the root that lives in this cell."""
        assert isinstance(cell.actor, cls)
        return cell.actor

    async def on_start(self) -> None:
        """Start the tree."""
        await super().on_start()
        self.ready.set(None)

    def on_exit(self, exit: Exit) -> None:
        """Tell the system; a failed start is told to whoever waits for it."""
        if not self.ready.done:
            self.ready.fail(exit.error or StartFailed(f"the root supervisor ended: {exit.reason}"))
        else:
            self.system.root_ended(exit)

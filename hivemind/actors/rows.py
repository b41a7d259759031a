# ruff: noqa: A002 -- an exit is what ends an actor, as in OTP
"""Children that are database rows: started by their first message, each with a budget of its own.

A row that spends its budget is given up: it stays visible as `failed` until an operator restarts it, and
its siblings never notice. Only give-ups spend the supervisor's budget, so that "everything fails" still
escalates. Static children are in `supervisor`.
"""

import inspect
import logging
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import trio
from pykka import ActorDeadError

from hivemind.actors.cell import Cell
from hivemind.actors.mailbox import IDLE
from hivemind.actors.policy import (
    ChildSpec,
    Decision,
    Escalate,
    Forget,
    GiveUp,
    History,
    decide,
    within,
)
from hivemind.actors.signals import PASSIVATED, Escalated, Exit
from hivemind.actors.supervisor import Supervisor
from hivemind.actors.timers import Timer

logger = logging.getLogger("hivemind.actors")

SLICE = 256


@dataclass(frozen=True, slots=True)
class Reconcile:
    """The rows that should run, by name: the rest is stopped, a changed `version` restarts; `Changes`."""

    desired: Mapping[str, ChildSpec]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a reconciliation did."""

    started: int
    stopped: int
    changed: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """Passivate rows that were idle for too long."""


class RowSupervisor(Supervisor):
    """One child per row, named by the row's id.

    `child` makes the spec of a row when a message wants it (`None`: only reconciled rows exist). Idle
    means no received message handled, no mail waiting and no task running; a passivated row is dropped
    from memory and comes back with the next message.
    """

    kind = "rows"

    def __init__(
        self,
        child: Callable[[str], ChildSpec] | None = None,
        *,
        on_give_up: Callable[[str, Exit], Any] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(chance=chance)
        self._child = child
        self._on_give_up = on_give_up
        self._sweep: Timer | None = None

    async def on_receive(self, message: Any) -> Any:
        """Carry out one decision or wish."""
        match message:
            case Reconcile(desired):
                return await self._reconcile(desired)
            case Sweep():
                await self._passivate_idle()
                return None
        return await super().on_receive(message)

    def activate(self, address: str, name: str) -> Cell:
        """Start the row at an address where there is none. Synchronous: on the sender's path."""
        if self._child is None or self._releasing:
            raise ActorDeadError(f"there is no actor at {address}")
        spec = self._child(name)
        cell = Cell(self.system, address, spec.cls, spec.policy, self)
        self.children[address] = self.system.cells[address] = cell
        self._launch(cell, spec)
        if self._sweep is None:
            self._plan_sweep(cell.policy.passivate_after_seconds)
        return cell

    def keeps_mailbox(self, cell: Cell, exit: Exit) -> bool:
        """Keep the mail for a restart, and what arrived while the row was passivated."""
        if exit is PASSIVATED and not self._releasing and cell not in self._stopping:
            return bool(cell.mailbox.queue or cell.mailbox.senders)
        return super().keeps_mailbox(cell, exit)

    def child_ended(self, cell: Cell, exit: Exit) -> None:
        """Drop a row that ended in order, or start a passivated one again for the mail that came meanwhile.

        At once: else its address would have no actor until this supervisor had its turn.
        """
        if self._releasing or cell in self._stopping:
            super().child_ended(cell, exit)
        elif exit is PASSIVATED and not cell.closed:
            self._launch(cell)
        elif exit is PASSIVATED or self._forgets(cell, exit):
            self._disown(cell)
        else:
            super().child_ended(cell, exit)

    def _forgets(self, cell: Cell, exit: Exit) -> bool:
        """Whether nothing has to be decided about a row that ended: the next message starts it anew."""
        awaited = self._awaited is not None and self._awaited[0] is cell
        if awaited or not cell.closed or cell.spec is not None:
            return False
        return isinstance(self._decide(cell, exit, cell.since), Forget)

    def policy_changed(self) -> None:
        """Sweep by the new limits."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for cell in self.children.values():
            self._plan_sweep(cell.policy.passivate_after_seconds)

    # -- deciding and doing

    def _decide(self, cell: Cell, exit: Exit, now: float) -> Decision:
        history = cell.history or History()
        up_at = None if exit.reason == "start_failed" else cell.up_at
        history = History(history.restarted_at, history.attempts, up_at, own_budget=True)
        return decide(cell.policy, history, now, exit, chance=self.chance())

    def _remember(self, cell: Cell, history: History) -> None:
        cell.history = history

    async def _follow(self, cell: Cell, exit: Exit, decision: Decision) -> None:
        match decision:
            case GiveUp() | Escalate():
                await self._give_up(cell, exit)
            case Forget() if cell.spec is None:
                cell.bury()
                self._disown(cell)
            case _:
                await super()._follow(cell, exit, decision)

    async def _give_up(self, cell: Cell, exit: Exit) -> None:
        cell.bury("failed")
        logger.error("%s was given up after %d restarts", cell.address, cell.restarts)
        if self._on_give_up is not None:
            try:
                told = self._on_give_up(cell.name, exit)
                if inspect.isawaitable(told):
                    await told
            except Exception:
                # The row's mark is lost, the others' service is not: who keeps the rows has to look again.
                logger.exception("%s: on_give_up failed", cell.address)
        now = self.system.now()
        policy = self._cell.policy
        self._restarted_at = (*within(policy, self._restarted_at, now), now)
        if len(self._restarted_at) > policy.max_restarts:
            raise Escalated(
                f"{self.address}: more than {policy.max_restarts} rows given up "
                f"in {policy.within_seconds:g} seconds"
            ) from exit.error

    def _spec_of(self, cell: Cell) -> ChildSpec:
        if cell.spec is not None:
            return cell.spec
        assert self._child is not None
        return self._child(cell.name)

    def _reopen(self, cell: Cell) -> Cell:
        asked_for = cell.spec
        successor = super()._reopen(cell)
        if successor is not cell:
            successor.spec = asked_for
        return successor

    # -- many at once

    async def _stop_all(self, cells: list[Cell]) -> None:
        """Stop rows all at once, under the longest of their deadlines."""
        running = [cell for cell in cells if cell.actor is not None]
        self._stopping.update(running)
        try:
            for number, cell in enumerate(running):
                cell.stop()
                if number % SLICE == SLICE - 1:
                    await trio.lowlevel.checkpoint()
            longest = max((cell.policy.shutdown_seconds for cell in running), default=0)
            with trio.move_on_after(longest):
                for cell in running:
                    await cell.ended()
            for cell in running:
                if cell.actor is not None:
                    logger.warning("%s did not stop in %g seconds: killed", cell.address, longest)
                    cell.kill()
            for cell in running:
                await cell.ended()
        finally:
            self._stopping.difference_update(running)
        for cell in cells:
            cell.bury()

    async def _reconcile(self, desired: Mapping[str, ChildSpec]) -> Changes:
        wanted = {self._path(name): spec for name, spec in desired.items()}
        surplus = [cell for address, cell in self.children.items() if address not in wanted]
        stale = [
            cell
            for address, cell in self.children.items()
            if address in wanted and (cell.spec is None or cell.spec.version != wanted[address].version)
        ]
        await self._stop_all(surplus + stale)
        for cell in surplus + stale:
            self._disown(cell)
        started = 0
        for address, spec in wanted.items():
            if address not in self.children:
                cell = self._adopt(spec)
                self._launch(cell, spec)
                self._plan_sweep(cell.policy.passivate_after_seconds)
                started += 1
                if not started % SLICE:
                    await trio.lowlevel.checkpoint()
        return Changes(started - len(stale), len(surplus), len(stale))

    # -- passivation

    def _plan_sweep(self, limit: float) -> None:
        if self._sweep is None and limit < math.inf:
            self._sweep = self.system.timers.after(limit / 4, lambda: self._tell_self(Sweep()))

    async def _passivate_idle(self) -> None:
        """Compare each row's count of handled messages with the one seen before.

        A clock hand instead of a time per message: receiving costs nothing, and a row goes between one
        and one and a half of its limit after its last message.
        """
        self._sweep = None
        now = self.system.now()
        shortest = math.inf
        for number, cell in enumerate(list(self.children.values())):
            limit = cell.policy.passivate_after_seconds
            shortest = min(shortest, limit)
            mailbox = cell.mailbox
            if limit == math.inf or cell.state != "up" or mailbox.state != IDLE or cell.tasks:
                cell.mark = None
            elif cell.mark is None or cell.mark[0] != mailbox.handled:
                cell.mark = (mailbox.handled, now)
            elif now - cell.mark[1] >= limit:
                cell.stop(PASSIVATED)
            if number % 1024 == 1023:
                await trio.lowlevel.checkpoint()
        self._plan_sweep(shortest)

# ruff: noqa: A002 -- an exit is what ends an actor, as in OTP
"""One actor system: the loop it is bound to, its actors by address, and the start and stop of the tree.

Several may live in one process (tests do). How an actor runs is in `dispatch`, how it is restarted in
`supervisor`.
"""

import contextvars
import itertools
import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import get_ident
from types import TracebackType
from typing import Any, Self

import trio
from pykka import ActorDeadError

from hivemind.actors import registry
from hivemind.actors.actor import Actor
from hivemind.actors.address import Address
from hivemind.actors.cell import Cell
from hivemind.actors.dispatch import Dispatcher
from hivemind.actors.mailbox import CLOSED, UNBOUNDED, Mailbox
from hivemind.actors.meter import Meter
from hivemind.actors.policy import ChildSpec, Policies, Sourced
from hivemind.actors.ref import ActorRef
from hivemind.actors.rows import RowSupervisor
from hivemind.actors.signals import KILLED, Escalated, Exit, Watches
from hivemind.actors.snapshot import Feed, Snapshot, StateChange, Tree, grow, take
from hivemind.actors.supervisor import RestartChild, RootSupervisor, StopChild, Supervisor
from hivemind.actors.timers import Timers
from hivemind.errors import Conflict, NotFound

logger = logging.getLogger("hivemind.actors")

_current: contextvars.ContextVar["ActorSystem"] = contextvars.ContextVar("hivemind_actor_system")
_entered: "list[ActorSystem]" = []


def current_system() -> "ActorSystem":
    """Return the system of this context, or the one entered last."""
    system = _current.get(_entered[-1] if _entered else None)
    if system is None:
        raise RuntimeError("no ActorSystem is running")
    return system


class ActorSystem:
    """An async context: inside, actors run; leaving it stops them all, children before parents.

    Only the loop's own thread touches cells and mailboxes; other threads post.
    """

    def __init__(
        self,
        *,
        policies: Policies | None = None,
        throughput: int = 64,
        slice_seconds: float = 0.001,
        helping: bool = True,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policies = policies or Policies()
        self.throughput = throughput
        self.slice_seconds = slice_seconds
        self.helping = helping
        self.stopwatch = stopwatch
        self.cells: dict[str, Cell] = {}
        self.feeds: set[Feed] = set()
        self.meters: defaultdict[str, Meter] = defaultdict(Meter)
        self.watches = Watches()
        self.timers = Timers()
        self.dispatcher = Dispatcher(self)
        # The actor whose synchronous code runs at this moment.
        self.running: Cell | None = None
        self.helps = 0
        self.root: Cell | None = None
        self.root_error: BaseException | None = None
        self._serial = itertools.count(1)
        self._posted: deque[tuple[Mailbox, Any]] = deque()
        self._fault: BaseException | None = None

    async def __aenter__(self) -> Self:
        registry.install()
        registry.systems.add(self)
        self.token = trio.lowlevel.current_trio_token()
        self.ident = get_ident()
        self.now: Callable[[], float] = trio.lowlevel.current_clock().current_time
        self._started_at = datetime.now(UTC)
        self._started = self.now()
        self._context = _current.set(self)
        _entered.append(self)
        self._body = trio.CancelScope()
        self._body.__enter__()
        self._over = trio.Event()
        ready = trio.Event()
        # A task outside the caller's scopes: cancelling the body must not cancel the actors, which are
        # stopped in order afterwards. Trio also keeps Ctrl-C out of such a task and gives it to the body.
        context = contextvars.copy_context()
        trio.lowlevel.spawn_system_task(self._run, ready, name="actor system", context=context)
        with trio.CancelScope(shield=True):
            await ready.wait()
        return self

    async def _run(self, ready: trio.Event) -> None:
        try:
            async with trio.open_nursery() as self.nursery:
                self.nursery.start_soon(self.timers.run, name="actor timers")
                ready.set()
                await trio.sleep_forever()
        except trio.Cancelled:
            raise
        except BaseException as error:  # noqa: BLE001 raised again by __aexit__
            # Nothing but a KeyboardInterrupt or a defect of the runtime gets here.
            lone = isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1
            self._fault = error.exceptions[0] if lone else error  # type: ignore[attr-defined]
            self._body.cancel()
        finally:
            self._over.set()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        try:
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as stopping:
                    stopping.start_soon(self._give_up_stopping, stopping.cancel_scope)
                    await self._stop_all()
                    stopping.cancel_scope.cancel()
                self.nursery.cancel_scope.cancel()
                await self._over.wait()
        finally:
            swallowed = bool(self._body.__exit__(kind, error, traceback))
            for cell in list(self.cells.values()):
                if cell.actor is not None:
                    cell.finish(KILLED)
                cell.mailbox.close()
            self.cells.clear()
            registry.systems.discard(self)
            _entered.remove(self)
            _current.reset(self._context)
        if self._fault is not None:
            raise self._fault
        if self.root_error is not None and (error is None or swallowed):
            raise Escalated("the root supervisor gave up") from self.root_error
        return swallowed

    async def _give_up_stopping(self, scope: trio.CancelScope) -> None:
        await self._over.wait()
        scope.cancel()

    async def _stop_all(self) -> None:
        """Stop unsupervised actors, the last started first, then the tree."""
        for cell in reversed(list(self.cells.values())):
            if cell.supervisor is None and cell is not self.root:
                await cell.ref.terminate(cell.policy.shutdown_seconds)
        if self.root is not None:
            self.root.stop()
            await self.root.ended()

    # -- starting

    def spawn(self, cls: type[Actor], *args: Any, name: str | None = None, **kwargs: Any) -> ActorRef:
        """Start an actor that nobody supervises, at `/name`. From another thread it waits for the loop."""
        if get_ident() != self.ident:

            def spawned() -> ActorRef:
                return self.spawn(cls, *args, name=name, **kwargs)

            return trio.from_thread.run_sync(spawned, trio_token=self.token)
        address = f"/{name or f'{cls.__name__.lower()}-{next(self._serial)}'}"
        if address in self.cells and not self.cells[address].closed:
            raise Conflict(f"there is already an actor at {address}")
        cell = self.cells[address] = Cell(self, address, cls)
        try:
            cell.incarnate(args, kwargs)
        except BaseException:
            del self.cells[address]
            raise
        return cell.ref

    async def start(self, *children: ChildSpec) -> ActorRef:
        """Start the root supervisor `/` and wait until its children are up, in order.

        Raises the first start failure, after stopping what had started.
        """
        if self.root is not None:
            raise Conflict("the tree is already started")
        cell = self.root = self.cells["/"] = Cell(self, "/", RootSupervisor)
        cell.incarnate((children,), {})
        up = RootSupervisor.of(cell).ready
        await up
        return cell.ref

    def root_ended(self, exit: Exit) -> None:
        """End the system when the root failed: there is nobody above it to decide."""
        if exit.abnormal:
            self.root_error = exit.error or RuntimeError(f"the root supervisor ended: {exit.reason}")
            self._body.cancel()

    # -- names

    def at(self, address: str) -> Address:
        """Return the address: a name to send to, whoever lives there at that time."""
        return Address(self, address)

    def resolve(self, address: str) -> Cell:
        """Return the live cell at an address; starts a row of a row supervisor."""
        cell = self.cells.get(address)
        if cell is not None:
            if cell.mailbox.state != CLOSED:
                return cell
            raise cell.dead()
        above, _, name = address.rpartition("/")
        parent = self.cells.get(above)
        if parent is not None and isinstance(parent.actor, RowSupervisor):
            return parent.actor.activate(address, name)
        raise ActorDeadError(f"there is no actor at {address}")

    def whereis(self, address: str) -> ActorRef | None:
        """Return the ref at an address without starting anything."""
        cell = self.cells.get(address)
        return None if cell is None or cell.closed else cell.ref

    def forget(self, cell: Cell) -> None:
        """Drop an address that nobody will restart."""
        if self.cells.get(cell.address) is cell:
            del self.cells[cell.address]
            meter = self.meters[cell.cls.kind]
            meter.handled += cell.mailbox.handled
            meter.dropped += cell.mailbox.dropped
            meter.restarts += cell.restarts

    # -- operators' wishes, by address; a suspended or failed actor obeys as well

    async def restart(self, address: str) -> ActorRef:
        """Stop a supervised actor, if it runs, and start it with a clean history; its mail is kept.

        It is the way back for one that was stopped or given up. Nothing is spent of any budget. The stop
        overtakes the actor's mail; a message in hand has the policy's `shutdown_seconds` to finish.
        """
        cell = self._present(address)
        if cell.supervisor is None:
            raise Conflict(f"nobody supervises {address}, so nobody can restart it")
        ref: ActorRef = await cell.supervisor.actor_ref.call(RestartChild(cell.name), timeout_seconds=None)
        return ref

    async def stop(self, address: str) -> None:
        """Stop an actor in order, ahead of its mail, and leave it down; kill it after its deadline."""
        cell = self._present(address)
        if cell is self.root:
            raise Conflict("the root ends with the system, not by itself")
        if cell.supervisor is None:
            await cell.ref.terminate(cell.policy.shutdown_seconds)
        else:
            await cell.supervisor.actor_ref.call(StopChild(cell.name), timeout_seconds=None)

    def suspend(self, address: str) -> None:
        """Have an actor handle nothing from now on: the message in hand is finished, its mail is kept."""
        self._running(address).suspend()

    def resume(self, address: str) -> None:
        """Undo `suspend`; harmless when the actor is not suspended."""
        self._running(address).resume()

    def _present(self, address: str) -> Cell:
        cell = self.cells.get(address)
        if cell is None:
            raise NotFound(f"there is no actor at {address}")
        return cell

    def _running(self, address: str) -> Cell:
        cell = self._present(address)
        if cell.closed:
            raise Conflict(f"{address} is {cell.state}")
        if cell.cls.has_children:
            raise Conflict(f"{address} is a supervisor: suspended, it would leave its children alone")
        return cell

    # -- policy

    def change_policy(self, policies: Policies) -> None:
        """Put new policies in force for running actors: limits now, the rest at the next decision."""
        self.policies = policies
        for cell in self.cells.values():
            cell.policy = policies.of(cell.cls.kind, cell.address, cell.asked)
            cell.mailbox.limit = cell.policy.mailbox_limit or UNBOUNDED
            cell.mailbox.release()
        for cell in list(self.cells.values()):
            if isinstance(cell.actor, RowSupervisor):
                cell.actor.policy_changed()

    def explain(self, address: str) -> dict[str, Sourced]:
        """Each value of the policy that an actor is under, with its source."""
        cell = self._present(address)
        return self.policies.explain(cell.cls.kind, address, cell.asked)

    # -- watching

    def monitor(self, target: ActorRef, watcher: ActorRef) -> int:
        """Have `watcher` told `Down` once, when the present incarnation of `target` ends."""
        return self.watches.monitor(_cell(target), _cell(watcher))

    def demonitor(self, monitor: int) -> None:
        """Undo `monitor`."""
        self.watches.demonitor(monitor)

    def link(self, one: ActorRef, other: ActorRef) -> None:
        """Tie two lives together."""
        self.watches.link(_cell(one), _cell(other))

    def unlink(self, one: ActorRef, other: ActorRef) -> None:
        """Undo `link`."""
        self.watches.unlink(_cell(one), _cell(other))

    def snapshot(self, address: str) -> Snapshot | None:
        """Read one actor, without asking it and without starting it."""
        cell = self.cells.get(address)
        return None if cell is None else take(cell)

    def tree(self, address: str = "/", *, limit: int = 1_000) -> Tree | None:
        """Read an actor and those below, at most `limit` children at each."""
        cell = self.cells.get(address)
        return None if cell is None else grow(cell, limit)

    def events(self, limit: int = 1_000) -> Feed:
        """Return the stream of state changes: `with system.events() as changes: async for ...`."""
        return Feed(self, limit)

    def announce(self, cell: Cell) -> None:
        """Tell every feed the state that this cell is in."""
        last = cell.last_exit
        reason = last.reason if last is not None and cell.actor is None else None
        change = StateChange(cell.address, cell.cls.kind, cell.state, self.wall(cell.since), reason)
        for feed in self.feeds:
            feed.push(change)

    def wall(self, at: float) -> datetime:
        """Return the time of day of a moment of the loop's clock."""
        return self._started_at + timedelta(seconds=at - self._started)

    # -- for the runtime

    def may_help(self) -> bool:
        """Whether a caller may run its target now: not at every 64th call, so that I/O gets its turn."""
        self.helps += 1
        return bool(self.helps % 64)

    def post(self, mailbox: Mailbox, item: Any) -> None:
        """Take a message from another thread to the loop; keeps the order of each sender."""
        self._posted.append((mailbox, item))
        try:
            self.token.run_sync_soon(self._deliver_posted, idempotent=True)
        except trio.RunFinishedError:
            raise ActorDeadError(f"{mailbox.cell.address}: the system has ended") from None

    def _deliver_posted(self) -> None:
        posted = self._posted
        while posted:
            mailbox, item = posted.popleft()
            mailbox.put_late(item)


def _cell(ref: ActorRef) -> Cell:
    return ref._cell  # noqa: SLF001 the two faces of one thing


__all__ = ["ActorSystem", "Supervisor", "current_system"]

# ruff: noqa: A001, A002 -- an exit is what ends an actor, as in OTP
"""Who runs an actor: a few worker tasks for all pooled ones, a task of its own for each task-mode one.

Both obey signals (start, stop, fail, kill, suspend) between messages, in `obey`. What happens to a single
message is in `delivery`; what follows an end is the supervisor's business.
"""

import logging
import types
from collections import deque
from collections.abc import Coroutine, Generator, Iterator
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

import trio
from trio.lowlevel import (
    Abort,
    Task,
    cancel_shielded_checkpoint,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from hivemind.actors.cell import Cell, Grip
from hivemind.actors.delivery import Suspended, failed, proceed, serve
from hivemind.actors.mailbox import (
    ENDED,
    FAIL,
    HELD,
    IDLE,
    KILL,
    QUEUED,
    RUNNING,
    START,
    STOP,
    SUSPEND,
    Mailbox,
)
from hivemind.actors.signals import KILLED, NORMAL, SHUTDOWN, Exit, split_cancelled
from hivemind.actors.waking import WOKEN

if TYPE_CHECKING:
    from hivemind.actors.system import ActorSystem

logger = logging.getLogger("hivemind.actors")

MAX_IDLE: Final = 64
# If every handler suspends, one follower per trio pass would make 10,000 of them take 10,000 passes.
RAMP: Final = 16
# Messages that an actor may handle in one turn while no other actor has mail.
ALONE: Final = 1_024


class Dispatcher:
    """Runs actors that have mail; an idle pooled actor owns no task.

    Invariant: while the run queue holds anything, a worker is either in the synchronous part of its loop
    (`draining`) or already rescheduled (`armed`).
    """

    def __init__(self, system: "ActorSystem") -> None:
        self._system = system
        self._run_queue: deque[Mailbox] = deque()
        self._idle: list[Task] = []
        self._armed = 0
        self._draining = False

    def schedule(self, mailbox: Mailbox) -> None:
        """Put a mailbox in state QUEUED in line."""
        self._run_queue.append(mailbox)
        if not self._armed and not self._draining:
            self._arm(1)

    def _arm(self, workers: int) -> None:
        self._armed += workers
        for _ in range(workers):
            if self._idle:
                reschedule(self._idle.pop(), WOKEN)
            else:
                self._system.nursery.start_soon(self._work, name="actor worker")

    async def _work(self) -> None:
        task = current_task()

        def abort(_: Any) -> Abort:
            self._idle.remove(task)
            return Abort.SUCCEEDED

        self._armed -= 1
        while True:
            # The scope belongs to the worker: opening one per message would cost more than the message.
            # A kill cancels it, possibly a moment too late; so it is renewed whenever it was cancelled.
            grip = Grip()
            with grip.scope:
                while not grip.cancelled:
                    await self._drain(grip)
                    if grip.cancelled:
                        break
                    if len(self._idle) >= MAX_IDLE:
                        return
                    self._idle.append(task)
                    await wait_task_rescheduled(abort)
                    self._armed -= 1

    async def _drain(self, grip: Grip) -> None:
        run_queue = self._run_queue
        system = self._system
        stopwatch = system.stopwatch
        throughput = system.throughput
        self._draining = True
        slice_end = stopwatch() + system.slice_seconds
        try:
            while run_queue:
                mailbox = run_queue.popleft()
                if mailbox.state != QUEUED:
                    continue
                mailbox.state = RUNNING
                # Where nobody else waits, only the time slice ends a turn.
                budget = throughput if run_queue else ALONE
                suspended = None if mailbox.signal else serve(mailbox, budget)
                rest: Coroutine[Any, Any, None] | None = None
                if suspended is not None:
                    rest = _complete_and_obey(mailbox.cell, suspended, grip)
                elif mailbox.signal:
                    rest = _obey_now(mailbox.cell, grip)
                if rest is not None:
                    await self._attend(mailbox, rest, grip)
                self._settle(mailbox)
                if grip.cancelled:
                    return
                if stopwatch() > slice_end:
                    self._draining = False
                    self._armed += 1  # this very task is a rescheduled one
                    await cancel_shielded_checkpoint()
                    self._armed -= 1
                    self._draining = True
                    slice_end = stopwatch() + system.slice_seconds
        finally:
            self._draining = False

    def _settle(self, mailbox: Mailbox) -> None:
        if mailbox.senders:
            mailbox.release()
        if mailbox.state != RUNNING:
            return
        signal = mailbox.signal
        if signal & ~SUSPEND or (mailbox.queue and not signal):
            mailbox.state = QUEUED
            self._run_queue.append(mailbox)
        elif signal:
            mailbox.state = HELD
        else:
            mailbox.queue = None
            mailbox.state = IDLE

    @types.coroutine
    def _attend(  # noqa: C901 one coroutine driven by hand
        self, mailbox: Mailbox, coroutine: Coroutine[Any, Any, None], grip: Grip
    ) -> Generator[Any, Any, None]:
        """Complete a handler, obey signals. Followers take over only if that really suspends."""
        try:
            trap = coroutine.send(None)
        except StopIteration:
            return
        self._draining = False
        followers = min(len(self._run_queue), RAMP) - self._armed
        if followers > 0:
            self._arm(followers)
        try:
            while True:
                try:
                    given = yield trap
                except BaseException as error:  # noqa: BLE001 thrown on into the coroutine
                    thrown: BaseException | None = error
                else:
                    thrown = None
                self._draining = True
                try:
                    trap = coroutine.send(given) if thrown is None else coroutine.throw(thrown)
                except StopIteration:
                    return
                except trio.Cancelled:
                    if mailbox.state == RUNNING and grip.cancelled:
                        mailbox.state = QUEUED  # a fresh scope serves its signal
                        self._run_queue.appendleft(mailbox)
                    elif mailbox.state == RUNNING:
                        mailbox.cell.end(SHUTDOWN)  # the whole system is being cancelled
                    raise
                self._draining = False
                if self._run_queue and not self._armed:
                    self._arm(1)
        finally:
            self._draining = True

    async def live(self, cell: Cell) -> None:
        """Be the task of a task-mode actor, for one incarnation."""
        incarnation = cell.incarnation
        mailbox = cell.mailbox
        try:
            while cell.incarnation == incarnation and mailbox.state < ENDED:
                grip = Grip()
                with grip.scope:
                    await self._loop(cell, grip)
        finally:
            if cell.incarnation == incarnation and mailbox.state < ENDED:
                cell.end(SHUTDOWN)  # the whole system is being cancelled

    async def _loop(self, cell: Cell, grip: Grip) -> None:
        mailbox = cell.mailbox
        incarnation = cell.incarnation
        throughput = self._system.throughput
        while not grip.cancelled:
            mailbox.state = RUNNING
            suspended = None if mailbox.signal else serve(mailbox, throughput)
            if suspended is not None or mailbox.signal & ~SUSPEND:
                await _complete_and_obey(cell, suspended, grip)
                if cell.incarnation != incarnation or mailbox.state != RUNNING:
                    return
            if mailbox.senders:
                mailbox.release()
            if mailbox.signal & ~SUSPEND:
                continue
            if mailbox.signal:
                mailbox.state = HELD
                await mailbox.park()
            elif mailbox.queue:
                if suspended is None:
                    await cancel_shielded_checkpoint()
            else:
                mailbox.queue = None
                mailbox.state = IDLE
                await mailbox.park()


async def _complete_and_obey(cell: Cell, suspended: Suspended | None, grip: Grip) -> None:
    if suspended is not None:
        await _complete(cell, suspended, grip)
    mailbox = cell.mailbox
    while mailbox.signal & ~SUSPEND and mailbox.state == RUNNING and not grip.cancelled:
        await _obey(cell, grip)


def _obey_now(cell: Cell, grip: Grip) -> Coroutine[Any, Any, None] | None:
    """Carry out a lone signal as far as that takes no waiting; return what is left to await.

    Nearly all crashes and restarts are done here, without a coroutine.
    """
    mailbox = cell.mailbox
    cls = cell.cls
    if mailbox.signal == FAIL and not cls.mourns and not cls.has_children:
        cell.end(_failed(cell))
        return None
    if mailbox.signal == START:
        mailbox.signal = 0
        assert cell.actor is not None
        started, error = _begin_hook(cell, cell.actor.on_start)
        if started is None and error is None and not mailbox.signal:
            cell.came_up()
            return None
        return _go_on_starting(cell, grip, started, error)
    return _complete_and_obey(cell, None, grip)


async def _go_on_starting(cell: Cell, grip: Grip, started: Any, error: BaseException | None) -> None:
    await _finish_start(cell, grip, started, error)
    await _complete_and_obey(cell, None, grip)


def _failed(cell: Cell) -> Exit:
    assert cell.ending is not None
    _log_failure(cell, "failed", cell.ending.error)
    return cell.ending


def _log_failure(cell: Cell, what: str, error: BaseException | None) -> None:
    """What its class expects is told in a line: a child process that died is no defect to be traced."""
    leaves = list(_leaves(error))
    if all(isinstance(leaf, cell.cls.expected_errors) for leaf in leaves):
        logger.error("%s %s: %s", cell.address, what, "; ".join(map(str, leaves)))
    else:
        logger.error("%s %s", cell.address, what, exc_info=error)


def _leaves(error: BaseException | None) -> Iterator[BaseException | None]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


async def _finish_start(cell: Cell, grip: Grip, started: Any, error: BaseException | None) -> None:
    if started is not None:
        error = await _finish_hook(cell, grip, started)
    if cell.mailbox.signal & (KILL | FAIL):
        return
    if error is not None:
        _log_failure(cell, "failed to start", error)
        await _end(cell, grip, Exit("start_failed", error))
    else:
        cell.came_up()


async def _complete(cell: Cell, suspended: Suspended, grip: Grip) -> None:
    """Wait for a handler that suspended and answer its caller, whatever happens."""
    reply = suspended.reply
    grip.in_hand = (suspended.message, cell.system.now())
    cell.grip = grip
    try:
        result = await proceed(cell, suspended.coroutine, suspended.trap)
    except BaseException as error:  # noqa: BLE001 `failed` passes on what is not the actor's
        failed(cell, error, reply)
    else:
        if reply is not None and not reply.done:
            reply.set(result)
    finally:
        cell.grip = grip.in_hand = None
        mailbox = cell.mailbox
        mailbox.high_water = max(mailbox.high_water, len(mailbox))


async def _obey(cell: Cell, grip: Grip) -> None:
    """Carry out the weightiest signal. Ends in a state other than RUNNING if the actor ended."""
    mailbox = cell.mailbox
    actor = cell.actor
    assert actor is not None
    if mailbox.signal & KILL:
        await _end(cell, None, cell.ending or KILLED)
    elif mailbox.signal & FAIL:
        exit = _failed(cell)
        error = exit.error
        assert error is not None
        if cell.cls.mourns:
            await _hook(cell, grip, actor.on_failure, type(error), error, error.__traceback__)
        if cell.cls.has_children:
            await _end(cell, grip, exit)
        else:
            cell.end(exit)
    elif mailbox.signal & START:
        mailbox.signal &= ~START
        await _finish_start(cell, grip, *_begin_hook(cell, actor.on_start))
    elif mailbox.signal & STOP:
        if cell.state != "stopping":
            cell.enter("stopping")
        cell.grip = grip
        try:
            await cell.cancel_tasks()
        finally:
            cell.grip = None
        error = await _hook(cell, grip, actor.on_stop)
        if error is not None:
            _log_failure(cell, "failed in on_stop", error)
        await _end(cell, grip, (cell.ending or NORMAL) if error is None else Exit("error", error))


async def _end(cell: Cell, grip: Grip | None, exit: Exit) -> None:
    """End; a supervisor outlives its children. Only a kill (no grip) cannot be hurried by a kill."""
    actor = cell.actor
    assert actor is not None
    if cell.cls.has_children:
        cell.grip = grip
        try:
            with trio.CancelScope(shield=grip is None):
                await actor._release(exit)  # noqa: SLF001 the runtime's own hook
        finally:
            cell.grip = None
    cell.end(exit)


async def _hook(cell: Cell, grip: Grip, function: Any, *args: Any) -> BaseException | None:
    """Run a life-cycle hook, sync or async; return what it raised."""
    result, error = _begin_hook(cell, function, *args)
    return error if result is None else await _finish_hook(cell, grip, result)


async def _finish_hook(cell: Cell, grip: Grip, coroutine: Any) -> BaseException | None:
    cell.grip = grip
    try:
        await _drive(cell, coroutine)
    except BaseException as error:  # noqa: BLE001 `_parted` passes on what is not the actor's
        return _parted(cell, error)
    finally:
        cell.grip = None
    return None


def _begin_hook(cell: Cell, function: Any, *args: Any) -> tuple[Any, BaseException | None]:
    """Call a hook; return the coroutine of an async one, or what a plain one raised."""
    system = cell.system
    outer, system.running = system.running, cell
    try:
        result = function(*args)
    except BaseException as error:  # noqa: BLE001 `_parted` passes on what is not the actor's
        return None, _parted(cell, error)
    finally:
        system.running = outer
    return (result if type(result) is CoroutineType else None), None


def _parted(cell: Cell, error: BaseException) -> BaseException | None:
    """Raise what has to go on, return what is the actor's fault."""
    cancelled, fault = split_cancelled(error)
    if cancelled is not None:
        if fault is not None:
            logger.error("%s failed while ending", cell.address, exc_info=fault)
        raise cancelled from None
    if isinstance(fault, KeyboardInterrupt):
        raise fault
    return fault


@types.coroutine
def _drive(cell: Cell, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    try:
        trap = coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    return (yield from proceed(cell, coroutine, trap))

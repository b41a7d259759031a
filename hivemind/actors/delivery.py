"""Handing messages to one actor, synchronously for as long as its handlers do not suspend.

The failure rule is here: an expected error is a reply, anything else answers the caller with a generic
failure and ends the actor. Whose task runs this (a worker, the actor's own, a helping caller) is up to
`dispatch` and `ref`.
"""

import logging
import types
from collections.abc import Coroutine, Generator
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, cast

import pykka
from pykka import messages
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from hivemind.actors.future import Future
from hivemind.actors.mailbox import IDLE, QUEUED, RUNNING, STOP, Mailbox
from hivemind.actors.signals import NORMAL, ActorFailed, split_cancelled

if TYPE_CHECKING:
    from hivemind.actors.cell import Cell

logger = logging.getLogger("hivemind.actors")

SLOW_SECONDS: Final = 0.05
HELP_LIMIT: Final = 64
# A look at the clock costs a fifth of a message, so it is taken at every 8th, at every 64th while eight of
# them take no longer than a glance, and at the end of a batch.
LOOK_EVERY: Final = 8
LOOK_SELDOM: Final = 64
GLANCE_SECONDS: Final = 2e-5
STEPS: Final = tuple(tuple(range(1, count + 1)) for count in range(LOOK_SELDOM + 1))
NOT_NOW: Final = object()
_UNANSWERED: Final = object()


class Suspended:
    """A handler that is waiting for something: its coroutine, and what it yielded to trio."""

    __slots__ = ("coroutine", "message", "reply", "trap")

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], trap: Any, reply: Future[Any] | None, message: Any
    ) -> None:
        self.coroutine = coroutine
        self.trap = trap
        self.reply = reply
        self.message = message


class Unstarted:
    """The coroutine that a plain handler returned to a helping caller, which must not run it."""

    __slots__ = ("coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.coroutine = coroutine


CONTROL: Final = frozenset(
    {_ActorStop, messages.ProxyCall, messages.ProxyGetAttr, messages.ProxySetAttr, Unstarted}
)
SPECIAL: Final = CONTROL | {Envelope}


def serve(  # noqa: C901, PLR0912, PLR0915 the hot loop: a function call more is a tenth of its time
    mailbox: Mailbox, budget: int
) -> Suspended | None:
    """Handle about `budget` messages; return the handler that suspended, if one did.

    Stops early at a signal and when the time slice is used up.
    """
    queue = mailbox.queue
    if not queue:
        return None
    cell = mailbox.cell
    system = cell.system
    actor = cell.actor
    assert actor is not None
    on_receive = actor.on_receive
    popleft = queue.popleft
    stopwatch = system.stopwatch
    waiting = len(queue)
    mailbox.high_water = max(mailbox.high_water, waiting)
    handled = step = 0
    look = LOOK_EVERY
    message: Any
    reply: Any = None
    outer, system.running = system.running, cell
    began = stopwatch()
    slice_end = began + system.slice_seconds
    try:
        while True:
            # So many wait at least, and nobody else takes them: no look at the queue between them, and
            # the inner loop counts for less than a sum at every message would.
            for step in STEPS[min(len(queue), look)]:  # noqa: B007 it is the count
                message = popleft()
                try:
                    if type(message) not in SPECIAL:
                        result = on_receive(message)
                        if type(result) is CoroutineType:
                            try:
                                trap = result.send(None)
                            except StopIteration:
                                pass
                            else:
                                return Suspended(result, trap, None, message)
                    else:
                        if type(message) is Envelope:
                            reply = message.reply_to
                            message = message.message
                            if reply is not None and reply.abandoned:
                                reply = None
                                handled -= 1
                                continue
                        result = (
                            on_receive(message)
                            if type(message) not in CONTROL
                            else _control(cell, message, reply)
                        )
                        if type(result) is CoroutineType:
                            try:
                                trap = result.send(None)
                            except StopIteration as stop:
                                result = stop.value
                            else:
                                return Suspended(result, trap, reply, message)
                        if reply is not None:
                            if result is not _UNANSWERED and not reply.done:
                                reply.set(result)
                            reply = None
                except BaseException as error:  # noqa: BLE001 `failed` passes on what is not the actor's
                    failed(cell, error, reply)
                    reply = None
                if mailbox.signal:
                    return None
            if not queue or handled + step >= budget:
                return None
            now = stopwatch()
            if now - began > SLOW_SECONDS:
                _blocked(cell, now - began)
            look = LOOK_SELDOM if now - began < GLANCE_SECONDS * (step / LOOK_EVERY) else LOOK_EVERY
            began = now
            handled += step
            step = 0
            if now > slice_end:
                return None
    finally:
        mailbox.handled += handled + step
        system.running = outer
        took = stopwatch() - began
        if step:
            # The last messages of the batch stand for all: a clock for each would cost more than it.
            system.meters[cell.cls.kind].note(took, step)
        if took > SLOW_SECONDS:
            _blocked(cell, took)


def answer_now(mailbox: Mailbox, message: Any) -> Any:
    """Handle a call to an idle plain actor on the caller's own time; `NOT_NOW` if that cannot be.

    Every 64th call is refused, so that callers in a loop let the loop look at its sockets. Where a plain
    handler returns a coroutine, the result is the future of its result.
    """
    cell = mailbox.cell
    if mailbox.state or not cell.cls.helpable:
        return NOT_NOW
    system = cell.system
    system.helps += 1
    if not system.helps % HELP_LIMIT or type(message) in CONTROL or not system.helping:
        return NOT_NOW
    actor = cell.actor
    assert actor is not None
    mailbox.state = RUNNING
    outer, system.running = system.running, cell
    stopwatch = system.stopwatch
    began = stopwatch()
    try:
        result = actor.on_receive(message)
    except BaseException as error:  # noqa: BLE001 `failed` passes on what is not the actor's
        reply = Future[Any]()
        failed(cell, error, reply)
        return reply.value()
    finally:
        system.running = outer
        mailbox.handled += 1
        took = stopwatch() - began
        if took > SLOW_SECONDS:
            _blocked(cell, took)
        if mailbox.signal or mailbox.queue:
            mailbox.state = QUEUED
            system.dispatcher.schedule(mailbox)
        else:
            mailbox.state = IDLE
    if type(result) is CoroutineType:
        cell.cls.helpable = False
        reply = Future[Any]()
        mailbox.put_late(Envelope(Unstarted(result), reply))
        return reply
    return result


def help_along(mailbox: Mailbox) -> None:
    """Handle a plain actor's waiting messages on the caller's time: the caller's own is the last."""
    waiting = len(mailbox)
    if mailbox.state == QUEUED and not mailbox.signal and waiting <= HELP_LIMIT:
        mailbox.state = RUNNING
        try:
            suspended = serve(mailbox, waiting)
            if suspended is not None:
                raise AssertionError("a handler of a helpable class suspended")
        finally:
            # Its entry in the run queue is still there and finds whatever is left.
            mailbox.state = QUEUED


def failed(cell: "Cell", error: BaseException, reply: Future[Any] | None) -> None:
    """Apply the failure rule to what a handler raised."""
    if isinstance(error, cell.cls.expected_errors):
        if reply is None:
            logger.info("%s refused a message: %s", cell.address, error)
        elif not reply.done:
            reply.fail(error)
        return
    cancelled, fault = split_cancelled(error)
    if fault is not None:
        cell.fault(fault)
        cell.mailbox.dropped += 1
    if reply is not None and not reply.done:
        if fault is None:
            reply.fail(cell.dead("ended while it handled the message"))
        else:
            failure = ActorFailed(f"{cell.address} failed while it handled the message")
            failure.__cause__ = fault
            reply.fail(failure)
    if cancelled is not None:
        raise cancelled from None
    if isinstance(fault, KeyboardInterrupt):
        raise fault


@types.coroutine
def proceed(cell: "Cell", coroutine: Coroutine[Any, Any, Any], trap: Any) -> Generator[Any, Any, Any]:
    """Carry on a suspended coroutine of this actor, timing every step of it."""
    system = cell.system
    while True:
        advance: Any
        try:
            given = yield trap
            advance = coroutine.send
        except BaseException as error:  # noqa: BLE001 thrown on into the coroutine
            given = error
            advance = coroutine.throw
        outer, system.running = system.running, cell
        began = system.stopwatch()
        try:
            trap = advance(given)
        except StopIteration as stop:
            return stop.value
        finally:
            system.running = outer
            took = system.stopwatch() - began
            if took > SLOW_SECONDS:
                _blocked(cell, took)


def _control(cell: "Cell", message: Any, reply: Future[Any] | None) -> Any:
    if type(message) is _ActorStop:
        cell.ending = cell.ending or NORMAL
        cell.mailbox.signal |= STOP
        if reply is not None:
            cell.waiters = [*(cell.waiters or ()), reply]
        return _UNANSWERED
    if type(message) is Unstarted:
        return message.coroutine
    assert cell.actor is not None
    return pykka.Actor._handle_receive(cast("Any", cell.actor), message)  # noqa: SLF001 its own proxies


def _blocked(cell: "Cell", seconds: float) -> None:
    logger.warning("%s blocked the loop for %.0f ms", cell.address, seconds * 1000)

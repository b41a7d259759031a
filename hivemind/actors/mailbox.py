"""One actor's queue: bounded, many senders, one consumer, changed on the loop's thread only.

It knows when its actor has to run (`state`) and what overtakes the queue (`signal`); who runs it is the
business of `dispatch`, what happens to a message that of `delivery`.
"""

import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import pykka
from pykka import ActorDeadError
from pykka._envelope import Envelope
from pykka.messages import _ActorStop
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from hivemind.actors.waking import WOKEN
from hivemind.errors import MailboxFull

if TYPE_CHECKING:
    from hivemind.actors.cell import Cell

# Where the actor is in its round. Only IDLE reacts to a message: ENDED waits for a restart, HELD for a
# resume, CLOSED for nothing.
IDLE: Final = 0
QUEUED: Final = 1
RUNNING: Final = 2
HELD: Final = 3
ENDED: Final = 4
CLOSED: Final = 5

# What overtakes the queue; several may be set at once.
START: Final = 1
STOP: Final = 2
FAIL: Final = 4
KILL: Final = 8
SUSPEND: Final = 16

UNBOUNDED: Final = sys.maxsize


class Mailbox:
    """First in, first out per sender; survives the restarts of its actor.

    The deque exists only while there is mail: an empty one takes more memory than the idle actor. An idle
    mailbox never has one, so that who finds a deque need not look at the state.
    """

    __slots__ = (
        "cell",
        "consumer",
        "dropped",
        "handled",
        "high_water",
        "limit",
        "queue",
        "senders",
        "signal",
        "state",
    )

    def __init__(self, cell: "Cell", limit: int) -> None:
        self.cell = cell
        self.limit = limit or UNBOUNDED
        self.queue: deque[Any] | None = None
        self.state = ENDED
        self.signal = 0
        self.handled = 0
        self.dropped = 0
        self.high_water = 0
        self.consumer: Task | None = None
        self.senders: deque[Task] | None = None

    def __len__(self) -> int:
        return len(self.queue) if self.queue is not None else 0

    def put(self, item: Any, /) -> None:
        """Queue a message, or raise what the sender has to know."""
        queue = self.queue
        if queue is None:
            if self.state == CLOSED:
                raise self.cell.dead()
            self.queue = deque((item,))
            if not self.state:
                self.rouse()
        elif len(queue) >= self.limit:
            raise MailboxFull(f"{self.cell.address} has {len(queue)} messages waiting")
        else:
            queue.append(item)

    def put_late(self, item: Any, /) -> None:
        """Queue what must not be refused (signals, mail from other threads); the dead drop it."""
        if self.state == CLOSED:
            dead_letter(item, self.cell)
            return
        if self.queue is None:
            self.queue = deque()
        self.queue.append(item)
        if not self.state:
            self.rouse()

    async def put_when_room(self, item: Any) -> None:
        """Queue a message as soon as the limit allows."""
        while len(self) >= self.limit:
            task = current_task()
            senders = self.senders
            if senders is None:
                senders = self.senders = deque()
            senders.append(task)

            def abort(_: Any, senders: deque[Task] = senders, task: Task = task) -> Abort:
                senders.remove(task)
                return Abort.SUCCEEDED

            await wait_task_rescheduled(abort)
        self.put(item)

    def release(self) -> None:
        """Wake as many waiting senders as there is room for."""
        senders = self.senders
        if senders:
            for _ in range(min(len(senders), self.limit - len(self))):
                reschedule(senders.popleft(), WOKEN)

    def rouse(self) -> None:
        """Have the actor run, if it is not about to anyway."""
        if self.state in {IDLE, HELD}:
            self.state = QUEUED
            consumer = self.consumer
            if consumer is not None:
                self.consumer = None
                reschedule(consumer, WOKEN)
            elif self.cell.cls.mode == "pooled":
                self.cell.system.dispatcher.schedule(self)

    async def park(self) -> None:
        """Wait, as the task of a task-mode actor, for `rouse`."""

        def abort(_: Any) -> Abort:
            self.consumer = None
            return Abort.SUCCEEDED

        self.consumer = current_task()
        await wait_task_rescheduled(abort)

    def drop_all(self) -> None:
        """Answer whatever waits: nobody is going to handle it."""
        queue, self.queue = self.queue, None
        for item in queue or ():
            dead_letter(item, self.cell)
        if self.senders:
            for task in self.senders:
                reschedule(task, WOKEN)
            self.senders = None

    def close(self) -> None:
        """Take no more mail, for good."""
        self.state = CLOSED
        self.signal = 0
        self.drop_all()

    # pykka's inbox protocol
    def get(self) -> Any:
        """Take the next item out (pykka)."""
        assert self.queue is not None
        return self.queue.popleft()

    def empty(self) -> bool:
        """Whether nothing waits (pykka)."""
        return not self.queue


def dead_letter(item: Any, cell: "Cell") -> None:
    """Answer a request that nobody will handle; a stop request got what it wanted."""
    if type(item) is not Envelope:
        return
    reply: pykka.Future[Any] | None = item.reply_to
    if reply is None or getattr(reply, "done", False):
        return
    if isinstance(item.message, _ActorStop):
        reply.set(None)
    else:
        reply.set_exception((ActorDeadError, cell.dead("stopped before it handled the message"), None))

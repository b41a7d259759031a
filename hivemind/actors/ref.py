"""What senders hold: pykka's `ActorRef`, with `call` and `send` to await.

A ref survives restarts of its actor. When its address was passivated or its supervisor was restarted, the
next message finds the present actor of that address by itself.
"""

import itertools
import os
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

import pykka
import trio
from pykka import ActorDeadError
from pykka._envelope import Envelope
from pykka.messages import _ActorStop
from trio.lowlevel import in_trio_run

from hivemind.actors.delivery import NOT_NOW, answer_now, help_along
from hivemind.actors.future import Future
from hivemind.actors.mailbox import CLOSED, QUEUED, RUNNING, Mailbox
from hivemind.actors.signals import WouldDeadlock

if TYPE_CHECKING:
    from hivemind.actors.actor import Actor
    from hivemind.actors.cell import Cell

CALL_TIMEOUT_SECONDS: Final = 5.0

_process: Final = os.urandom(8).hex()
_serial: Final = itertools.count(1)


class StopFlag:
    """pykka's `actor_stopped`: true once no mail is taken any more."""

    __slots__ = ("_cell",)

    def __init__(self, cell: "Cell") -> None:
        self._cell = cell

    def is_set(self) -> bool:
        """Whether the actor is dead for good."""
        return self._cell.mailbox.state == CLOSED

    def wait(self, timeout: float | None = None) -> bool:
        """Block, in another thread, until it is dead."""
        if self.is_set():
            return True
        if in_trio_run():
            raise WouldDeadlock("actor_stopped.wait() on the thread that runs the actors")

        async def ended() -> None:
            with trio.move_on_after(float("inf") if timeout is None else timeout):
                await self._cell.ended()

        trio.from_thread.run(ended, trio_token=self._cell.system.token)
        return self.is_set()


class ActorRef(pykka.ActorRef[Any]):
    """The one ref of an address. `tell` and `ask` work from any thread, `call` and `send` on the loop."""

    __slots__ = ("_cell", "_ident", "_mailbox", "_urn")

    def __init__(self, cell: "Cell") -> None:
        self._cell = cell
        self._mailbox = cell.mailbox
        self._ident = cell.system.ident
        self._urn: str | None = None

    @property
    def address(self) -> str:
        """The path in the tree."""
        return self._cell.address

    @property
    def actor_class(self) -> "type[Actor]":  # type: ignore[override]
        """The actor's class (pykka)."""
        return self._cell.cls

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        """A unique name (pykka); made when first asked for."""
        if self._urn is None:
            self._urn = f"urn:hivemind:{_process}:{next(_serial)}"
        return self._urn

    @property
    def actor_inbox(self) -> Any:  # type: ignore[override]
        """The mailbox (pykka)."""
        return self._mailbox

    @property
    def actor_stopped(self) -> Any:  # type: ignore[override]
        """A flag that is set once the actor is dead for good (pykka)."""
        return StopFlag(self._cell)

    @property
    def _actor_weakref(self) -> Any:  # type: ignore[override]
        return lambda: self._cell.actor

    def __str__(self) -> str:
        return f"{self._cell.cls.__name__} ({self._cell.address})"

    def is_alive(self) -> bool:
        """Whether messages are taken; true while the actor waits for a restart."""
        return self._mailbox.state != CLOSED

    def tell(self, message: Any) -> None:
        """Send and go on. A full mailbox raises on the loop and blocks in any other thread (pykka)."""
        mailbox = self._mailbox
        queue = mailbox.queue
        if get_ident() != self._ident:
            post(mailbox, message)
        elif queue is not None and len(queue) < mailbox.limit:
            # What `put` does, here because a call more is a tenth of a message.
            queue.append(message)
        else:
            self._open().put(message)

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send and get a future, or block for the answer in another thread (pykka)."""
        if block and in_trio_run():
            raise WouldDeadlock("ask(block=True) on the thread that runs the actors: await call() instead")
        future = Future[Any]()
        try:
            if get_ident() == self._ident:
                self._open().put(Envelope(message, future))
            else:
                post(self._mailbox, Envelope(message, future))
        except ActorDeadError as error:
            future.fail(error)
        return future.get(timeout=timeout) if block else future

    async def call(self, message: Any, *, timeout_seconds: float | None = CALL_TIMEOUT_SECONDS) -> Any:
        """Send and wait for the answer.

        A cancelled or timed-out caller abandons the request, which is dropped if it had not begun.
        """
        mailbox = self._mailbox
        result = answer_now(mailbox, message)
        if result is NOT_NOW:
            return await call(self._open(), message, timeout_seconds)
        return await result if type(result) is Future else result

    async def send(self, message: Any) -> None:
        """Send as soon as the mailbox has room."""
        await self._open().put_when_room(message)

    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any:
        """Ask it to stop after the messages before this one (pykka)."""
        asked = self.ask(_ActorStop(), block=False)

        def stopped(timeout: float | None) -> bool:
            try:
                asked.get(timeout=timeout)
            except ActorDeadError:
                return False
            return True

        result = Future[bool]()
        result.set_get_hook(stopped)
        result.derived_from(asked)
        if block and in_trio_run() and not asked.done:
            raise WouldDeadlock("stop() on the thread that runs the actors: await stop(block=False) instead")
        return result.get(timeout=timeout) if block else result

    async def terminate(self, within_seconds: float = 5.0) -> None:
        """Stop it ahead of its mail; kill it when that takes too long."""
        cell = self._cell
        cell.stop()
        with trio.move_on_after(within_seconds):
            await cell.ended()
        cell.kill()
        await cell.ended()

    def kill(self) -> None:
        """End it now: cancel what it awaits; only `on_exit` runs."""
        self._cell.kill()

    def suspend(self) -> None:
        """Have it handle nothing until `resume`; its mail is kept."""
        self._cell.suspend()

    def resume(self) -> None:
        """Undo `suspend`."""
        self._cell.resume()

    def _open(self) -> Mailbox:
        cell = self._cell
        if cell.mailbox.state == CLOSED and cell.supervisor is not None:
            present = cell.system.resolve(cell.address)
            if present.cls is cell.cls:
                self._cell, self._mailbox = present, present.mailbox
                present._ref = present._ref or self  # noqa: SLF001 stay the one ref of the address
        return self._mailbox


async def call(mailbox: Mailbox, message: Any, timeout_seconds: float | None) -> Any:
    """Ask on the loop what could not be answered at once."""
    cell = mailbox.cell
    system = cell.system
    if mailbox.state == RUNNING and system.running is cell:
        raise WouldDeadlock(f"{cell.address} called itself")
    future = Future[Any]()
    mailbox.put(Envelope(message, future))
    if mailbox.state == QUEUED and cell.cls.helpable and system.helping and system.may_help():
        help_along(mailbox)
    if future.done:
        return future.value()
    if timeout_seconds is None:
        return await future
    timer = system.timers.after(timeout_seconds, future.expire)
    try:
        return await future
    finally:
        timer.cancel()


def post(mailbox: Mailbox, item: Any) -> None:
    """Send from another thread; a full mailbox makes that thread wait."""
    system = mailbox.cell.system
    if mailbox.state == CLOSED:
        raise mailbox.cell.dead()
    if len(mailbox) >= mailbox.limit:
        trio.from_thread.run(mailbox.put_when_room, item, trio_token=system.token)
    else:
        system.post(mailbox, item)

# ruff: noqa: A002 -- an exit is what ends an actor, as in OTP
"""The lasting half of an actor: address, mailbox, counters, state; and the one way out of life.

A restart replaces `actor` and nothing else, which is why refs and addresses survive it. `end` and
`finish` are synchronous: there is no await between "dead" and "everyone who must know does".
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import trio
from pykka import ActorDeadError

from hivemind.actors.future import Future
from hivemind.actors.mailbox import (
    CLOSED,
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
from hivemind.actors.policy import NOTHING, ChildSpec, History, Policy
from hivemind.actors.ref import ActorRef
from hivemind.actors.signals import KILLED, SHUTDOWN, Exit, GivenUp, split_cancelled

if TYPE_CHECKING:
    from hivemind.actors.actor import Actor
    from hivemind.actors.supervisor import Supervisor
    from hivemind.actors.system import ActorSystem

State = Literal["starting", "up", "suspended", "waiting", "stopping", "down", "failed"]

logger = logging.getLogger("hivemind.actors")


class LastExit(NamedTuple):
    """The last end of an actor as text: an exception kept here would keep its frames alive."""

    reason: str
    error: str | None
    at: float


class Grip:
    """The cancel scope of whoever runs an actor, whether it was cancelled, and the message in hand.

    Trio's own flag asks the clock for a deadline at each look, and this one is looked at all the time.
    """

    __slots__ = ("cancelled", "in_hand", "scope")

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.cancelled = False
        # The message of a suspended handler, and since when.
        self.in_hand: tuple[Any, float] | None = None

    def cancel(self) -> None:
        """Cancel what is awaited under it."""
        self.cancelled = True
        self.scope.cancel()


class Tasks(set[trio.CancelScope]):
    """The tasks of one incarnation, and who waits for the last of them to end."""

    __slots__ = ("quiet",)

    def __init__(self) -> None:
        super().__init__()
        self.quiet: Future[None] | None = None


class Cell:
    """One address's place in the system; holds at most one incarnation of its actor at a time."""

    __slots__ = (
        "_ref",
        "actor",
        "address",
        "asked",
        "cls",
        "ending",
        "grip",
        "history",
        "incarnation",
        "last_exit",
        "mailbox",
        "mark",
        "policy",
        "restarts",
        "since",
        "spec",
        "state",
        "supervisor",
        "system",
        "tasks",
        "up_at",
        "waiters",
    )

    def __init__(
        self,
        system: "ActorSystem",
        address: str,
        cls: "type[Actor]",
        asked: Mapping[str, object] = NOTHING,
        supervisor: "Supervisor | None" = None,
    ) -> None:
        self.system = system
        self.address = address
        self.cls = cls
        self.asked = asked
        self.supervisor = supervisor
        self.policy: Policy = system.policies.of(cls.kind, address, asked)
        self.mailbox = Mailbox(self, self.policy.mailbox_limit)
        self.actor: Actor | None = None
        self.spec: ChildSpec | None = None
        self.state: State = "down"
        self.since = self.up_at = 0.0
        self.incarnation = 0
        self.restarts = 0
        self.history: History | None = None
        self.last_exit: LastExit | None = None
        # Set only while user code of this actor is suspended: what `kill` has to cancel.
        self.grip: Grip | None = None
        self.tasks: Tasks | None = None
        # How the present incarnation will end, once that is known.
        self.ending: Exit | None = None
        self.waiters: list[Future[None]] | None = None
        self.mark: tuple[int, float] | None = None
        self._ref: ActorRef | None = None

    @property
    def name(self) -> str:
        """The last segment of the address."""
        return self.address.rpartition("/")[2]

    @property
    def ref(self) -> ActorRef:
        """The one ref of this address, made when first asked for."""
        ref = self._ref
        if ref is None:
            ref = self._ref = ActorRef(self)
        return ref

    def dead(self, why: str = "is not running") -> ActorDeadError:
        """Return the error for a sender."""
        if self.state == "failed":
            return GivenUp(f"{self.address} was given up after {self.restarts} restarts")
        return ActorDeadError(f"{self.address} {why}")

    def enter(self, state: State, at: float | None = None) -> None:
        """Change the visible state and tell who listens."""
        self.state = state
        self.since = self.system.now() if at is None else at
        if self.system.feeds:
            self.system.announce(self)

    # -- beginning

    def incarnate(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Make the next instance and start it. What `__init__` raises goes to whoever starts it."""
        cls = self.cls
        actor = cls.__new__(cls)
        actor._cell = self  # noqa: SLF001 the two halves know each other
        if kwargs:
            actor.__init__(*args, **kwargs)  # type: ignore[misc]
        else:
            actor.__init__(*args)  # type: ignore[misc]
        self.actor = actor
        self.incarnation += 1
        self.ending = None
        mailbox = self.mailbox
        mailbox.signal &= SUSPEND
        if cls.mode == "task":
            mailbox.signal |= START
            mailbox.state = QUEUED
            self.enter("starting")
            self.system.nursery.start_soon(self.system.dispatcher.live, self, name=self.address)
        elif cls.starts:
            mailbox.signal |= START
            mailbox.state = QUEUED
            self.enter("starting")
            self.system.dispatcher.schedule(mailbox)
        else:
            self.came_up()
            mailbox.state = HELD
            if not mailbox.queue:
                mailbox.queue = None
            if not mailbox.signal:
                mailbox.state = IDLE
                if mailbox.queue:
                    mailbox.rouse()

    def came_up(self) -> None:
        """Note that `on_start` is done."""
        self.enter("suspended" if self.mailbox.signal & SUSPEND else "up")
        self.up_at = self.since
        if self.supervisor is not None:
            self.supervisor.child_started(self)

    # -- signals: from the loop's thread

    def stop(self, exit: Exit = SHUTDOWN) -> None:
        """Stop in order, ahead of the mail: the message in hand is finished, then `on_stop` runs."""
        if self.actor is not None and self.mailbox.state < ENDED:
            self.ending = self.ending or exit
            self.mailbox.signal |= STOP
            self.mailbox.rouse()

    def kill(self, exit: Exit = KILLED) -> None:
        """End now: cancel what is awaited, skip the mail and every hook but `on_exit`."""
        mailbox = self.mailbox
        if self.actor is None or mailbox.state >= ENDED:
            return
        self.ending = exit
        mailbox.signal |= KILL
        if self.grip is not None:
            self.grip.cancel()
        elif self.cls.mode == "pooled" and mailbox.state != RUNNING:
            self.end(exit)
        else:
            mailbox.rouse()

    def crash(self, error: BaseException) -> None:
        """Fail as if a handler had raised this: the crash of a task is the crash of its actor."""
        if self.actor is None or self.mailbox.state >= ENDED:
            return
        self.fault(error)
        if self.grip is not None:
            self.grip.cancel()
        else:
            self.mailbox.rouse()

    def fault(self, error: BaseException) -> None:
        """Note the first thing that the actor did wrong; a kill has precedence."""
        signal = self.mailbox.signal
        if not signal & (KILL | FAIL):
            self.ending = Exit("error", error)
        self.mailbox.signal = signal | FAIL

    def suspend(self) -> None:
        """Handle nothing until `resume`; the mail is kept, the message in hand is finished."""
        mailbox = self.mailbox
        mailbox.signal |= SUSPEND
        if mailbox.state == IDLE:
            mailbox.state = HELD
        if self.state == "up":
            self.enter("suspended")

    def resume(self) -> None:
        """Undo `suspend`."""
        mailbox = self.mailbox
        mailbox.signal &= ~SUSPEND
        if self.state == "suspended":
            self.enter("up")
        if mailbox.state == HELD:
            mailbox.rouse()

    # -- tasks

    def spawn_task(self, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        """Run a child task that ends with this incarnation."""
        if self.actor is None or self.mailbox.state >= ENDED:
            raise self.dead()
        if self.tasks is None:
            self.tasks = Tasks()
        scope = trio.CancelScope()
        self.tasks.add(scope)
        name = f"{self.address} {getattr(function, '__name__', function)}"
        self.system.nursery.start_soon(self._run_task, scope, function, args, name=name)

    async def _run_task(
        self, scope: trio.CancelScope, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> None:
        try:
            with scope:
                await function(*args)
        except BaseException as error:
            cancelled, fault = split_cancelled(error)
            if fault is not None and self.ending is not None:
                logger.error("%s: a task failed while ending", self.address, exc_info=fault)  # noqa: TRY400
            elif fault is not None:
                self.crash(fault)
            if cancelled is not None:
                raise cancelled from None
            if isinstance(fault, KeyboardInterrupt):
                raise
        finally:
            tasks = self.tasks
            assert tasks is not None
            tasks.discard(scope)
            if not tasks:
                self.tasks = None
                if self.mailbox.state == ENDED and self.actor is not None:
                    self.finish(self.ending or SHUTDOWN)
                elif tasks.quiet is not None:
                    tasks.quiet.set(None)

    async def cancel_tasks(self) -> None:
        """Cancel the tasks of this incarnation and wait until they are gone."""
        while self.tasks:
            for scope in self.tasks:
                scope.cancel()
            quiet = self.tasks.quiet = Future[None]()
            await quiet

    # -- the way out

    def end(self, exit: Exit) -> None:
        """Leave life: at once, or as soon as the last task is gone."""
        self.mailbox.state = ENDED
        self.ending = exit
        if not self.tasks:
            self.finish(exit)
            return
        self.enter("stopping")
        for scope in self.tasks:
            scope.cancel()

    def finish(self, exit: Exit) -> None:
        """Be dead and let everyone know, in this order, without an await."""
        actor, self.actor = self.actor, None
        assert actor is not None
        mailbox = self.mailbox
        mailbox.signal &= SUSPEND
        error = exit.error
        text = None if error is None else f"{type(error).__name__}: {error}"
        now = self.system.now()
        self.last_exit = LastExit(exit.reason, text, now)
        # Kept longer, the error would keep its frames alive.
        self.ending = None
        self.system.meters[self.cls.kind].exits[exit.reason] += 1
        supervisor = self.supervisor
        try:
            actor.on_exit(exit)
        except Exception as failed:
            logger.exception("%s: on_exit failed", self.address)
            if not exit.abnormal:
                # As in OTP: what fails at its end has not ended in order, and the supervisor decides.
                exit = Exit("error", failed)  # noqa: A001 as the parameter is called
                self.last_exit = LastExit(exit.reason, f"{type(failed).__name__}: {failed}", now)
        finally:
            self.enter("down", now)
            if supervisor is None:
                self.system.forget(self)
                mailbox.close()
            elif not supervisor.keeps_mailbox(self, exit):
                mailbox.close()
            elif not self.policy.keep_mailbox:
                mailbox.drop_all()
            self.system.watches.ended(self, exit)
            waiters, self.waiters = self.waiters, None
            for future in waiters or ():
                if not future.done:
                    future.set(None)
            if supervisor is not None:
                supervisor.child_ended(self, exit)

    def bury(self, state: State = "down") -> None:
        """Close the mailbox that was kept for a restart which will not come."""
        if self.state != state:
            self.enter(state)
        self.mailbox.close()

    # -- waiting

    def gone(self) -> Future[None]:
        """Return a future for the end of the present incarnation."""
        future = Future[None]()
        if self.waiters is None:
            self.waiters = []
        self.waiters.append(future)
        return future

    async def ended(self) -> None:
        """Wait until the present incarnation, if there is one, has ended."""
        incarnation = self.incarnation
        while self.actor is not None and self.incarnation == incarnation:
            await self.gone()

    @property
    def closed(self) -> bool:
        """Whether no mail is taken any more."""
        return self.mailbox.state == CLOSED

# ruff: noqa: A002 -- an exit is what ends an actor, as in OTP
"""The class that people derive their actors from: pykka's hooks and names, on trio.

Hooks may be `def` or `async def`. An instance is one incarnation; what outlives it is in `cell`.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import pykka
from pykka.messages import _ActorStop

from hivemind.actors.future import Future
from hivemind.actors.mailbox import Mailbox
from hivemind.actors.policy import NOTHING
from hivemind.actors.ref import ActorRef, StopFlag
from hivemind.actors.signals import Exit

if TYPE_CHECKING:
    from hivemind.actors.cell import Cell
    from hivemind.actors.system import ActorSystem


if TYPE_CHECKING:
    # To a type checker pykka's hooks are `def ... -> None`; ours may be `async def` as well.
    _Base = object
else:
    _Base = pykka.Actor


class Actor(_Base):
    """Handles one message at a time, and is replaced by a new instance when it fails.

    `pooled` actors share a few tasks and cost nothing while idle; a `task` actor has a trio task of its
    own, for those that own sockets or children. `expected_errors` are replies; any other exception ends
    the actor and is its supervisor's business. `kind` names the policy section in the settings.
    """

    __slots__ = ("_cell",)

    mode: ClassVar[Literal["pooled", "task"]] = "pooled"
    kind: ClassVar[str] = "actor"
    expected_errors: ClassVar[tuple[type[BaseException], ...]] = ()
    trap_exit: bool = False

    # What the dispatcher has to know of a class, found once: may a caller run it, which hooks has it.
    helpable: ClassVar[bool] = False
    starts: ClassVar[bool] = False
    mourns: ClassVar[bool] = False
    has_children: ClassVar[bool] = False

    _cell: "Cell"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.helpable = cls.mode == "pooled" and not inspect.iscoroutinefunction(cls.on_receive)
        cls.starts = cls.on_start is not Actor.on_start
        cls.mourns = cls.on_failure is not Actor.on_failure

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing: the runtime has set the actor up before, so `super().__init__()` is optional."""

    # -- hooks

    def on_start(self) -> Any:
        """Run before the first message of each incarnation. An exception is a failed start."""

    def on_receive(self, message: Any) -> Any:
        """Handle one message; the result is the reply."""
        return pykka.Actor.on_receive(cast("Any", self), message)

    def on_stop(self) -> Any:
        """Run after the last message of an orderly stop; the actor's tasks are gone by then."""

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        """Run after an unexpected exception, before the actor ends."""

    def on_exit(self, exit: Exit) -> None:
        """Have the last word: called once per incarnation, whatever ended it. Must not wait."""

    def facts(self) -> Mapping[str, object]:
        """Return what operators should see of this actor. Must not wait."""
        return NOTHING

    # -- what an actor may use

    def spawn_task(self, function: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Run a task that ends with this actor, and whose crash is the crash of this actor.

        An orderly stop cancels the tasks and waits for them before `on_stop` runs.
        """
        self._cell.spawn_task(function, args)

    @property
    def system(self) -> "ActorSystem":
        """The system that this actor lives in."""
        return self._cell.system

    @property
    def address(self) -> str:
        """The path of this actor in the tree."""
        return self._cell.address

    @property
    def restarted(self) -> bool:
        """Whether an incarnation before this one failed."""
        return self._cell.restarts > 0

    # -- pykka's protocol

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ActorRef:
        """Start an unsupervised actor in the current system, from any thread (pykka)."""
        from hivemind.actors.system import current_system  # noqa: PLC0415 the system knows actors

        return current_system().spawn(cls, *args, **kwargs)

    def stop(self) -> None:
        """Stop after the messages that wait now (pykka)."""
        self._cell.mailbox.put_late(_ActorStop())

    @property
    def actor_ref(self) -> ActorRef:
        """The ref to this address; the same one before and after a restart."""
        return self._cell.ref

    @property
    def _actor_ref(self) -> ActorRef:
        return self._cell.ref

    @property
    def actor_urn(self) -> str:
        """Pykka's unique name."""
        return self._cell.ref.actor_urn

    @property
    def actor_inbox(self) -> Mailbox:
        """Pykka's name for the mailbox."""
        return self._cell.mailbox

    @property
    def actor_stopped(self) -> StopFlag:
        """Pykka's flag."""
        return StopFlag(self._cell)

    @staticmethod
    def _create_future() -> Future[Any]:
        return Future()

    @staticmethod
    def _create_actor_inbox() -> Any:
        raise NotImplementedError("a mailbox belongs to a cell: start actors by a system")

    def _start_actor_loop(self) -> None:
        raise NotImplementedError("start actors by a system")

    async def _release(self, exit: Exit) -> None:
        """Let go of children before the end; only for classes with `has_children`."""

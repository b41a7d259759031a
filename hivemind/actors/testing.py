"""The actor test kit: an actor or a tree on its own, in virtual time, with crashes on demand.

Part of the product: whoever writes an actor tests it with this. No real threads or sockets under a virtual
clock: it would jump ahead of them.
"""

import functools
import inspect
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, overload

import trio
import trio.testing

from hivemind.actors.actor import Actor
from hivemind.actors.policy import ChildSpec, Policies
from hivemind.actors.ref import ActorRef
from hivemind.actors.rows import RowSupervisor
from hivemind.actors.snapshot import StateChange
from hivemind.actors.supervisor import Strategy, Supervisor
from hivemind.actors.system import ActorSystem

KitTest = Callable[..., Awaitable[None]]


class ProbeActor(Actor):
    """Records what it is told and replies with what was laid out."""

    def __init__(self) -> None:
        self.received: deque[Any] = deque()
        self.replies: deque[Any] = deque()
        self.arrived = trio.Event()

    def on_receive(self, message: Any) -> Any:
        """Keep the message for the test."""
        self.received.append(message)
        self.arrived.set()
        return self.replies.popleft() if self.replies else None


class Probe:
    """An actor that a test holds in its hand."""

    def __init__(self, kit: "ActorTestKit", *, trap_exit: bool = False) -> None:
        self._kit = kit
        self.ref = kit.system.spawn(ProbeActor)
        actor = self.ref._actor_weakref()  # noqa: SLF001 the kit looks inside its own actor
        assert isinstance(actor, ProbeActor)
        actor.trap_exit = trap_exit
        self._actor = actor

    def will_reply(self, *replies: Any) -> None:
        """Lay out the replies to the next messages."""
        self._actor.replies.extend(replies)

    async def expect(self, expected: object = object, *, within_seconds: float = 1.0) -> Any:
        """Return the next message, which must equal `expected` or be of that type; time runs freely."""
        with self._kit.running_clock(), trio.fail_after(within_seconds):
            while not self._actor.received:
                self._actor.arrived = trio.Event()
                await self._actor.arrived.wait()
        message = self._actor.received.popleft()
        if isinstance(expected, type):
            assert isinstance(message, expected), f"expected {expected.__name__}, got {message!r}"
        else:
            assert message == expected, f"expected {expected!r}, got {message!r}"
        return message

    async def expect_nothing(self, for_seconds: float = 0.0) -> None:
        """Let time pass and see that no message came."""
        await self._kit.advance(for_seconds)
        assert not self._actor.received, f"unexpected {list(self._actor.received)!r}"


class _RunningClock:
    def __init__(self, clock: trio.testing.MockClock) -> None:
        self._clock = clock

    def __enter__(self) -> None:
        self._clock.autojump_threshold = 0

    def __exit__(self, *_: object) -> None:
        self._clock.autojump_threshold = math.inf


class ActorTestKit:
    """A fresh system under a virtual clock that moves only when the test says so."""

    def __init__(self, system: ActorSystem, clock: trio.testing.MockClock) -> None:
        self.system = system
        self.clock = clock
        self._feed = system.events(limit=100_000)
        system.feeds.add(self._feed)

    def running_clock(self) -> _RunningClock:
        """Return a context in which virtual time runs as soon as everything waits."""
        return _RunningClock(self.clock)

    def probe(self, *, trap_exit: bool = False) -> Probe:
        """Return a new probe."""
        return Probe(self, trap_exit=trap_exit)

    async def settle(self) -> None:
        """Wait until nothing can happen without the clock moving."""
        await trio.testing.wait_all_tasks_blocked()

    async def advance(self, seconds: float) -> None:
        """Settle, move the clock, settle."""
        await self.settle()
        if seconds > 0:
            self.clock.jump(seconds)
            await self.settle()

    async def crash(self, target: ActorRef, error: BaseException | None = None) -> None:
        """Make an actor fail as if its handler had raised, in whatever it is doing."""
        target._cell.crash(error or RuntimeError("crashed by the test"))  # noqa: SLF001 the kit is inside
        await self.settle()

    async def supervisor(
        self,
        *children: ChildSpec,
        strategy: Strategy = "one_for_one",
        name: str = "supervisor",
        **policy: object,
    ) -> ActorRef:
        """Start a supervisor without jitter, under a root of its own; `policy` is the supervisor's."""
        return await self._under_root(
            ChildSpec(
                name,
                Supervisor,
                (children,),
                {"strategy": strategy, "chance": _no_chance},
                {"restart": "temporary", **policy},
            )
        )

    async def rows(
        self, child: Callable[[str], ChildSpec] | None, *, name: str = "rows", **options: Any
    ) -> ActorRef:
        """Start a row supervisor without jitter at `/rows`."""
        policy = options.pop("policy", {})
        return await self._under_root(
            ChildSpec(
                name,
                RowSupervisor,
                (child,),
                {"chance": _no_chance, **options},
                {"restart": "temporary", **policy},
            )
        )

    async def _under_root(self, spec: ChildSpec) -> ActorRef:
        await self.system.start(spec)
        return self.system.at(f"/{spec.name}").ref

    def state(self, address: str) -> str:
        """Return the state of an actor."""
        snapshot = self.system.snapshot(address)
        return "absent" if snapshot is None else snapshot.state

    def trace(self, *states: str) -> list[tuple[str, str]]:
        """Return (address, state) of every change since the last trace, of these states if given."""
        changes: list[StateChange] = self._feed.drain()
        return [(change.address, change.state) for change in changes if not states or change.state in states]


def _no_chance() -> float:
    return 0.0


@overload
def actor_test(test: KitTest, /) -> Callable[..., None]: ...


@overload
def actor_test(
    *, seeds: Iterable[int] = ..., policies: Policies | None = ..., **options: Any
) -> Callable[[KitTest], Callable[..., None]]: ...


def actor_test(
    test: KitTest | None = None,
    /,
    *,
    seeds: Iterable[int] = (0,),
    policies: Policies | None = None,
    **options: Any,
) -> Any:
    """Run `async def test(kit, ...)` on a fresh system in virtual time, once for each schedule seed."""
    if test is None:
        return functools.partial(actor_test, seeds=tuple(seeds), policies=policies, **options)
    given = test

    @functools.wraps(given)
    def run(*args: Any, **kwargs: Any) -> None:
        for seed in seeds:
            clock = trio.testing.MockClock()

            async def main(clock: trio.testing.MockClock = clock) -> None:
                async with ActorSystem(policies=policies, **options) as system:
                    try:
                        await given(ActorTestKit(system, clock), *args, **kwargs)
                    finally:
                        # What still hangs is killed at its deadline: that takes no real time.
                        clock.autojump_threshold = 0

            seed_schedule(seed)
            trio.run(main, clock=clock)

    # pytest must not take `kit` for a fixture.
    signature = inspect.signature(given)
    del run.__wrapped__
    run.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    return run


def seed_schedule(seed: int) -> None:
    """Make trio's order of ready tasks repeatable; another seed gives another order."""
    trio._core._run._r.seed(seed)  # noqa: SLF001 trio offers no public way


def run_alone(cls: type[Actor], messages: Sequence[Any], *args: Any, **kwargs: Any) -> list[Any]:
    """Run one actor with no tree, in virtual time; return each reply, or the exception that it got."""
    replies: list[Any] = []

    async def main() -> None:
        async with ActorSystem() as system:
            ref = system.spawn(cls, *args, **kwargs)
            for message in messages:
                try:
                    replies.append(await ref.call(message, timeout_seconds=None))
                except Exception as error:  # noqa: BLE001 what a caller gets is the result
                    replies.append(error)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return replies

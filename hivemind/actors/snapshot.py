"""What operators see of actors, read from outside without asking them, so that a stuck one is seen too.

Also the stream of state changes. Message bodies never show: only their types.
"""

from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import trio

from hivemind.actors.cell import Cell, State
from hivemind.actors.mailbox import UNBOUNDED

if TYPE_CHECKING:
    from hivemind.actors.system import ActorSystem


@dataclass(frozen=True, slots=True)
class MailboxFacts:
    """How full a mailbox is; `limit` is None where there is none."""

    length: int
    limit: int | None
    high_water: int


@dataclass(frozen=True, slots=True)
class InHand:
    """The type of the message that a suspended handler works on, and for how long."""

    message: str
    age_seconds: float


@dataclass(frozen=True, slots=True)
class ExitFacts:
    """How the last incarnation ended."""

    reason: str
    error: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One actor at one moment."""

    address: str
    kind: str
    state: State
    since_at: datetime
    age_seconds: float
    mailbox: MailboxFacts
    handled: int
    dropped: int
    in_hand: InHand | None
    restarts: int
    restarts_in_window: int
    last_exit: ExitFacts | None
    children: tuple[str, ...]
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Tree:
    """A snapshot with those below it; `omitted` children did not fit."""

    snapshot: Snapshot
    children: tuple["Tree", ...] = ()
    omitted: int = 0


@dataclass(frozen=True, slots=True)
class StateChange:
    """An actor entered a state; `missed` changes before it were dropped for a slow reader."""

    address: str
    kind: str
    state: State
    at: datetime
    reason: str | None
    missed: int = 0


def take(cell: Cell) -> Snapshot:
    """Read one actor."""
    system = cell.system
    now = system.now()
    mailbox = cell.mailbox
    history = cell.history
    last = cell.last_exit
    recent = 0
    if history is not None:
        recent = sum(at >= now - cell.policy.within_seconds for at in history.restarted_at)
    in_hand = None
    if cell.grip is not None and cell.grip.in_hand is not None:
        message, since = cell.grip.in_hand
        in_hand = InHand(type(message).__name__, now - since)
    return Snapshot(
        address=cell.address,
        kind=cell.cls.kind,
        state=cell.state,
        since_at=system.wall(cell.since),
        age_seconds=now - cell.since,
        mailbox=MailboxFacts(
            len(mailbox),
            None if mailbox.limit == UNBOUNDED else mailbox.limit,
            max(mailbox.high_water, len(mailbox)),
        ),
        handled=mailbox.handled,
        dropped=mailbox.dropped,
        in_hand=in_hand,
        restarts=cell.restarts,
        restarts_in_window=recent,
        last_exit=None if last is None else ExitFacts(last.reason, last.error, system.wall(last.at)),
        children=tuple(child.address for child in children_of(cell)),
        facts=_facts(cell),
    )


def grow(cell: Cell, limit: int) -> Tree:
    """Read an actor and at most `limit` children at each level below it."""
    children = children_of(cell)
    return Tree(
        take(cell), tuple(grow(child, limit) for child in children[:limit]), max(0, len(children) - limit)
    )


def children_of(cell: Cell) -> list[Cell]:
    """Return the children in start order."""
    children: Mapping[str, Cell] = getattr(cell.actor, "children", None) or {}
    return list(children.values())


def _facts(cell: Cell) -> Mapping[str, object]:
    if cell.actor is None:
        return {}
    try:
        return dict(cell.actor.facts())
    except Exception as error:  # noqa: BLE001 a broken actor must be visible, not break the view
        return {"facts_error": f"{type(error).__name__}: {error}"}


@dataclass(eq=False)
class Feed:
    """One reader's bounded buffer of state changes; a slow reader loses the oldest and is told.

    It listens from `with` or `async for` on, and until the `with` block is left.
    """

    system: "ActorSystem"
    limit: int = 1_000
    _changes: deque[StateChange] = field(default_factory=deque)
    _missed: int = 0
    _arrived: trio.Event = field(default_factory=trio.Event)

    def push(self, change: StateChange) -> None:
        """Add a change; never waits."""
        if len(self._changes) >= self.limit:
            self._changes.popleft()
            self._missed += 1
        self._changes.append(change)
        self._arrived.set()

    def drain(self) -> list[StateChange]:
        """Take all changes that wait."""
        changes = list(self._changes)
        self._changes.clear()
        return changes

    def __enter__(self) -> Self:
        self.system.feeds.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.system.feeds.discard(self)

    def __aiter__(self) -> AsyncIterator[StateChange]:
        self.system.feeds.add(self)
        return self

    async def __anext__(self) -> StateChange:
        while not self._changes:
            self._arrived = trio.Event()
            await self._arrived.wait()
        change: Any = self._changes.popleft()
        if self._missed:
            missed, self._missed = self._missed, 0
            return StateChange(change.address, change.kind, change.state, change.at, change.reason, missed)
        return change  # type: ignore[no-any-return]

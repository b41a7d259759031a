"""The numbered events of a turn, and the log that hands them to any number of listeners.

A log only grows, so a listener is an index into it: nobody who reads slowly holds the turn up, and a client
that lost its connection goes on from the number that it saw last. Nothing here knows HTTP.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

import trio

from hivemind.errors import HivemindError
from hivemind.providers import StopReason, ToolCall


@dataclass(frozen=True, slots=True)
class Usage:
    """What a turn used, as it was settled."""

    input_tokens: int
    output_tokens: int
    cost_micros: int

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_micros + other.cost_micros,
        )


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message is in the database: it will be answered once, whatever happens now."""

    kind: ClassVar[str] = "accepted"
    turn_id: UUID
    conversation_id: UUID


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer that no guard will change any more."""

    kind: ClassVar[str] = "delta"
    text: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A tool is called; it has been written down that it will be."""

    kind: ClassVar[str] = "tool"
    effect_id: UUID
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """What a call came to, as the model is told."""

    kind: ClassVar[str] = "tool_result"
    effect_id: UUID
    tool: str
    state: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The turn goes on when a person has answered for these calls; for none, when its agent is let go on."""

    kind: ClassVar[str] = "waiting"
    effect_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """The whole answer, committed. The last event.

    `incomplete` names the bound that cut it short; `calls` are calls of the client's own tools, which it has
    to make and to come back with.
    """

    kind: ClassVar[str] = "reply"
    turn_id: UUID
    conversation_id: UUID
    text: str
    usage: Usage
    incomplete: str | None = None
    calls: tuple[ToolCall, ...] = ()
    stop: StopReason = "end"


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no answer, and why. The last event."""

    kind: ClassVar[str] = "error"
    error: HivemindError


@dataclass(frozen=True, slots=True)
class Known:
    """This message came before: its turn is to be followed instead. The last event."""

    kind: ClassVar[str] = "known"
    turn_id: UUID
    agent_id: UUID


@dataclass(frozen=True, slots=True)
class Lost:
    """The agent failed; it is restarted and takes the turn up in a new epoch. The last event."""

    kind: ClassVar[str] = "lost"


Event = Accepted | Delta | ToolCalled | ToolEnded | Waiting | Reply | Failed | Known | Lost
LAST: tuple[type[Event], ...] = (Reply, Failed, Known, Lost)


class EventLog:
    """The events of one turn in one epoch; number n is the n-th appended, from 0.

    Once an event that is the last has been appended, nothing follows.
    """

    __slots__ = ("_changed", "_over", "epoch", "events", "turn_id")

    def __init__(self, epoch: int = 0, turn_id: UUID | None = None) -> None:
        self.epoch = epoch
        self.turn_id = turn_id
        self.events: list[Event] = []
        self._changed = trio.lowlevel.ParkingLot()
        self._over = trio.lowlevel.ParkingLot()

    @property
    def ended(self) -> bool:
        """Whether the last event is there."""
        return bool(self.events) and isinstance(self.events[-1], LAST)

    def append(self, event: Event) -> None:
        """Add an event and wake those who wait for it; after the last one, do nothing."""
        if not self.ended:
            self.events.append(event)
            # Asked first: waking nobody costs as much as appending.
            if self._changed:
                self._changed.unpark_all()
            if self._over and isinstance(event, LAST):
                self._over.unpark_all()

    async def first(self) -> Event:
        """The first event: whether the message was accepted."""
        if not self.events:
            await self._changed.park()
        return self.events[0]

    async def last(self) -> Event:
        """The event that ends the turn; those before it wake nobody who waits here."""
        if not self.ended:
            await self._over.park()
        return self.events[-1]

    async def batches(self, start: int = 0) -> AsyncGenerator[tuple[int, list[Event]], None]:
        """All events from a number on, each batch with the number of its first.

        A batch holds what has come since the one before: one event while the listener keeps up.
        """
        while True:
            if start < len(self.events):
                batch = self.events[start:]
                number, start = start, len(self.events)
                yield number, batch
                if isinstance(batch[-1], LAST):
                    return
            else:
                await self._changed.park()

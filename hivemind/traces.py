"""Traces of turns: which part of a turn took how long. Off unless `traces.endpoint` is set.

Here is what the agents see of it, which knows no library; `otlp` sends it. A trace never holds what people
or models said.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

Fact = str | int | float | bool
Facts = Mapping[str, Fact]


class Span(Protocol):
    """A part of a turn that is under way, as a context; leaving it ends it."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; an error is told by its code or its class, never by its words."""
        ...

    def note(self, facts: Facts) -> None:
        """Say more of it."""
        ...


class Traces(Protocol):
    """What spans are begun with."""

    def turn(self, turn_id: UUID, name: str, facts: Facts, *, first: bool, began_seconds: float) -> Span:
        """The work on a turn until it ends or waits; the trace has the turn's id.

        `first`: nobody worked on it before. It began at `began_seconds` of the monotonic clock then, and what
        was done since is its admission.
        """
        ...

    def part(self, name: str, facts: Facts, *, calls_out: bool = False) -> Span:
        """A part of the turn that this task works on."""
        ...


class Off:
    """No traces: every span is this, and does nothing."""

    def turn(self, turn_id: UUID, name: str, facts: Facts, *, first: bool, began_seconds: float) -> Span:
        """Nothing."""
        del turn_id, name, facts, first, began_seconds
        return self

    def part(self, name: str, facts: Facts, *, calls_out: bool = False) -> Span:
        """Nothing."""
        del name, facts, calls_out
        return self

    def __enter__(self) -> Self:
        """Nothing begins."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing ends."""

    def note(self, facts: Facts) -> None:
        """Nothing is said."""


OFF = Off()

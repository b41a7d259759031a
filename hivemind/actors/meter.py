"""What the actors of one kind have done so far, those that are gone included."""

from bisect import bisect_left
from collections import Counter
from typing import Final

HANDLER_SECONDS: Final = (0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5)
"""Upper bounds of the buckets in which handlers are counted by the time that they kept the loop."""


class Meter:
    """Totals of a kind. `handled`, `dropped` and `restarts` are of cells that are gone: add the living."""

    __slots__ = ("buckets", "dropped", "exits", "handled", "restarts", "seconds")

    def __init__(self) -> None:
        self.handled = self.dropped = self.restarts = 0
        self.exits: Counter[str] = Counter()
        self.buckets = [0] * (len(HANDLER_SECONDS) + 1)
        self.seconds = 0.0

    def note(self, seconds: float, messages: int) -> None:
        """Count messages that took so long together."""
        self.buckets[bisect_left(HANDLER_SECONDS, seconds / messages)] += messages
        self.seconds += seconds

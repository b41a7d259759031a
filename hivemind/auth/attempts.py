"""How often somebody may guess a password: after a few misses each further one has to wait, longer each time.

In memory and by the clock that is passed in: what a restart forgets is worth a handful of guesses.
"""

from collections import OrderedDict
from collections.abc import Hashable

FORGET_SECONDS = 900.0
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
MAX_KEYS = 10_000


class Attempts:
    """`free` misses cost nothing; the wait doubles from a second on. A full table forgets the oldest key."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._missed: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()

    def wait_seconds(self, key: Hashable, now: float) -> float:
        """How long until this key may be tried (0: now)."""
        misses, last = self._missed.get(key, (0, now))
        if now - last > FORGET_SECONDS:
            del self._missed[key]
            return 0.0
        if misses < self._free:
            return 0.0
        wait: float = min(FIRST_WAIT_SECONDS * 2 ** min(misses - self._free, 60), LONGEST_WAIT_SECONDS)
        return max(last + wait - now, 0.0)

    def miss(self, key: Hashable, now: float) -> None:
        """Count a try, before it is known whether it is right: many at once are no way round."""
        misses, _ = self._missed.pop(key, (0, now))
        self._missed[key] = (misses + 1, now)
        if len(self._missed) > MAX_KEYS:
            self._missed.popitem(last=False)

    def forgive(self, key: Hashable) -> None:
        """It was right."""
        self._missed.pop(key, None)

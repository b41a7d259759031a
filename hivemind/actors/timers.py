"""Deadlines and delays of one system in one heap, served by one task.

A trio cancel scope per call would cost more than the call. Callbacks run on the loop, are synchronous and
must not raise; whoever needs a task starts one.
"""

import heapq
from collections.abc import Callable

import trio


class Timer:
    """One due callback; cancelled by forgetting the callback, collected lazily."""

    __slots__ = ("at", "callback")

    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: "Timer") -> bool:
        return self.at < other.at

    def cancel(self) -> None:
        """Make sure that it never fires; harmless after it has."""
        self.callback = None


class Timers:
    """A heap whose head is the deadline of the serving task's scope."""

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._scope: trio.CancelScope | None = None
        self._sweep_at = 256

    def __len__(self) -> int:
        return sum(timer.callback is not None for timer in self._heap)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back after `seconds` of the loop's clock."""
        timer = Timer(trio.current_time() + seconds, callback)
        heapq.heappush(self._heap, timer)
        if self._heap[0] is timer and self._scope is not None:
            self._scope.deadline = min(self._scope.deadline, timer.at)
        if len(self._heap) >= self._sweep_at:
            self._heap = [timer for timer in self._heap if timer.callback is not None]
            heapq.heapify(self._heap)
            self._sweep_at = max(256, 2 * len(self._heap))
        return timer

    async def run(self) -> None:
        """Serve the heap until cancelled."""
        while True:
            with trio.CancelScope() as self._scope:
                if self._heap:
                    self._scope.deadline = self._heap[0].at
                await trio.sleep_forever()
            now = trio.current_time()
            while self._heap and self._heap[0].at <= now:
                callback = heapq.heappop(self._heap).callback
                if callback is not None:
                    callback()

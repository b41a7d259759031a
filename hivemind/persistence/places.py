"""The places of a pool: a semaphore whose waiters give up after a time, all after the same.

A cancel scope with a deadline for each waiter costs a fifth of a whole statement. As everybody waits
equally long, who came first gives up first, and one task that watches the head of the queue is enough.
"""

from collections import OrderedDict

import trio
from outcome import Value


class Places:
    """At most `count` are taken at once; who waits is served in the order of coming."""

    def __init__(self, count: int, wait_seconds: float) -> None:
        self._free = count
        self._wait_seconds = wait_seconds
        self._waiting: OrderedDict[trio.lowlevel.Task, float] = OrderedDict()
        self._is_watched = False

    @property
    def free(self) -> int:
        """How many are not taken."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many tasks wait for one."""
        return len(self._waiting)

    async def take(self) -> bool:
        """Take a place; false when none came free in time. A checkpoint only when there is none now."""
        if self._free:
            self._free -= 1
            return True
        task = trio.lowlevel.current_task()
        self._waiting[task] = trio.current_time() + self._wait_seconds
        if not self._is_watched:
            self._is_watched = True
            trio.lowlevel.spawn_system_task(self._watch)

        def abort(_: object) -> trio.lowlevel.Abort:
            del self._waiting[task]
            return trio.lowlevel.Abort.SUCCEEDED

        served: bool = await trio.lowlevel.wait_task_rescheduled(abort)
        return served

    def give_back(self) -> None:
        """Hand the place to who waited longest, or keep it free."""
        if self._waiting:
            task, _ = self._waiting.popitem(last=False)
            trio.lowlevel.reschedule(task, Value(True))
        else:
            self._free += 1

    async def _watch(self) -> None:
        """Send away who waited too long; ends when nobody waits."""
        try:
            while self._waiting:
                task, deadline = next(iter(self._waiting.items()))
                if deadline <= trio.current_time():
                    del self._waiting[task]
                    trio.lowlevel.reschedule(task, Value(False))
                else:
                    await trio.sleep_until(deadline)
        finally:
            self._is_watched = False

"""The reply that an ask will get: awaited on the loop, or blocked for in any other thread.

Derived futures (`map`, `filter`, `join`, `reduce`) are pykka's; here they only remember their sources, so
that awaiting one never blocks the loop.
"""

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import pykka
import trio
from trio.lowlevel import Abort, Task, current_task, current_trio_token, in_trio_run, reschedule

from hivemind.actors.signals import CallTimeout, WouldDeadlock
from hivemind.actors.waking import WOKEN

T = TypeVar("T")
ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Future(pykka.Future[T]):
    """Set at most once; `abandoned` when the last waiter left before that.

    Defaults live on the class: making a future writes nothing, since most are made, set and read once.
    """

    _get_hook: Callable[[float | None], Any] | None = None
    _result: Any = None
    _error: BaseException | None = None
    _task: Task | None = None
    _more: list[Task] | None = None
    _token: trio.lowlevel.TrioToken | None = None
    _condition: threading.Condition | None = None
    _sources: tuple[pykka.Future[Any], ...] = ()
    done: bool = False
    abandoned: bool = False

    def __init__(self) -> None:
        """Write nothing: the class holds the defaults."""

    def set(self, value: T | None = None) -> None:
        """Answer with a value."""
        if self.done or self._get_hook is not None:
            raise queue.Full
        self._result = value
        self.done = True
        if self._task is not None or self._condition is not None:
            self._announce()

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Answer with an error, as pykka does: the one given or the one being handled."""
        kind, error, _ = exc_info or sys.exc_info()
        self.fail(error if error is not None else (kind or RuntimeError)())

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        if self.done or self._get_hook is not None:
            raise queue.Full
        self._error = error
        self.done = True
        if self._task is not None or self._condition is not None:
            self._announce()

    def expire(self) -> None:
        """End the wait at a deadline: the answer, if it still comes, is dropped."""
        if not self.done:
            self.abandoned = True
            self.fail(CallTimeout("no answer in time"))

    def _announce(self) -> None:
        if self._task is not None:
            if in_trio_run() and current_trio_token() is self._token:
                self._wake()
            else:
                assert self._token is not None
                self._token.run_sync_soon(self._wake)
        if self._condition is not None:
            with self._condition:
                self._condition.notify_all()

    def _wake(self) -> None:
        tasks = [self._task] if self._task is not None else []
        tasks += self._more or []
        self._task = self._more = None
        for task in tasks:
            reschedule(task, WOKEN)

    def value(self) -> T:
        """Return or raise what was set."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[no-any-return]

    def get(self, *, timeout: float | None = None) -> T:
        """Block for the answer, in any thread but the loop's own."""
        if self._get_hook is not None:
            if not self.done:
                self._result = self._get_hook(timeout)
                self.done = True
            return self._result  # type: ignore[no-any-return]
        if self.done:
            return self.value()
        if in_trio_run():
            raise WouldDeadlock("Future.get() on the thread that runs the actors: await the future instead")
        condition = self.__dict__.setdefault("_condition", threading.Condition())
        deadline = None if timeout is None else time.monotonic() + timeout
        with condition:
            while not self.done:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise pykka.Timeout(f"{timeout} seconds")
                condition.wait(left)
        return self.value()

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Compute the value by `func` when it is asked for (pykka)."""
        if self.done:
            raise queue.Full
        self._get_hook = func

    def derived_from(self, *sources: pykka.Future[Any]) -> Self:
        """Await these before the get hook runs."""
        self._sources = sources
        return self

    def filter(self, func: Any) -> Any:
        """See pykka."""
        return _derived(super().filter(func), self)  # type: ignore[misc]

    def map(self, func: Any) -> Any:
        """See pykka."""
        return _derived(super().map(func), self)

    def reduce(self, func: Any, *args: Any) -> Any:
        """See pykka."""
        return _derived(super().reduce(func, *args), self)  # type: ignore[misc]

    def join(self, *futures: pykka.Future[Any]) -> "pykka.Future[Iterable[Any]]":
        """See pykka."""
        return cast("pykka.Future[Iterable[Any]]", _derived(super().join(*futures), self, *futures))

    def __await__(self) -> Generator[Any, Any, T]:
        if self._get_hook is not None:
            for source in self._sources:
                with contextlib.suppress(Exception):  # the hook asks again and decides what it means
                    yield from source.__await__()
            return self.get()
        if not self.done:
            yield from self._park().__await__()
        return self.value()

    async def _park(self) -> None:
        task = current_task()
        if self._task is None:
            self._token = current_trio_token()
            self._task = task
        elif self._more is None:
            self._more = [task]
        else:
            self._more.append(task)

        def abort(_: Any) -> Abort:
            if self._task is task:
                self._task = self._more.pop() if self._more else None
            elif self._more is not None:
                self._more.remove(task)
            self.abandoned = self._task is None
            return Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    __iter__ = __await__


def _derived(future: Any, *sources: pykka.Future[Any]) -> Any:
    return future.derived_from(*sources)

"""One way to call any provider: paced, limited in time, tried again, left alone when it is down.

The decisions are `patience`; here are the clock, the waiting and the counting. A try is repeated only until
the first event has been handed on: after that a failure is the caller's.
"""

import logging
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import trio

from hivemind.errors import ProviderUnavailable
from hivemind.providers.base import Provider, ProviderEvent, ProviderRequest, Usage
from hivemind.providers.failures import CallFailed
from hivemind.providers.patience import Again, Breaker, GiveUp, Patience, decide, is_outage, resting

PING_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Calls:
    """A provider with patience; itself a provider. Every call that comes in leaves the counters as it goes.

    Closing the iterator, or cancelling its reader, ends the call and closes its connection: use `aclosing`
    where a reader may stop early.
    """

    def __init__(
        self, provider: Provider, patience: Patience, *, jitter: Callable[[], float] = random.random
    ) -> None:
        self.name = provider.name
        self.default_model = provider.default_model
        self.patience = patience
        self._provider = provider
        self._jitter = jitter
        self._breaker = Breaker()
        self._turn = trio.Lock()
        self._next_at = 0.0
        self._in_flight = 0
        self._calls = 0
        self._retries = 0
        self._failures = 0
        self._last_error: str | None = None
        self.failed_by_kind: Counter[str] = Counter()

    def facts(self) -> dict[str, object]:
        """What an operator sees."""
        return {
            "provider": self.name,
            "model": self.default_model,
            "in_flight": self._in_flight,
            "waiting": self._turn.statistics().tasks_waiting,
            "calls": self._calls,
            "retries": self._retries,
            "failures": self._failures,
            "breaker": self._breaker.state(trio.current_time(), self.patience),
            "last_error": self._last_error,
        }

    def check(self) -> None:
        """Raise `ProviderUnavailable` when no call can be made as the provider is configured."""
        self._provider.check()

    async def ping(self) -> None:
        """One try in time, past pacing and breaker; what it finds counts for the breaker all the same."""
        failure = CallFailed("late", "no answer to a ping")
        with trio.move_on_after(min(self.patience.timeout_seconds, PING_SECONDS)):
            try:
                await self._provider.ping()
            except CallFailed as error:
                failure = error
            else:
                self._breaker = self._breaker.succeeded()
                return
        verdict = self._judge(failure, 1, started=False, left_seconds=0)
        assert isinstance(verdict, GiveUp)
        raise verdict.error from failure

    async def stream(self, request: ProviderRequest) -> AsyncGenerator[Sequence[ProviderEvent], None]:
        """Ask for one answer, with as many tries as patience allows."""
        deadline = trio.current_time() + self.patience.timeout_seconds
        self._calls += 1
        self._in_flight += 1
        tries = 0
        try:
            while True:
                await self._wait_for_turn(deadline)
                tries += 1
                started = False
                probe = self._breaker.opened_at is not None
                self._breaker = self._breaker.admitted()
                try:
                    async with aclosing(self._provider.stream(request)) as answer:
                        while (events := await self._next(answer, started, deadline)) is not None:
                            if not started:
                                started, probe = True, False
                                self._breaker = self._breaker.succeeded()
                            yield events
                            if isinstance(events[-1], Usage):
                                # The last word; what the provider still has to tidy up has its own limits.
                                await anext(answer, None)
                                break
                except CallFailed as failure:
                    probe = False
                    left = deadline - trio.current_time()
                    verdict = self._judge(failure, tries, started=started, left_seconds=left)
                    await self._wait_or_raise(failure, tries, verdict)
                else:
                    return
                finally:
                    if probe:
                        self._breaker = self._breaker.abandoned()
        finally:
            self._in_flight -= 1

    async def _next(
        self, answer: AsyncGenerator[Sequence[ProviderEvent], None], started: bool, deadline: float
    ) -> Sequence[ProviderEvent] | None:
        """The next events in time; an iterator that is cancelled in its wait closes its connection."""
        until = deadline
        if started:
            until = min(deadline, trio.current_time() + self.patience.stall_seconds)
        with trio.CancelScope(deadline=until):
            return await anext(answer, None)
        raise CallFailed("late", "no more events" if started else "no first event")

    async def _wait_for_turn(self, deadline: float) -> None:
        self._check_breaker()
        pace = self.patience.pace_seconds
        if not pace:
            return
        now = trio.current_time()
        ahead = self._turn.statistics().tasks_waiting + self._turn.locked()
        wait = max(self._next_at - now, 0.0) + ahead * pace
        if now + wait >= deadline:
            self._failures += 1
            raise ProviderUnavailable(
                "More calls are waiting for the model than it may be asked in time",
                remedy="try again later; HIVEMIND_LLM_PACE_MS sets the pace",
                retry_after_seconds=max(wait, 1.0),
            )
        # Who is cancelled while waiting gives up a place in the queue, not a slot of time.
        async with self._turn:
            await trio.sleep_until(self._next_at)
            self._next_at = trio.current_time() + pace
        self._check_breaker()

    def _check_breaker(self) -> None:
        wait = self._breaker.wait_seconds(trio.current_time(), self.patience)
        if wait > 0:
            self._failures += 1
            raise resting(wait)

    def _judge(
        self, failure: CallFailed, tries: int, *, started: bool, left_seconds: float
    ) -> Again | GiveUp:
        """Count a failed try and decide what comes of it."""
        self._last_error = str(failure)
        self.failed_by_kind[failure.kind] += 1
        if is_outage(failure):
            self._breaker = self._breaker.failed(trio.current_time(), self.patience)
        else:
            self._breaker = self._breaker.succeeded()
        verdict = decide(
            failure,
            tries=tries,
            started=started,
            left_seconds=left_seconds,
            jitter=self._jitter(),
            patience=self.patience,
        )
        if isinstance(verdict, Again):
            self._retries += 1
        else:
            self._failures += 1
        return verdict

    async def _wait_or_raise(self, failure: CallFailed, tries: int, verdict: Again | GiveUp) -> None:
        facts = {"provider": self.name, "error": str(failure), "tries": tries}
        if isinstance(verdict, GiveUp):
            _log.warning("model call failed: %s", verdict.error.message, extra=facts)
            raise verdict.error from failure
        _log.info("model call failed, trying again in %.1f s", verdict.seconds, extra=facts)
        await trio.sleep(verdict.seconds)

"""Runs a guard so that it refuses where it cannot say: when it raises, and when it exceeds its time.

What a guard looks for is the guards' business, and what a refusal means for a turn is the turn's.
"""

import logging
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import trio

from hivemind.errors import GuardFailed, HivemindError
from hivemind.guards import Finding, Guards

log = logging.getLogger("hivemind.agents")

# Guarding a text of this size takes about a millisecond: longer ones must not hold the loop up.
LONG_TEXT_CHARS = 16_384

# Their own, so that guards which hang take no thread from anything else; who finds none free is late.
_THREADS = trio.CapacityLimiter(8)

T = TypeVar("T")
P = ParamSpec("P")


def size(guards: Guards, text: str) -> int:
    """The size of a message for `passed`: where a classifier is asked, that of a long text."""
    return max(len(text), LONG_TEXT_CHARS + 1) if guards.waits else len(text)


async def passed(
    timeout_seconds: float, size: int, guard: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """What the guard says of a text of `size` characters.

    A long text is looked at in a thread, which is left to itself when the time is over.

    Raises:
        GuardFailed: it said nothing.
    """
    began = trio.current_time()
    try:
        if size <= LONG_TEXT_CHARS:
            said = guard(*args, **kwargs)
            if trio.current_time() - began <= timeout_seconds:
                return said
        else:
            with trio.move_on_after(timeout_seconds):
                return await trio.to_thread.run_sync(
                    lambda: guard(*args, **kwargs), abandon_on_cancel=True, limiter=_THREADS
                )
    except GuardFailed as failure:
        raise _because(failure, failure.__cause__ or failure) from failure.__cause__
    except HivemindError:
        raise
    except Exception as error:
        raise _because(GuardFailed(), error) from error
    late = GuardFailed()
    late.detail = {"reason": f"no verdict within {timeout_seconds:g} s over {size} characters"}
    log.error("a guard failed: %s", late.detail["reason"])
    raise late


def summary(findings: Sequence[Finding]) -> list[dict[str, object]]:
    """What the audit log keeps of findings: rule and span, never the text."""
    return [{"rule": f.rule, "start": f.start, "end": f.end} for f in findings]


def _because(failure: GuardFailed, error: BaseException) -> GuardFailed:
    log.error("a guard failed", exc_info=error)
    failure.detail = {"reason": f"{type(error).__name__} in the guard"}
    return failure

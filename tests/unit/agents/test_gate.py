"""Promise: a guard that raises or exceeds its time refuses; it never lets a text pass."""

import threading

import pytest
import trio
from trio.testing import MockClock

from hivemind.agents import gate
from hivemind.agents.gate import LONG_TEXT_CHARS, passed
from hivemind.errors import GuardFailed, GuardRefused
from hivemind.guards import Classifier, Guards

LONG = LONG_TEXT_CHARS + 1


def run(*args):
    return trio.run(passed, *args, clock=MockClock(autojump_threshold=0.5))


@pytest.mark.parametrize("size", [1, LONG])
def test_what_the_guard_says_is_handed_on(size):
    assert run(1, size, str.upper, "text") == "TEXT"


@pytest.mark.parametrize("size", [1, LONG])
@pytest.mark.parametrize("error", [ZeroDivisionError, MemoryError, RecursionError])
def test_a_guard_that_raises_refuses_and_says_why_to_operators(size, error):
    def broken():
        raise error

    with pytest.raises(GuardFailed) as told:
        run(1, size, broken)
    assert told.value.detail == {"reason": f"{error.__name__} in the guard"}
    assert error.__name__ not in told.value.message


@pytest.mark.parametrize("size", [1, LONG])
def test_a_refusal_is_a_refusal(size):
    def refuses():
        raise GuardRefused("for a reason")

    with pytest.raises(GuardRefused, match="for a reason") as told:
        run(1, size, refuses)
    assert told.type is GuardRefused


def test_a_guard_over_a_long_text_that_never_ends_is_left_to_itself():
    end, ended = threading.Event(), threading.Event()

    def endless():
        end.wait()
        ended.set()

    try:
        with pytest.raises(GuardFailed) as told:
            run(2, LONG, endless)
    finally:
        end.set()
    assert "within 2 s" in told.value.detail["reason"]
    assert ended.wait(10)


def test_a_verdict_that_comes_too_late_does_not_count():
    clock = MockClock()

    def slow():
        clock.jump(3)
        return "passed"

    with pytest.raises(GuardFailed):
        trio.run(passed, 2, 1, slow, clock=clock)


def test_a_classifier_that_hangs_refuses_and_holds_nothing_up():
    end = threading.Event()

    def endless(_text):
        end.wait()
        return 0.0

    guards = Guards([], classifier=Classifier(endless, 0.5))
    short = "hello"
    try:
        with pytest.raises(GuardFailed) as told:
            run(2, gate.size(guards, short), guards.check_input, short)
    finally:
        end.set()
    assert "within 2 s" in told.value.detail["reason"]


def test_without_a_classifier_a_short_text_is_judged_where_it_is():
    assert gate.size(Guards([]), "hello") == 5

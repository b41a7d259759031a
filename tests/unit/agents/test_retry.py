"""Promise: a directive is tried again as its policy says, and only where that may help."""

import pytest

from hivemind.agents.retry import MAX_BACKOFF_SECONDS, PASSING, UNKNOWN, Retry


@pytest.mark.parametrize("code", sorted(PASSING))
def test_what_may_pass_is_tried_again_with_a_wait_that_doubles(code):
    retry = Retry(4, 60)
    assert [retry.again_after(attempts, code) for attempts in (1, 2, 3, 4, 5)] == [60, 120, 240, None, None]


@pytest.mark.parametrize(
    "code", ["guard_refused", "budget_exceeded", "input_too_long", "llm_rejected", "interrupted", "not_found"]
)
def test_what_was_answered_is_not(code):
    assert Retry(10, 1).again_after(1, code) is None


def test_the_wait_has_an_end_and_may_be_nothing():
    assert Retry(100, 60).again_after(99, "llm_failed") == MAX_BACKOFF_SECONDS
    assert Retry(2, 0).again_after(1, "llm_failed") == 0


def test_nothing_is_both_ended_and_unknown():
    assert not PASSING & UNKNOWN


def test_there_and_back():
    assert Retry.of(Retry(7, 1.5).as_dict()) == Retry(7, 1.5)
    assert Retry.of({}) == Retry()

"""The decisions: try again, give up, leave alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.errors import ProviderError, ProviderRejected, ProviderUnavailable
from hivemind.providers.failures import CallFailed
from hivemind.providers.patience import Again, Breaker, GiveUp, Patience, decide, is_outage

PATIENCE = Patience()


def judge(failure, *, tries=1, started=False, left=60.0, jitter=0.5):
    return decide(failure, tries=tries, started=started, left_seconds=left, jitter=jitter, patience=PATIENCE)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_these_are_tried_again(status):
    assert isinstance(judge(CallFailed("status", "", status=status)), Again)


@pytest.mark.parametrize("kind", ["connect", "cut", "malformed"])
def test_so_is_what_broke_before_the_first_token(kind):
    assert isinstance(judge(CallFailed(kind, "")), Again)


@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 413, 418, 422])
def test_a_refusal_is_final(status):
    verdict = judge(CallFailed("status", "sk-secret is wrong", status=status))
    assert isinstance(verdict.error, ProviderRejected)
    assert verdict.error.remedy
    assert "sk-secret" not in verdict.error.message + verdict.error.remedy


@given(
    st.sampled_from(["connect", "status", "cut", "malformed", "late"]),
    st.integers(1, 9),
    st.floats(0, 100),
    st.floats(0, 1, exclude_max=True),
)
def test_nothing_is_tried_again_once_a_token_was_seen(kind, tries, left, jitter):
    failure = CallFailed(kind, "", status=503 if kind == "status" else None, retry_after_seconds=1)
    verdict = judge(failure, tries=tries, started=True, left=left, jitter=jitter)
    assert type(verdict.error) is ProviderError


@given(st.integers(1, 9), st.floats(0, 100), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 100))
def test_a_wait_honours_the_server_and_ends_before_the_deadline(tries, left, jitter, asked):
    failure = CallFailed("status", "", status=429, retry_after_seconds=asked)
    match judge(failure, tries=tries, left=left, jitter=jitter):
        case Again(seconds):
            assert tries <= PATIENCE.max_retries
            assert seconds < left
            assert asked is None or seconds >= asked
            assert asked is not None or seconds <= PATIENCE.backoff_max_seconds
        case GiveUp(error):
            assert isinstance(error, ProviderUnavailable)
            assert error.remedy
            assert error.retry_after_seconds >= max(asked or 0, 1)


def test_waits_grow():
    waits = [judge(CallFailed("connect", ""), tries=n, jitter=0.999999).seconds for n in (1, 2, 3)]
    assert [round(w, 3) for w in waits] == [0.5, 1.0, 2.0]


def test_being_late_uses_the_time_up():
    assert isinstance(judge(CallFailed("late", "")).error, ProviderUnavailable)


def test_what_counts_as_an_outage():
    assert is_outage(CallFailed("connect", ""))
    assert is_outage(CallFailed("status", "", status=529))
    assert not is_outage(CallFailed("status", "", status=429))
    assert not is_outage(CallFailed("status", "", status=401))


def test_breaker_opens_rests_probes_and_closes():
    breaker = Breaker()
    for n in range(PATIENCE.breaker_failures):
        assert breaker.wait_seconds(100 + n, PATIENCE) == 0
        breaker = breaker.admitted().failed(100 + n, PATIENCE)
    opened = 100 + PATIENCE.breaker_failures - 1
    assert breaker.state(opened, PATIENCE) == "open"
    assert breaker.wait_seconds(opened + 1, PATIENCE) == PATIENCE.breaker_open_seconds - 1
    rested = opened + PATIENCE.breaker_open_seconds
    assert breaker.state(rested, PATIENCE) == "half-open"
    assert breaker.wait_seconds(rested, PATIENCE) == 0
    probing = breaker.admitted()
    assert probing.wait_seconds(rested, PATIENCE) > 0
    assert probing.abandoned().wait_seconds(rested, PATIENCE) == 0
    assert probing.failed(rested, PATIENCE).state(rested, PATIENCE) == "open"
    assert probing.succeeded() == Breaker()


def test_a_success_in_between_starts_the_count_again():
    breaker = Breaker()
    for n in range(20):
        breaker = breaker.failed(n, PATIENCE).failed(n, PATIENCE).succeeded()
    assert breaker.state(20, PATIENCE) == "closed"

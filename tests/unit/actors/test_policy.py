# ruff: noqa: A002 -- an exit is what ends an actor, as in OTP
"""Promise: policy is data with a source, and what follows an exit is one pure, documented decision."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.actors.policy import (
    Escalate,
    Forget,
    GiveUp,
    History,
    Policies,
    Policy,
    Restart,
    Wait,
    decide,
)
from hivemind.actors.signals import KILLED, NORMAL, PASSIVATED, SHUTDOWN, Exit
from hivemind.errors import ConfigError

BOOM = Exit("error", ValueError("boom"))
NOT_UP = Exit("start_failed", ValueError("boom"))


@pytest.mark.parametrize(
    ("restart", "exit", "again"),
    [
        ("permanent", NORMAL, True),
        ("permanent", SHUTDOWN, True),
        ("permanent", BOOM, True),
        ("permanent", PASSIVATED, False),
        ("transient", NORMAL, False),
        ("transient", SHUTDOWN, False),
        ("transient", PASSIVATED, False),
        ("transient", BOOM, True),
        ("transient", KILLED, True),
        ("transient", NOT_UP, True),
        ("temporary", BOOM, False),
        ("temporary", NORMAL, False),
    ],
)
def test_restart_type_says_which_exits_are_final(restart, exit, again):
    decision = decide(Policy(restart=restart), History(), 0.0, exit)
    assert isinstance(decision, Restart if again else Forget)


def test_more_than_max_restarts_within_the_window_escalates():
    policy = Policy(max_restarts=3, within_seconds=5)
    assert isinstance(decide(policy, History((1, 2)), 3.0, BOOM), Restart)
    assert isinstance(decide(policy, History((1, 2, 3)), 3.5, BOOM), Escalate)


def test_the_edge_of_the_window_still_counts():
    policy = Policy(max_restarts=1, within_seconds=5)
    assert isinstance(decide(policy, History((1.0,)), 6.0, BOOM), Escalate)
    assert isinstance(decide(policy, History((1.0,)), 6.001, BOOM), Restart)


def test_no_restarts_allowed_means_the_first_failure_escalates():
    assert isinstance(decide(Policy(max_restarts=0), History(), 0.0, BOOM), Escalate)


def test_an_own_budget_ends_in_giving_up():
    assert isinstance(decide(Policy(max_restarts=0), History(own_budget=True), 0.0, BOOM), GiveUp)


def test_back_off_doubles_up_to_its_cap_and_resets_after_health():
    policy = Policy(
        max_restarts=99, backoff_initial_seconds=1, backoff_max_seconds=5, backoff_reset_seconds=60
    )
    history, waits = History(), []
    for _ in range(5):
        decision = decide(policy, history, 0.0, BOOM)
        assert isinstance(decision, Wait)
        waits.append(decision.seconds)
        history = decision.history
    assert waits == [1, 2, 4, 5, 5]
    well = History(history.restarted_at, history.attempts, up_at=10.0)
    assert decide(policy, well, 69.0, BOOM).seconds == 5
    assert decide(policy, well, 70.0, BOOM).seconds == 1


def test_jitter_only_shortens():
    policy = Policy(backoff_initial_seconds=10, backoff_jitter=0.5)
    assert decide(policy, History(), 0.0, BOOM, chance=0.0).seconds == 10
    assert decide(policy, History(), 0.0, BOOM, chance=1.0).seconds == 5


@given(
    st.lists(st.floats(0, 100), max_size=20).map(sorted),
    st.integers(0, 5),
    st.floats(0.1, 50),
    st.integers(0, 2000),
    st.floats(0, 1),
)
def test_never_more_restarts_than_the_budget_and_never_longer_than_the_cap(
    times, limit, window, attempts, chance
):
    policy = Policy(max_restarts=limit, within_seconds=window, backoff_initial_seconds=0.5)
    decision = decide(policy, History(tuple(times), attempts), 100.0, BOOM, chance=chance)
    recent = sum(at >= 100.0 - window for at in times)
    if recent + 1 > limit:
        assert decision == Escalate()
    else:
        assert 0 < decision.seconds <= policy.backoff_max_seconds
        assert len(decision.history.restarted_at) == recent + 1


def test_settings_beat_the_child_spec_and_patterns_beat_kinds_and_each_names_its_source():
    policies = Policies.from_mapping(
        {
            "agents": {"restart": "transient", "max_restarts": 5},
            "/bots/*": {"max_restarts": 7},
            "/bots/support": {"max_restarts": 9},
        }
    )
    assert policies.of("agents", "/agents/1").restart == "transient"
    assert policies.of("agents", "/bots/x").max_restarts == 7
    assert policies.of("agents", "/bots/support").max_restarts == 9
    assert policies.of("agents", "/bots/a/b").max_restarts == 5
    found = policies.explain("agents", "/bots/x", {"max_restarts": 1, "within_seconds": 9.0})
    assert {
        key: found[key].source for key in ("restart", "max_restarts", "within_seconds", "keep_mailbox")
    } == {
        "restart": "kind agents",
        "max_restarts": "pattern /bots/*",
        "within_seconds": "child spec",
        "keep_mailbox": "default",
    }
    assert policies.of("supervisor", "/x").shutdown_seconds == math.inf


def test_two_stars_span_segments():
    policies = Policies.from_mapping({"/bots/**": {"max_restarts": 7}})
    assert policies.of("actor", "/bots/a/b").max_restarts == 7


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"max_restart": 1}, "did you mean 'max_restarts'"),
        ({"restart": "always"}, "permanent, transient, temporary"),
        ({"within_seconds": "soon"}, "a number"),
        ({"max_restarts": 1.5}, "a whole number"),
        ({"max_restarts": True}, "a whole number"),
        ({"backoff_jitter": 2}, "from 0 to 1"),
        ({"within_seconds": math.nan}, "a number"),
        ({"keep_mailbox": 1}, "true or false"),
    ],
)
def test_a_bad_policy_is_refused_with_what_would_be_right(section, says):
    with pytest.raises(ConfigError) as caught:
        Policies.from_mapping({"agents": section})
    assert says in f"{caught.value} {caught.value.remedy}"
    assert "supervision.agents" in str(caught.value)


def test_an_unknown_kind_is_refused_with_a_suggestion():
    with pytest.raises(ConfigError) as caught:
        Policies.from_mapping({"agent": {}}, kinds=["agents", "bots"])
    assert caught.value.remedy == "did you mean 'agents'?"

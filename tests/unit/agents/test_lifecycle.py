"""Promise: the life of an agent is one table, and every transition of it is here in full."""

import pytest

from hivemind.agents.lifecycle import (
    ACTIVE,
    EVENTS,
    HELD,
    OVER,
    STATES,
    WISHES,
    happened,
    wished,
)
from hivemind.errors import Conflict

REFUSED = None
# From each state: what each wish leads to, where nothing is unfinished.
WISHED = {
    "idle": {"pause": "paused", "resume": REFUSED, "stop": "stopped", "kill": "killed"},
    "running": {"pause": "paused", "resume": REFUSED, "stop": "stopped", "kill": "killed"},
    "waiting_approval": {"pause": "paused", "resume": REFUSED, "stop": "stopped", "kill": "killed"},
    "done": {"pause": "paused", "resume": REFUSED, "stop": "stopped", "kill": "killed"},
    "paused": {"pause": REFUSED, "resume": "idle", "stop": "stopped", "kill": "killed"},
    "failed": {"pause": REFUSED, "resume": "idle", "stop": "stopped", "kill": "killed"},
    "stopped": {"pause": REFUSED, "resume": "idle", "stop": REFUSED, "kill": "killed"},
    "killed": {"pause": REFUSED, "resume": REFUSED, "stop": REFUSED, "kill": REFUSED},
    "erased": {"pause": REFUSED, "resume": REFUSED, "stop": REFUSED, "kill": REFUSED},
}
_ACTIVE = {
    "admitted": "running",
    "asked": "waiting_approval",
    "ended": "idle",
    "directive_ended": "done",
    "given_up": "failed",
    "erased": "erased",
}
_HELD = {"erased": "erased"}
# What changes from each state; what is not named changes nothing.
HAPPENED = {
    "idle": _ACTIVE,
    "running": _ACTIVE,
    "waiting_approval": {**_ACTIVE, "allowed": "running"},
    "done": _ACTIVE,
    "paused": {**_HELD, "given_up": "failed"},
    "failed": _HELD,
    "stopped": _HELD,
    "killed": _HELD,
    "erased": {},
}


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("state", STATES)
def test_wish(state, wish):
    expected = WISHED[state][wish]
    if expected is REFUSED:
        with pytest.raises(Conflict, match=f"is {state}: it cannot be asked to {wish}"):
            wished(state, wish)
    else:
        assert wished(state, wish) == expected


@pytest.mark.parametrize("state", ["paused", "failed", "stopped"])
@pytest.mark.parametrize(("work", "expected"), [("turn", "running"), ("question", "waiting_approval")])
def test_who_is_resumed_goes_on_where_it_was(state, work, expected):
    assert wished(state, "resume", work) == expected


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_event(state, event):
    assert happened(state, event) == HAPPENED[state].get(event, state)


def test_nothing_begins_in_a_state_that_is_not_active():
    assert set(STATES) == ACTIVE | HELD | {"erased"} and not ACTIVE & HELD
    assert HELD - {"paused"} == OVER
    assert {state for state in STATES if happened(state, "admitted") == "running"} == ACTIVE

"""The life of an agent's row: which state follows which, and what may be asked of an agent in each.

Pure. The statements of turns keep to the same table (tests hold them to it); the wishes of operators are
carried out by `control`.
"""

from collections.abc import Mapping
from typing import Literal, get_args

from hivemind.errors import Conflict

State = Literal[
    "idle", "running", "waiting_approval", "done", "paused", "failed", "stopped", "killed", "erased"
]
Wish = Literal["pause", "resume", "stop", "kill"]
Event = Literal["admitted", "asked", "allowed", "ended", "directive_ended", "given_up", "erased"]
Work = Literal["none", "turn", "question"]
"""What is unfinished: nothing, a turn, or a turn with a question to a person."""

STATES: tuple[State, ...] = get_args(State)
WISHES: tuple[Wish, ...] = get_args(Wish)
EVENTS: tuple[Event, ...] = get_args(Event)

ACTIVE: frozenset[State] = frozenset({"idle", "running", "waiting_approval", "done"})
"""A turn may begin."""
HELD: frozenset[State] = frozenset({"paused", "failed", "stopped", "killed"})
"""Nothing begins, and the end of a turn changes nothing of it."""
OVER: frozenset[State] = frozenset({"failed", "stopped", "killed"})
"""Messages are refused, and what was unfinished has ended or ends without an answer."""

_RESUMED: Mapping[Work, State] = {"none": "idle", "turn": "running", "question": "waiting_approval"}
_WISHED: Mapping[Wish, tuple[frozenset[State], State | None]] = {
    "pause": (ACTIVE, "paused"),
    "resume": (frozenset({"paused", "failed", "stopped"}), None),
    "stop": (ACTIVE | {"paused", "failed"}, "stopped"),
    "kill": (ACTIVE | {"paused", "failed", "stopped"}, "killed"),
}
_HAPPENED: Mapping[Event, tuple[frozenset[State], State]] = {
    "admitted": (ACTIVE, "running"),
    "asked": (ACTIVE, "waiting_approval"),
    "allowed": (frozenset({"waiting_approval"}), "running"),
    "ended": (ACTIVE, "idle"),
    "directive_ended": (ACTIVE, "done"),
    "given_up": (ACTIVE | {"paused", "failed"}, "failed"),
    "erased": (frozenset(STATES) - {"erased"}, "erased"),
}


def wished(state: State, wish: Wish, work: Work = "none") -> State:
    """The state that an operator's wish leads to.

    Raises:
        Conflict: it makes no sense in this state.
    """
    origins, target = _WISHED[wish]
    if state not in origins:
        raise Conflict(f"The agent is {state}: it cannot be asked to {wish}")
    return target or _RESUMED[work]


def happened(state: State, event: Event) -> State:
    """The state after something happened to the agent; where it does not count, the same."""
    origins, target = _HAPPENED[event]
    return target if state in origins else state

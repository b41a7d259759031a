# ruff: noqa: A002 -- an exit is what ends an actor, as in OTP
"""Supervision policy as data, and the one pure function that decides after an exit.

Values come from the built-in defaults, the child's spec and the owner's settings, in this order; each can
say its source. Doing what was decided is the business of `supervisor` and `rows`.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self, get_args

from hivemind.actors.signals import Exit
from hivemind.errors import ConfigError

if TYPE_CHECKING:
    from hivemind.actors.actor import Actor

RestartType = Literal["permanent", "transient", "temporary"]

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Policy:
    """How one actor is kept: every number with its unit in the name, `inf` where there is no end.

    For a static supervisor `max_restarts` and `within_seconds` bound the restarts of all its children
    together; for a row, its own; for a row supervisor, how many rows may be given up.
    """

    restart: RestartType = "permanent"
    max_restarts: int = 3
    within_seconds: float = 5.0
    backoff_initial_seconds: float = 0.0
    backoff_factor: float = 2.0
    backoff_max_seconds: float = 30.0
    backoff_jitter: float = 0.5
    backoff_reset_seconds: float = 60.0
    shutdown_seconds: float = 5.0
    mailbox_limit: int = 1_000
    keep_mailbox: bool = True
    passivate_after_seconds: float = math.inf

    def __post_init__(self) -> None:
        for key in fields(self):
            _check(key.name, getattr(self, key.name))


_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "max_restarts": (0, math.inf),
    "within_seconds": (0, math.inf),
    "backoff_initial_seconds": (0, 86_400),
    "backoff_factor": (1, 1_000),
    "backoff_max_seconds": (0, 86_400),
    "backoff_jitter": (0, 1),
    "backoff_reset_seconds": (0, math.inf),
    "shutdown_seconds": (0, math.inf),
    "mailbox_limit": (0, math.inf),
    "passivate_after_seconds": (0.001, math.inf),
}
_WHOLE: Final = frozenset({"max_restarts", "mailbox_limit"})
_DEFAULTS: Final[Mapping[str, object]] = {key.name: key.default for key in fields(Policy)}
_BUILT_IN: Final[Mapping[str, Mapping[str, object]]] = {
    # A supervisor waits for its children (their own deadlines end that) and never refuses their exits.
    "supervisor": {"shutdown_seconds": math.inf, "mailbox_limit": 0},
    "rows": {"shutdown_seconds": math.inf, "mailbox_limit": 0, "max_restarts": 50, "within_seconds": 10.0},
}


def _check(key: str, value: object, place: str = "policy") -> None:
    if key not in _DEFAULTS:
        near = get_close_matches(key, _DEFAULTS, n=1)
        raise ConfigError(
            f"{place}: there is no key {key!r}",
            remedy=f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(_DEFAULTS)}",
        )
    if key == "restart":
        if value not in get_args(RestartType):
            raise ConfigError(f"{place}: restart must be one of {', '.join(get_args(RestartType))}")
    elif key == "keep_mailbox":
        if not isinstance(value, bool):
            raise ConfigError(f"{place}: keep_mailbox must be true or false")
    else:
        low, high = _RANGES[key]
        right = int if key in _WHOLE else (int, float)
        if isinstance(value, bool) or not isinstance(value, right) or not low <= value <= high:
            number = "a whole number" if key in _WHOLE else "a number"
            raise ConfigError(f"{place}: {key} must be {number} from {low:g} to {high:g}, not {value!r}")


@dataclass(frozen=True, slots=True)
class Sourced:
    """One effective value and where it came from."""

    value: object
    source: str


class Policies:
    """The policy of every actor, by kind and by address pattern; immutable once built.

    A key that starts with `/` is a pattern over addresses: `*` stands for one segment or part of one,
    `**` for any number of them. Patterns beat kinds, and a later pattern beats an earlier one.
    """

    def __init__(
        self,
        kinds: Mapping[str, Mapping[str, object]] = NOTHING,
        patterns: Mapping[str, Mapping[str, object]] = NOTHING,
    ) -> None:
        for name, section in (*kinds.items(), *patterns.items()):
            for key, value in section.items():
                _check(key, value, f"supervision.{name}")
        self.kinds = kinds
        self.patterns = tuple((name, _pattern(name), section) for name, section in patterns.items())
        self._known: dict[object, Policy] = {}

    @classmethod
    def from_mapping(
        cls, sections: Mapping[str, Mapping[str, object]], *, kinds: Collection[str] = ()
    ) -> Self:
        """Build from the `supervision` settings; with `kinds` given, an unknown kind is an error."""
        for name in sections:
            if kinds and not name.startswith("/") and name not in kinds:
                near = get_close_matches(name, kinds, n=1)
                raise ConfigError(
                    f"supervision: there is no kind of actor {name!r}",
                    remedy=f"did you mean {near[0]!r}?" if near else f"known kinds: {', '.join(kinds)}",
                )
        return cls(
            {name: section for name, section in sections.items() if not name.startswith("/")},
            {name: section for name, section in sections.items() if name.startswith("/")},
        )

    def of(self, kind: str, address: str, spec: Mapping[str, object] = NOTHING) -> Policy:
        """Return the effective policy of one actor; `spec` is what its child spec states."""
        key: object = kind
        if spec or self.patterns:
            matched = tuple(name for name, pattern, _ in self.patterns if pattern.fullmatch(address))
            key = (kind, matched, tuple(sorted(spec.items())))
        policy = self._known.get(key)
        if policy is None:
            values = {name: at.value for name, at in self.explain(kind, address, spec).items()}
            policy = self._known[key] = Policy(**values)  # type: ignore[arg-type]
        return policy

    def explain(self, kind: str, address: str, spec: Mapping[str, object] = NOTHING) -> dict[str, Sourced]:
        """Return each effective value with its source."""
        found = {key: Sourced(value, "default") for key, value in _DEFAULTS.items()}
        layers = [
            (_BUILT_IN.get(kind, NOTHING), "default"),
            (spec, "child spec"),
            (self.kinds.get(kind, NOTHING), f"kind {kind}"),
            *(
                (section, f"pattern {name}")
                for name, pattern, section in self.patterns
                if pattern.fullmatch(address)
            ),
        ]
        for section, source in layers:
            for key, value in section.items():
                _check(key, value, source)
                found[key] = Sourced(value, source)
        return found


def _pattern(text: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", text)
    return re.compile("".join({"**": ".*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts))


class ChildSpec(NamedTuple):
    """What a supervisor needs to know of one child; `name` is the last segment of its address.

    `policy` states what the code asks for and loses against the owner's settings. A new `version` makes
    `reconcile` restart the row.
    """

    name: str
    cls: "type[Actor]"
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = NOTHING
    policy: Mapping[str, object] = NOTHING
    version: object = None


class History(NamedTuple):
    """What is remembered of earlier failures: the budget's window and the back-off's run."""

    restarted_at: tuple[float, ...] = ()
    attempts: int = 0
    up_at: float | None = None
    own_budget: bool = False


class Restart(NamedTuple):
    """Start it again now."""

    history: History


class Wait(NamedTuple):
    """Start it again after a while."""

    seconds: float
    history: History


@dataclass(frozen=True, slots=True)
class GiveUp:
    """This row failed too often: leave it down and say so."""


@dataclass(frozen=True, slots=True)
class Escalate:
    """The supervisor's budget is spent: end it and let its parent decide."""


@dataclass(frozen=True, slots=True)
class Forget:
    """An exit that this child's policy takes as final."""


Decision = Restart | Wait | GiveUp | Escalate | Forget


def wants_restart(policy: Policy, exit: Exit) -> bool:
    """Whether this kind of exit calls for a restart, budget aside."""
    if exit.reason == "passivated" or policy.restart == "temporary":
        return False
    return policy.restart == "permanent" or exit.abnormal


def within(policy: Policy, times: tuple[float, ...], now: float) -> tuple[float, ...]:
    """Return the times that still count; the edge of the window does."""
    since = now - policy.within_seconds
    if not times or times[0] >= since:
        return times
    return tuple(at for at in times if at >= since)


def decide(
    policy: Policy,
    history: History,
    now: float,
    exit: Exit,
    *,
    chance: float = 0.0,
    budget: Policy | None = None,
) -> Decision:
    """Decide what follows an exit. `chance` in 0..1 shortens the delay by that share of the jitter.

    `budget` is the policy whose `max_restarts` and `within_seconds` count, where that is not the child's own.
    As in OTP the new restart counts, a failed restart counts again, and `max_restarts = 0` allows none.
    """
    if not wants_restart(policy, exit):
        return Forget()
    budget = budget or policy
    restarted_at = (*within(budget, history.restarted_at, now), now)
    if len(restarted_at) > budget.max_restarts:
        return GiveUp() if history.own_budget else Escalate()
    healthy = history.up_at is not None and now - history.up_at >= policy.backoff_reset_seconds
    attempts = 0 if healthy else history.attempts
    after = History(restarted_at, attempts + 1, None, history.own_budget)
    if not policy.backoff_initial_seconds:
        return Restart(after)
    # 2 ** 60 seconds is far above any cap, and a float overflows at 2 ** 1024.
    grown = policy.backoff_initial_seconds * policy.backoff_factor ** min(attempts, 60)
    delay = min(policy.backoff_max_seconds, grown) * (1 - policy.backoff_jitter * chance)
    return Wait(delay, after) if delay > 0 else Restart(after)

"""Three strikes: what happens to an agent that keeps breaking a rule, decided by pure functions.

Whether a rule is broken is found, and what was decided is done, by `hivemind.watchdog`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Breach = Literal["heartbeat", "runtime", "cost"]
"""No report for too long; a turn that runs longer, or has cost more, than its profile allows."""
Deed = Literal["warn", "pause", "kill", "forgive"]

DEEDS: tuple[Deed, ...] = ("warn", "pause", "kill")
_WORDS: dict[Breach, str] = {
    "heartbeat": "its daemon has not reported for too long",
    "runtime": "its turn runs longer than the profile allows",
    "cost": "its turn has cost more than the profile allows",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many strikes an agent has now, and what is to be done to it."""

    strikes: int
    deed: Deed | None = None


def judge(strikes: int, breaches: Sequence[Breach]) -> Judgement:
    """Judge one interval: an unhealthy one adds a strike, a healthy one forgives one.

    However many rules were broken, it is one strike. At the last one the deed is asked for again and again.
    """
    if breaches:
        strikes = min(strikes + 1, len(DEEDS))
        return Judgement(strikes, DEEDS[strikes - 1])
    return Judgement(strikes - 1, "forgive") if strikes else Judgement(0)


def told(breaches: Sequence[Breach]) -> str:
    """Why, for a person."""
    return "; ".join(_WORDS[breach] for breach in breaches)

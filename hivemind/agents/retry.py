"""When a directive that failed is tried again: policy as data, decided by a pure function.

Only failures that may pass are tried again. Whether the attempt did something that must not be done twice is
known by whoever asks.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

MAX_BACKOFF_SECONDS = 3600.0
# Ended, and may be different the next time. Anything else that ended a turn is an answer of sorts.
PASSING = frozenset(
    {"llm_failed", "llm_unavailable", "guard_failed", "overloaded", "rate_limited", "limits_unknown"}
)
# Nothing is known of how the turn goes on: asked again in the same attempt, by the same idempotency key.
UNKNOWN = frozenset(
    {
        "agent_unavailable",
        "database_unavailable",
        "mailbox_full",
        "agent_busy",
        "conflict",
        "interrupted",
        "switched_off",
        "switch_unknown",
    }
)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a directive is tried in all, and its wait after a failure: each time twice as long."""

    max_attempts: int = 3
    backoff_seconds: float = 60.0

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """From its row; what is not said is as usual."""
        return cls(**document)

    def as_dict(self) -> dict[str, float]:
        """As it is stored."""
        return asdict(self)

    def again_after(self, attempts: int, code: str) -> float | None:
        """How long to wait before the next attempt, after this many that failed; None: it has failed."""
        if attempts >= self.max_attempts or code not in PASSING:
            return None
        return float(min(self.backoff_seconds * 2.0 ** (attempts - 1), MAX_BACKOFF_SECONDS))

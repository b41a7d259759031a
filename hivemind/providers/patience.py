"""When to try again, when to stop asking, and what to tell the caller: decisions, no clock and no I/O."""

from dataclasses import dataclass, replace

from hivemind.errors import ProviderError, ProviderRejected, ProviderUnavailable
from hivemind.providers.failures import CallFailed

_AGAIN = frozenset({408, 409, 429, 529})
_REMEDIES = {
    401: "check HIVEMIND_LLM_API_KEY",
    402: "check the account's credit at the provider",
    403: "check that HIVEMIND_LLM_API_KEY may use this model",
    404: "check HIVEMIND_LLM_MODEL and HIVEMIND_LLM_ENDPOINT",
    413: "shorten the conversation or the prompt",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call may take and how often it is tried; all times in seconds."""

    timeout_seconds: float = 60
    stall_seconds: float = 30
    pace_seconds: float = 0.4
    max_retries: int = 3
    backoff_initial_seconds: float = 0.5
    backoff_max_seconds: float = 8
    breaker_failures: int = 5
    breaker_open_seconds: float = 15


@dataclass(frozen=True, slots=True)
class Breaker:
    """Lets calls through until too many in a row failed; then one at a time, once it has rested.

    `opened_at` is None while closed; `probing` while the one call that may close it is under way.
    """

    failures: int = 0
    opened_at: float | None = None
    probing: bool = False

    def state(self, now: float, patience: Patience) -> str:
        """The state in one word."""
        if self.opened_at is None:
            return "closed"
        rested = now - self.opened_at >= patience.breaker_open_seconds
        return "half-open" if rested or self.probing else "open"

    def wait_seconds(self, now: float, patience: Patience) -> float:
        """How long until it would let a call through; 0 when it does now."""
        if self.opened_at is None:
            return 0
        left = self.opened_at + patience.breaker_open_seconds - now
        return max(left, 1.0 if self.probing else 0.0)

    def admitted(self) -> "Breaker":
        """A call was let through."""
        return self if self.opened_at is None else replace(self, probing=True)

    def succeeded(self) -> "Breaker":
        """A call reached the server, whatever it was answered."""
        return Breaker()

    def failed(self, now: float, patience: Patience) -> "Breaker":
        """A call found no working server."""
        failures = self.failures + 1
        opens = self.opened_at is not None or failures >= patience.breaker_failures
        return Breaker(failures, now if opens else None)

    def abandoned(self) -> "Breaker":
        """A call ended before it proved anything."""
        return replace(self, probing=False)


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after this long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Tell the caller."""

    error: ProviderError


def is_outage(failure: CallFailed) -> bool:
    """Whether this says that the server does not work; a refusal says that it does."""
    return failure.status is None or failure.status >= 500


def decide(
    failure: CallFailed, *, tries: int, started: bool, left_seconds: float, jitter: float, patience: Patience
) -> Again | GiveUp:
    """Decide after `tries` tries; `started` once the caller has seen a token, `jitter` is from [0, 1)."""
    if started:
        return GiveUp(_broken(failure))
    if failure.status is not None and failure.status < 500 and failure.status not in _AGAIN:
        return GiveUp(_rejected(failure))
    backoff = min(patience.backoff_initial_seconds * 2 ** (tries - 1), patience.backoff_max_seconds)
    wait = backoff * (0.5 + jitter / 2)
    asked = failure.retry_after_seconds
    if asked is not None:
        # Everybody was told the same moment: spread out behind it, never before it.
        wait = asked + backoff * jitter / 2
    if tries > patience.max_retries or failure.kind == "late" or wait >= left_seconds:
        return GiveUp(_unavailable(failure, tries, wait))
    return Again(wait)


def resting(wait_seconds: float) -> ProviderUnavailable:
    """What callers hear while the breaker is open."""
    return ProviderUnavailable(
        "The model provider failed repeatedly and is being left alone for a moment",
        remedy="try again later; `hivemind doctor` shows what the provider answers",
        retry_after_seconds=wait_seconds,
    )


def _broken(failure: CallFailed) -> ProviderError:
    words = {
        "late": "The model's answer stopped coming",
        "malformed": "The model provider sent an answer that cannot be read",
        "status": "The model provider reported an error in the middle of its answer",
    }
    return ProviderError(words.get(failure.kind, "The model's answer was cut off"), remedy="send it again")


def _rejected(failure: CallFailed) -> ProviderRejected:
    return ProviderRejected(
        f"The model provider rejected the request ({failure.status})",
        remedy=_REMEDIES.get(failure.status or 0, "the log has the provider's own words"),
    )


def _unavailable(failure: CallFailed, tries: int, wait: float) -> ProviderUnavailable:
    if failure.kind == "status":
        what = f"The model provider is not taking requests ({failure.status})"
    elif failure.kind == "late":
        what = "The model provider did not answer in time"
    elif failure.kind == "connect":
        what = "The model provider cannot be reached"
    else:
        what = "The model provider does not answer as it should"
    times = "" if tries == 1 else f", tried {tries} times"
    return ProviderUnavailable(
        what + times,
        remedy="try again later; if it lasts, check HIVEMIND_LLM_ENDPOINT and the provider's status",
        retry_after_seconds=max(wait, 1.0),
    )

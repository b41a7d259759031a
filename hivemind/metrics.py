"""The catalogue of metrics, and the counts that are kept as things happen.

Names and units follow Prometheus's conventions (base units, `_total` for counters). No label has values that
people outside choose. What is read from live parts at a scrape is `http.metrics`.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Labels = tuple[str, ...]
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the buckets of durations that people notice."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the catalogue."""

    kind: Literal["counter", "gauge", "histogram", "info"]
    help: str
    labels: Labels = ()


CATALOGUE: Mapping[str, Metric] = {
    "hivemind_build_info": Metric("info", "The release that runs.", ("version", "python")),
    "process_cpu_seconds_total": Metric("counter", "Processor time of this process, all threads."),
    "process_resident_memory_bytes": Metric("gauge", "Memory of this process that is in RAM."),
    "process_open_fds": Metric("gauge", "Open file descriptors of this process."),
    "hivemind_actors": Metric("gauge", "Actors by kind and state.", ("kind", "state")),
    "hivemind_actor_mailbox_messages": Metric("gauge", "Messages that wait, over all of a kind.", ("kind",)),
    "hivemind_actor_mailbox_high_water_messages": Metric(
        "gauge", "The most that ever waited in one mailbox of a kind that is there now.", ("kind",)
    ),
    "hivemind_actor_messages_total": Metric("counter", "Messages that were handled.", ("kind",)),
    "hivemind_actor_dropped_total": Metric("counter", "Messages that crashed their actor.", ("kind",)),
    "hivemind_actor_restarts_total": Metric("counter", "Restarts.", ("kind",)),
    "hivemind_actor_exits_total": Metric(
        "counter", "Ends of incarnations, by their reason.", ("kind", "reason")
    ),
    "hivemind_actor_handler_seconds": Metric(
        "histogram",
        "Time in which a handler kept the loop, up to its first wait. Sampled: the last messages of a batch, "
        "and one in 64 of the calls that are answered on the caller's time.",
        ("kind",),
    ),
    "hivemind_turns_total": Metric(
        "counter",
        "Turns that ended, by profile and how (answered, failed, interrupted).",
        ("profile", "outcome"),
    ),
    "hivemind_turn_seconds": Metric("histogram", "From admission to the committed end.", ("profile",)),
    "hivemind_first_token_seconds": Metric(
        "histogram", "From admission to the first piece of the answer that was released.", ("profile",)
    ),
    "hivemind_turns_running": Metric("gauge", "Turns under way here."),
    "hivemind_tokens_total": Metric("counter", "Tokens of turns that ended.", ("profile", "direction")),
    "hivemind_cost_micros_total": Metric(
        "counter", "What they cost, in millionths of a dollar.", ("profile",)
    ),
    "hivemind_refusals_total": Metric("counter", "Requests and turns that were refused, by code.", ("code",)),
    "hivemind_provider_calls_total": Metric("counter", "Calls to the model's provider.", ("provider",)),
    "hivemind_provider_retries_total": Metric("counter", "Tries after the first.", ("provider",)),
    "hivemind_provider_failures_total": Metric(
        "counter", "Tries that failed, by kind (connect, cut, late, malformed, status).", ("provider", "kind")
    ),
    "hivemind_provider_in_flight": Metric("gauge", "Calls under way.", ("provider",)),
    "hivemind_provider_breaker_open": Metric(
        "gauge", "1 while no calls are made after failures.", ("provider",)
    ),
    "hivemind_http_requests_total": Metric(
        "counter", "Requests that were answered, by route and status.", ("method", "route", "status")
    ),
    "hivemind_database_connections_in_use": Metric("gauge", "Connections that work for somebody."),
    "hivemind_database_waiting": Metric("gauge", "Tasks that wait for a connection."),
    "hivemind_health_status": Metric("gauge", "1 for the present status of each check.", ("check", "status")),
    "hivemind_kill_switch_stage": Metric(
        "gauge", "0 nothing, 1 tools, 2 turns, 3 everything is off; -1 unknown."
    ),
    "hivemind_approvals_waiting": Metric("gauge", "Questions to people that are not answered."),
    "hivemind_directives": Metric("gauge", "Directives that have not ended, by state.", ("state",)),
    "hivemind_scrape_complete": Metric(
        "gauge", "0 when the database did not answer and its metrics are missing."
    ),
}
"""All metrics of the product, by name."""


class Histogram:
    """How many were at most each of `SECONDS`, and the sum of all."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0

    def note(self, seconds: float) -> None:
        """Count one."""
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.seconds += seconds


class Counts:
    """What has happened since the process began; one for the whole process, used on its loop only."""

    def __init__(self) -> None:
        self._counted: defaultdict[tuple[str, Labels], float] = defaultdict(float)
        self._timed: defaultdict[tuple[str, Labels], Histogram] = defaultdict(Histogram)

    def add(self, name: str, labels: Labels = (), amount: float = 1) -> None:
        """Count up."""
        self._counted[name, labels] += amount

    def time(self, name: str, labels: Labels, seconds: float) -> None:
        """Count a duration."""
        self._timed[name, labels].note(seconds)

    def counted(self, name: str) -> Iterator[tuple[Labels, float]]:
        """Each count of a metric."""
        return ((labels, value) for (of, labels), value in list(self._counted.items()) if of == name)

    def timed(self, name: str) -> Iterator[tuple[Labels, Histogram]]:
        """Each histogram of a metric."""
        return ((labels, found) for (of, labels), found in list(self._timed.items()) if of == name)

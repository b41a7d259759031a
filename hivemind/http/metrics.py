"""`GET /metrics`: the catalogue of `hivemind.metrics` for Prometheus, read at each scrape."""

import os
import platform
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from quart import Blueprint, Quart, Response, request

from hivemind import __version__
from hivemind.actors import ActorSystem
from hivemind.actors.meter import HANDLER_SECONDS
from hivemind.agents.switch import Switch
from hivemind.errors import DatabaseUnavailable, NotFound
from hivemind.health import Health
from hivemind.http.access import Access, whole
from hivemind.metrics import CATALOGUE, SECONDS, Counts, Labels
from hivemind.persistence import Database, Row, load_queries
from hivemind.providers import Calls

MetricsAccess = Literal["open", "viewer", "off"]
PATH = "/metrics"
_QUERIES: Mapping[str, str] = load_queries("hivemind.http", "metrics.sql")
FRESH_SECONDS = 1.0
_PAGE_BYTES = resource.getpagesize()

Sample = tuple[Labels, float]


class Scrape:
    """Asks the live parts once for each scrape; the database may be away, then its numbers are missing."""

    def __init__(
        self,
        system: ActorSystem,
        database: Database,
        health: Health,
        calls: Calls,
        switch: Switch,
        counts: Counts,
        access: Access,
        asked_for: MetricsAccess,
    ) -> None:
        self._system = system
        self._database = database
        self._health = health
        self._calls = calls
        self._switch = switch
        self._counts = counts
        self._access = access
        self._asked_for = asked_for
        self._told: tuple[float, bytes] | None = None

    def routes(self) -> Blueprint:
        """The route as Quart takes it."""
        blueprint = Blueprint("metrics", __name__)
        blueprint.get(PATH)(self.read)
        return blueprint

    async def read(self) -> Response:
        """All metrics, as text."""
        if self._asked_for == "off":
            raise NotFound("Metrics are switched off here", remedy="set HIVEMIND_METRICS_ACCESS")
        if self._asked_for == "viewer":
            await self._access.let_in("viewer", whole(request))
        now = trio.current_time()
        if self._asked_for == "open" and self._told is not None and now - self._told[0] < FRESH_SECONDS:
            # Nobody has to say who asks: asking often must not be work.
            return Response(self._told[1], 200, content_type=CONTENT_TYPE_PLAIN_0_0_4)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Read(await self.families()))
        self._told = now, generate_latest(registry)
        return Response(self._told[1], 200, content_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def families(self) -> list[Metric]:
        """Every metric of the catalogue with its samples."""
        found: defaultdict[str, list[Sample]] = defaultdict(list)
        found["hivemind_build_info"].append(((__version__, platform.python_version()), 1))
        for name, value in _process():
            found[name].append(((), value))
        for name, labels, value in _actors(self._system):
            found[name].append((labels, value))
        for name, labels, value in _calls(self._calls):
            found[name].append((labels, value))
        pool = self._database.facts()
        found["hivemind_database_connections_in_use"].append(((), pool["in_use"]))
        found["hivemind_database_waiting"].append(((), pool["waiting"]))
        found["hivemind_turns_running"].append(((), self._switch.turns))
        setting = self._switch.setting
        found["hivemind_kill_switch_stage"].append(((), -1 if setting is None else int(setting.stage)))
        for check, said in (await self._health.check()).checks.items():
            found["hivemind_health_status"].append(((check, said.status), 1))
        numbers = await self._numbers()
        found["hivemind_scrape_complete"].append(((), 0 if numbers is None else 1))
        if numbers is not None:
            found["hivemind_approvals_waiting"].append(((), numbers["approvals"]))
            found["hivemind_directives"] += [((state,), n) for state, n in numbers["directives"].items()]
        for name, metric in CATALOGUE.items():
            if metric.kind == "counter":
                found[name] += self._counts.counted(name)
        return [self._family(name, found[name]) for name in CATALOGUE]

    async def _numbers(self) -> Row | None:
        try:
            return await self._database.fetch_one(_QUERIES["numbers"], repeatable=True)
        except DatabaseUnavailable:
            return None

    def _family(self, name: str, samples: Iterable[Sample]) -> Metric:
        metric = CATALOGUE[name]
        if metric.kind == "histogram":
            return self._histogram(name)
        if metric.kind == "info":
            info = InfoMetricFamily(name.removesuffix("_info"), metric.help)
            for labels, _ in samples:
                info.add_metric((), dict(zip(metric.labels, labels, strict=True)))
            return info
        family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        made = family(name, metric.help, labels=metric.labels)
        for labels, value in samples:
            made.add_metric(labels, value)
        return made

    def _histogram(self, name: str) -> HistogramMetricFamily:
        metric = CATALOGUE[name]
        made = HistogramMetricFamily(name, metric.help, labels=metric.labels)
        if name == "hivemind_actor_handler_seconds":
            for kind, meter in self._system.meters.items():
                made.add_metric((kind,), _buckets(HANDLER_SECONDS, meter.buckets), meter.seconds)
        for labels, timed in self._counts.timed(name):
            made.add_metric(labels, _buckets(SECONDS, timed.buckets), timed.seconds)
        return made


class _Read(Collector):
    """What was read, as the library wants it."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def count_requests(app: Quart, counts: Counts) -> None:
    """Count what Quart answers, by route."""

    async def count(response: Response) -> Response:
        rule = request.url_rule
        method = request.method if rule is not None and request.method in (rule.methods or ()) else "other"
        path = rule.rule if rule is not None else "none"
        counts.add("hivemind_http_requests_total", (method, path, str(response.status_code)))
        return response

    app.after_request(count)


def _buckets(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    """Each upper bound with how many are at most that."""
    total = 0
    told: list[tuple[str, float]] = []
    for bound, count in zip((*map(repr, bounds), "+Inf"), counts, strict=True):
        total += count
        told.append((bound, total))
    return told


def _process() -> Iterator[tuple[str, float]]:
    yield "process_cpu_seconds_total", time.process_time()
    yield "process_resident_memory_bytes", _resident_bytes()
    with suppress(OSError):  # not on Linux
        yield "process_open_fds", len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only their number


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except OSError:  # not on Linux: the most that it ever was
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _actors(system: ActorSystem) -> Iterator[tuple[str, Labels, float]]:
    states: Counter[Labels] = Counter()
    waiting: Counter[str] = Counter()
    handled: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    restarts: Counter[str] = Counter()
    high_water: Counter[str] = Counter()
    for kind, meter in system.meters.items():
        handled[kind] += meter.handled
        dropped[kind] += meter.dropped
        restarts[kind] += meter.restarts
        for reason, count in meter.exits.items():
            yield "hivemind_actor_exits_total", (kind, reason), count
    for cell in list(system.cells.values()):
        kind, mailbox = cell.cls.kind, cell.mailbox
        states[kind, cell.state] += 1
        waiting[kind] += len(mailbox)
        handled[kind] += mailbox.handled
        dropped[kind] += mailbox.dropped
        restarts[kind] += cell.restarts
        high_water[kind] = max(high_water[kind], mailbox.high_water)
    for labels, count in states.items():
        yield "hivemind_actors", labels, count
    for name, counter in (
        ("hivemind_actor_mailbox_messages", waiting),
        ("hivemind_actor_mailbox_high_water_messages", high_water),
        ("hivemind_actor_messages_total", handled),
        ("hivemind_actor_dropped_total", dropped),
        ("hivemind_actor_restarts_total", restarts),
    ):
        for kind, count in counter.items():
            yield name, (kind,), count


def _calls(calls: Calls) -> Iterator[tuple[str, Labels, float]]:
    facts, provider = calls.facts(), (calls.name,)
    for name, fact in (
        ("hivemind_provider_calls_total", "calls"),
        ("hivemind_provider_retries_total", "retries"),
        ("hivemind_provider_in_flight", "in_flight"),
    ):
        value = facts[fact]
        assert isinstance(value, int)
        yield name, provider, value
    yield "hivemind_provider_breaker_open", provider, float(facts["breaker"] != "closed")
    for kind, count in calls.failed_by_kind.items():
        yield "hivemind_provider_failures_total", (*provider, kind), count

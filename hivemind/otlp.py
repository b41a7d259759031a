"""Sends traces to an OpenTelemetry collector by OTLP over HTTP: the only module that knows the SDK.

Spans are sent from a thread of the SDK's, in batches. A collector that does not answer costs its spans, and a
line in the log; no turn waits for it.
"""

import hashlib
import logging
from contextvars import ContextVar, Token
from time import monotonic, time_ns
from types import TracebackType
from typing import Self
from uuid import UUID

import trio
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from hivemind import __version__
from hivemind.errors import HivemindError
from hivemind.settings import TraceSettings
from hivemind.traces import OFF, Facts, Span

SEND_SECONDS = 5
_ADMISSION = "admit"

log = logging.getLogger("hivemind.otlp")

_ids: ContextVar[tuple[int, int] | None] = ContextVar("ids", default=None)


class Otlp:
    """Traces as the SDK makes them; `close` sends what is left."""

    def __init__(self, settings: TraceSettings) -> None:
        assert settings.endpoint is not None
        self._share = settings.share
        exporter = OTLPSpanExporter(
            endpoint=settings.endpoint, headers=_headers(settings), timeout=SEND_SECONDS
        )
        self._provider = TracerProvider(
            # Whether a turn is traced is decided here: its id is not random where the SDK's sampler looks.
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": settings.service_name, "service.version": __version__}),
            id_generator=_TurnIds(),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("hivemind", __version__)
        # Of a collector that is away it is enough to hear that spans were lost.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)

    def turn(self, turn_id: UUID, name: str, facts: Facts, *, first: bool, began_seconds: float) -> Span:
        """The root of a trace whose id is the turn's; later work on it hangs below the first."""
        own = _own_id(turn_id)
        if own / 2**64 >= self._share:
            return OFF
        began_at = time_ns()
        if not first:
            parent = SpanContext(turn_id.int, own, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            around = trace.set_span_in_context(NonRecordingSpan(parent), Context())
            return _Open(self._tracer.start_span(name, around, attributes=facts, start_time=began_at))
        token = _ids.set((turn_id.int, own))
        try:
            admitted_at, began_at = began_at, began_at - int((monotonic() - began_seconds) * 1e9)
            root = self._tracer.start_span(name, Context(), attributes=facts, start_time=began_at)
        finally:
            _ids.reset(token)
        below = trace.set_span_in_context(root, Context())
        self._tracer.start_span(_ADMISSION, below, start_time=began_at).end(admitted_at)
        return _Open(root)

    def part(self, name: str, facts: Facts, *, calls_out: bool = False) -> Span:
        """A child of the span that is open in this task; nothing where none is."""
        if not trace.get_current_span().is_recording():
            return OFF
        kind = SpanKind.CLIENT if calls_out else SpanKind.INTERNAL
        return _Open(self._tracer.start_span(name, attributes=facts, kind=kind))

    async def close(self) -> None:
        """Send what is left, for a few seconds at the most."""
        with trio.move_on_after(SEND_SECONDS) as scope:
            await trio.to_thread.run_sync(self._provider.shutdown, abandon_on_cancel=True)
        if scope.cancelled_caught:
            log.warning("the last traces were not sent: the collector does not answer")


class _Open:
    """One span of the SDK's, current in the task that entered it."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token: Token[Context] | None = None

    def __enter__(self) -> Self:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._token is not None
        context.detach(self._token)
        if isinstance(error, Exception):
            code = error.code if isinstance(error, HivemindError) else type(error).__qualname__
            self._span.set_attribute("error.type", code)
            self._span.set_status(Status(StatusCode.ERROR))
        elif error is not None:
            self._span.set_attribute("hivemind.cancelled", value=True)
        self._span.end()

    def note(self, facts: Facts) -> None:
        self._span.set_attributes(facts)
        if "error.type" in facts:
            self._span.set_status(Status(StatusCode.ERROR))


class _TurnIds(IdGenerator):
    """The ids that a turn gives its root, and random ones for all else."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        ids = _ids.get()
        return ids[0] if ids else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        ids = _ids.get()
        return ids[1] if ids else self._random.generate_span_id()


def _own_id(turn_id: UUID) -> int:
    """The id of a turn's first span: the same for whoever works on the turn, so that later work finds it."""
    return int.from_bytes(hashlib.sha256(turn_id.bytes).digest()[:8], "big") or 1


def _headers(settings: TraceSettings) -> dict[str, str]:
    if settings.headers is None:
        return {}
    pairs = (pair.partition("=") for pair in settings.headers.get_secret_value().split(","))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}

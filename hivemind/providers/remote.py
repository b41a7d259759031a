"""Any dialect over HTTP: one try, no patience. Pacing, time limits and further tries are `calls`."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import parsedate_to_datetime

from pydantic import SecretStr

from hivemind.errors import ProviderUnavailable, Unreachable
from hivemind.outbound import HttpClient, Reply, Target
from hivemind.providers.base import ProviderEvent, ProviderRequest, TextDelta
from hivemind.providers.dialect import Dialect, error_text
from hivemind.providers.failures import CallFailed

_ERROR_BYTES = 4096


class Remote:
    """A model behind HTTP; what is missing from its configuration shows when it is called, not before.

    `endpoint` is asked at every call when it is a function: the local model moves when it is restarted.
    """

    def __init__(
        self,
        dialect: Dialect,
        client: HttpClient,
        endpoint: str | Callable[[], str],
        *,
        key: SecretStr | None,
        default_model: str,
        missing: str | None = None,
    ) -> None:
        self.name = dialect.name
        self.default_model = default_model
        self._dialect = dialect
        self._client = client
        self._endpoint = endpoint
        self._key = key
        self._missing = missing
        self._headers = dialect.headers(key.get_secret_value() if key else None)
        self._targets: dict[str, Target] = {}

    async def stream(self, request: ProviderRequest) -> AsyncGenerator[Sequence[ProviderEvent], None]:
        """One call, without a second try."""
        self.check()
        if not request.model:
            request = replace(request, model=self.default_model)
        reader = self._dialect.reader(request)
        async with self._call(self._dialect.path, self._dialect.encode(request)) as reply:
            while not reader.done and (chunk := await self._read(reply)):
                events: list[ProviderEvent] = []
                failure = _gather(events, reader.read(chunk))
                if events:
                    yield events
                if failure is not None:
                    raise failure
            if events := list(reader.finish()):
                yield events
            await reply.drain()

    async def ping(self) -> None:
        """Prove endpoint and key, and where the server can tell, the model."""
        self.check()
        method, path, body = self._dialect.ping(self.default_model)
        async with self._call(path, body, method=method):
            pass

    def check(self) -> None:
        """Raise `ProviderUnavailable` when a setting is missing without which no call can be made."""
        if self._missing is not None:
            raise ProviderUnavailable(
                f"missing config: {self._missing} ({self.name})", remedy=f"set {self._missing} and restart"
            )

    @asynccontextmanager
    async def _call(self, path: str, body: bytes | None, *, method: bytes = b"POST") -> AsyncIterator[Reply]:
        try:
            target = self._target(path)
        except ProviderUnavailable as error:
            raise CallFailed("connect", error.message) from error
        try:
            async with self._client.call(target, self._headers, body, method=method) as reply:
                if reply.status != 200:
                    raise await self._refusal(reply)
                yield reply
        except Unreachable as error:
            # What breaks off later is told apart in `_read`.
            raise CallFailed("connect", error.message) from error

    async def _read(self, reply: Reply) -> bytes:
        try:
            return await reply.read()
        except Unreachable as error:
            raise CallFailed("cut", error.message) from error

    def _target(self, path: str) -> Target:
        endpoint = self._endpoint if isinstance(self._endpoint, str) else self._endpoint()
        target = self._targets.get(endpoint + path)
        if target is None:
            if not isinstance(self._endpoint, str):
                self._targets.clear()
            target = self._targets[endpoint + path] = Target.parse(endpoint + path)
        return target

    async def _refusal(self, reply: Reply) -> CallFailed:
        try:
            detail = error_text(await reply.start(_ERROR_BYTES))
        except Unreachable as error:
            detail = error.message
        after = reply.header(b"retry-after")
        return CallFailed(
            "status",
            self._clean(detail),
            status=reply.status,
            retry_after_seconds=retry_after(after, reply.header(b"date")) if after else None,
        )

    def _clean(self, text: str) -> str:
        return text.replace(self._key.get_secret_value(), "[key]") if self._key else text


def _gather(events: list[ProviderEvent], found: Iterator[ProviderEvent]) -> CallFailed | None:
    """Collect what is good, text that came at once as one; what came before nonsense is not lost to it."""
    try:
        for event in found:
            last = events[-1] if events else None
            if isinstance(event, TextDelta) and isinstance(last, TextDelta):
                events[-1] = TextDelta(last.text + event.text)
            else:
                events.append(event)
    except CallFailed as failure:
        return failure
    return None


def retry_after(value: str, date: str | None) -> float | None:
    """Seconds that a `Retry-After` asks for; a date is read against the server's own clock."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max((parsedate_to_datetime(value) - parsedate_to_datetime(date or "")).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None

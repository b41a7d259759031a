"""The log: set up once, on standard error, as text for people or JSON for machines.

Also holds the context (the turn and its actor) that every line of one piece of work carries. What is logged
where is each module's own business; what is counted is `metrics`.
"""

import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TextIO

from hivemind.settings import LogSettings

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_HIDDEN = "[hidden]"
# Shorter values would blot out ordinary words.
_SHORTEST_SECRET = 8
_EMPTY: Mapping[str, object] = MappingProxyType({})
_context: ContextVar[Mapping[str, object]] = ContextVar("log_context", default=_EMPTY)


@contextmanager
def bound(**facts: object) -> Iterator[None]:
    """Put these facts on every line that this task logs inside the block."""
    token = _context.set({**_context.get(), **facts})
    try:
        yield
    finally:
        _context.reset(token)


def set_up(settings: LogSettings, *, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Send the process's log to `stream`, standard error by default; no line ever holds one of `secrets`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    spellings = {form for secret in secrets for form in (secret, json.dumps(secret)[1:-1])}
    hidden = tuple(sorted((s for s in spellings if len(s) >= _SHORTEST_SECRET), key=len, reverse=True))
    handler.setFormatter(JsonLines(hidden) if settings.format == "json" else TextLines(hidden))
    logging.basicConfig(level=settings.level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # A line for each request of the MCP client, with the address: news of theirs, not of ours.
    logging.getLogger("httpx2").setLevel(max(logging.WARNING, logging.getLogger().level))


class _Lines(logging.Formatter):
    """A line is finished here, so that whatever went into it, a secret does not come out."""

    def __init__(self, hidden: tuple[str, ...]) -> None:
        super().__init__()
        self._hidden = hidden

    def format(self, record: logging.LogRecord) -> str:
        line = self.line(record)
        for secret in self._hidden:
            line = line.replace(secret, _HIDDEN)
        return line

    def line(self, record: logging.LogRecord) -> str:
        raise NotImplementedError


class JsonLines(_Lines):
    """One JSON object a line."""

    def line(self, record: logging.LogRecord) -> str:
        """Everything known of the record; a value that JSON cannot say is said by `str`."""
        known: dict[str, object] = {
            **_facts(record),
            "at": _at(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            known["traceback"] = self.formatException(record.exc_info)
        return json.dumps(known, default=str, ensure_ascii=False)


class TextLines(_Lines):
    """One line for a person, facts as `key=value` at its end, a traceback below it."""

    def line(self, record: logging.LogRecord) -> str:
        """Control characters are escaped: a message cannot forge a line of its own."""
        facts = "".join(f" {name}={_plain(value)}" for name, value in _facts(record).items())
        name = record.name.removeprefix("hivemind.")
        text = f"{_at(record):%H:%M:%S} {record.levelname:<7} {name}: {_escape(record.getMessage())}{facts}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def _at(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _facts(record: logging.LogRecord) -> dict[str, object]:
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return {**_context.get(), **extra}


def _plain(value: object) -> str:
    text = _escape(str(value))
    return json.dumps(text, ensure_ascii=False) if not text or " " in text or '"' in text else text


def _escape(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

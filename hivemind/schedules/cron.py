"""When a cron expression is due: five fields, in a time zone, with rules for the days when clocks change.

croniter finds times on the wall; which moments those are is decided here, because it fires twice where a time
comes twice. The rules are in docs/how-to/run-on-a-schedule.md. Pure: no clock is read.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Self
from zoneinfo import ZoneInfo

from croniter import croniter

from hivemind.errors import InvalidFields

# What Vixie's cron takes; croniter's own inventions (seconds, L, #, hashes, @words) are refused.
_FIELDS = re.compile(r"[0-9A-Za-z*,/-]+(?: [0-9A-Za-z*,/-]+){4}")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WORDS = frozenset((*_MONTHS, "sun", "mon", "tue", "wed", "thu", "fri", "sat"))
_MAX_CHARS = 200
_INSTANT = timedelta(microseconds=1)
# The largest jump that a zone has made: a whole day, at the date line.
_LARGEST_CHANGE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a zone; `hourly` when every hour of a day is meant."""

    expression: str
    zone: ZoneInfo
    hourly: bool

    @classmethod
    def parse(cls, expression: str, time_zone: str) -> Self:
        """Check both and put them together.

        Raises:
            InvalidFields: one of them is not usable, or the expression is never due.
        """
        expression = " ".join(expression.split())
        fields = _fields(expression)
        cron = cls(expression, _zone(time_zone), fields[1] == ["*"])
        try:
            cron.after(datetime(2001, 1, 1, tzinfo=UTC))
        except ValueError:
            raise _wrong("cron", "names a day that never comes") from None
        return cron

    def after(self, moment: datetime) -> datetime:
        """The first due time after a moment, in UTC."""
        return self._hourly_after(moment) if self.hourly else self._daily_after(moment)

    def upcoming(self, moment: datetime) -> Iterator[datetime]:
        """The due times after a moment, for ever."""
        while True:
            moment = self.after(moment)
            yield moment

    def newest(self, start: datetime, end: datetime, limit: int) -> list[datetime]:
        """The due times from `start` to `end`, both included: the newest `limit`, oldest first."""
        span = timedelta(minutes=limit)
        while True:
            begin = max(start, end - span)
            found = list(takewhile(lambda due: due <= end, self.upcoming(begin - _INSTANT)))
            if len(found) >= limit or begin == start:
                return found[-limit:]
            span *= 4

    def _daily_after(self, moment: datetime) -> datetime:
        """By the wall: a time that comes twice counts at its first, one that is left out after the gap."""
        walls = croniter(self.expression, self._wall(moment))
        while (due := self._moment(walls.get_next(datetime))) <= moment:
            pass
        return due

    def _hourly_after(self, moment: datetime) -> datetime:
        """By hours that pass: each hour that there is counts, and only those."""
        while True:
            offset = self._offset(moment)
            wall: datetime = croniter(self.expression, self._wall(moment)).get_next(datetime)
            due = (wall - offset).replace(tzinfo=UTC)
            if self._offset(due) == offset:
                return due
            # The clocks change on the way there: go on from the change, where it may be due at once.
            moment = self._change(moment, due)
            if croniter.match(self.expression, self._wall(moment)):
                return moment

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None)

    def _moment(self, wall: datetime) -> datetime:
        """A time on the wall as a moment."""
        first = wall.replace(tzinfo=self.zone, fold=0)
        moment = first.astimezone(UTC)
        if self._wall(moment) == wall:
            return moment
        # Left out: the offset from before the gap leads past its end.
        return self._change(moment - _LARGEST_CHANGE, moment)

    def _offset(self, moment: datetime) -> timedelta:
        offset = moment.astimezone(self.zone).utcoffset()
        assert offset is not None
        return offset

    def _change(self, start: datetime, end: datetime) -> datetime:
        """The first moment after `start` with the offset of `end`; there is one change between them."""
        offset = self._offset(end)
        while end - start > timedelta(seconds=1):
            middle = start + (end - start) / 2
            start, end = (start, middle) if self._offset(middle) == offset else (middle, end)
        return end.replace(microsecond=0)


def _fields(expression: str) -> Sequence[Sequence[int | str]]:
    words = {word.lower() for word in re.findall(r"[A-Za-z]+", expression)}
    if len(expression) > _MAX_CHARS or not _FIELDS.fullmatch(expression) or not words <= _WORDS:
        raise _wrong("cron", "takes five fields: minute, hour, day of month, month, day of week")
    try:
        fields, _ = croniter.expand(expression)
    except (ValueError, KeyError) as error:
        raise _wrong("cron", f"is not a cron expression: {error}") from None
    return fields


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise _wrong("time_zone", "is the name of a zone such as Europe/Berlin") from None


def _wrong(field: str, problem: str) -> InvalidFields:
    return InvalidFields(f"Missing or wrong: {field}", fields=((field, problem),))

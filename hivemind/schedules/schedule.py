"""What a schedule is, and what is to be done about its due times. Pure: no clock, no database."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from hivemind.agents.retry import Retry
from hivemind.errors import InvalidFields
from hivemind.schedules.cron import Cron

Overlap = Literal["skip", "queue", "replace"]
CatchUp = Literal["none", "last", "all"]
TickOutcome = Literal["fired", "skipped_overlap", "missed", "refused_budget", "refused"]

# A server that was busy or was just restarted is late, and has missed nothing.
GRACE = timedelta(seconds=120)
# Of due times that passed meanwhile: so many of the newest are looked at and recorded.
MAX_PASSED = 100
MAX_QUEUED = 10


@dataclass(frozen=True, slots=True)
class Rule:
    """What a schedule says: when, who, what, and how it minds what is still going on or was missed."""

    name: str
    cron: str
    time_zone: str
    profile_id: UUID
    text: str
    overlap: Overlap = "skip"
    catch_up: CatchUp = "none"
    catch_up_seconds: int = 86_400
    retry: Retry = field(default_factory=Retry)

    def parsed(self) -> Cron:
        """Its expression, checked.

        Raises:
            InvalidFields: something in it cannot be.
        """
        if self.catch_up == "all" and self.overlap != "queue":
            raise InvalidFields(
                "Missing or wrong: catch_up",
                fields=(("catch_up", "all needs overlap = queue: one after the other"),),
            )
        return Cron.parse(self.cron, self.time_zone)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A row: its rule, and how it stands. `next_run_at` is None while nothing is due."""

    id: UUID
    rule: Rule
    paused: bool
    next_run_at: datetime | None
    last_run_at: datetime | None
    last_directive_id: UUID | None
    failure: str | None
    created_at: datetime
    updated_at: datetime

    def as_dict(self) -> dict[str, object]:
        """The schedule as JSON."""
        rule = self.rule
        return {
            "id": self.id,
            "name": rule.name,
            "cron": rule.cron,
            "time_zone": rule.time_zone,
            "profile_id": rule.profile_id,
            "text": rule.text,
            "overlap": rule.overlap,
            "catch_up": rule.catch_up,
            "catch_up_seconds": rule.catch_up_seconds,
            "retry": rule.retry.as_dict(),
            "paused": self.paused,
            "next_run_at": self.next_run_at,
            "last_run_at": self.last_run_at,
            "last_directive_id": self.last_directive_id,
            "failure": self.failure,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """Which of the due times that have come are fired and which were missed, and when the next is."""

    fire: tuple[datetime, ...]
    missed: tuple[datetime, ...]
    next_run_at: datetime


def plan(rule: Rule, cron: Cron, since: datetime, now: datetime) -> Plan:
    """What to do about the due times from `since` to now."""
    due = cron.newest(since, now, MAX_PASSED)
    window = GRACE
    if rule.catch_up != "none":
        window = max(GRACE, timedelta(seconds=rule.catch_up_seconds))
    able = [moment for moment in due if now - moment <= window]
    fire = able if rule.catch_up == "all" else able[-1:]
    missed = [moment for moment in due if moment not in fire]
    return Plan(tuple(fire), tuple(missed), cron.after(now))


def meets(overlap: Overlap, unfinished: int) -> Literal["fire", "replace", "skip"]:
    """What a due time does when this many directives of the schedule have not ended."""
    if not unfinished:
        return "fire"
    if overlap == "queue":
        return "fire" if unfinished < MAX_QUEUED else "skip"
    return "replace" if overlap == "replace" else "skip"

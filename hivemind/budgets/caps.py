"""Caps as owners see and change them: rows, each with how its window of the moment stands.

Every change is audited, `by` whom as well, in its own statement. Holding money is `reservations` and SQL.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from uuid_utils.compat import uuid7

from hivemind.budgets.forecast import Period, runs_out_at, starts_at, window_ends_at
from hivemind.errors import Conflict, NotFound
from hivemind.persistence import Database, Row, load_queries

Scope = Literal["install", "profile", "agent", "schedule", "caller"]
OnSoft = Literal["warn", "cheaper", "ask"]
EVERYONE = "*"
_QUERIES = load_queries("hivemind.budgets", "queries.sql")


@dataclass(frozen=True, slots=True)
class Rule:
    """What a cap says; `subject` is empty for the installation and `*` for everyone by themselves."""

    scope: Scope
    subject: str
    period: Period
    limit_micros: int
    soft_share: float | None = None
    on_soft: OnSoft = "warn"


@dataclass(frozen=True, slots=True)
class Window:
    """How the present window of a cap stands; of a cap for everyone, the fullest one.

    `soft_at` is when what was spent reached the soft share; what is held may reach it before.
    """

    subject: str
    start: date
    spent_micros: int
    reserved_micros: int
    soft_at: datetime | None
    acknowledged_until: datetime | None


@dataclass(frozen=True, slots=True)
class Cap:
    """A cap; `name` is the slug of a profile, and `window` is there for all but caps for one turn."""

    id: UUID
    rule: Rule
    name: str | None
    window: Window | None
    created_at: datetime
    updated_at: datetime

    @property
    def share(self) -> float:
        """Which part of the limit is spent or held."""
        if self.window is None:
            return 0.0
        used = self.window.spent_micros + self.window.reserved_micros
        return used / self.rule.limit_micros if self.rule.limit_micros else float(used > 0)

    @property
    def words(self) -> str:
        """The cap as people say it; a caller or an agent is not named."""
        whose = f" {self.name}" if self.name else ""
        period = "one turn" if self.rule.period == "turn" else f"this {self.rule.period}"
        return f"the {self.rule.scope} cap{whose} for {period}"

    @property
    def soft_reached(self) -> bool:
        """Whether turns that begin now meet what `on_soft` says."""
        return self.rule.soft_share is not None and self.share >= self.rule.soft_share

    def as_dict(self, now: datetime) -> dict[str, object]:
        """The cap as JSON."""
        rule, window = self.rule, self.window
        told: dict[str, object] = {
            "id": self.id,
            "scope": rule.scope,
            "subject": rule.subject,
            "name": self.name,
            "period": rule.period,
            "limit_micros": rule.limit_micros,
            "soft_share": rule.soft_share,
            "on_soft": rule.on_soft,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "window": None,
        }
        if window is not None:
            start, end = starts_at(window.start), window_ends_at(rule.period, window.start)
            told["window"] = {
                "subject": window.subject,
                "starts_at": start,
                "ends_at": end,
                "spent_micros": window.spent_micros,
                "reserved_micros": window.reserved_micros,
                "share": round(self.share, 4),
                "soft_reached": self.soft_reached,
                "soft_at": window.soft_at,
                "acknowledged_until": window.acknowledged_until,
                "runs_out_at": runs_out_at(
                    rule.limit_micros, window.spent_micros, window.reserved_micros, start, end, now
                ),
            }
        return told


async def caps(database: Database, after: UUID | None, limit: int) -> list[Cap]:
    """Caps in the order of their ids, from the one after `after`."""
    rows = await database.fetch_all(_QUERIES["caps"], (None, after, after, limit), repeatable=True)
    return [_cap(row) for row in rows]


async def cap(database: Database, cap_id: UUID) -> Cap:
    """One cap.

    Raises:
        NotFound: there is none.
    """
    rows = await database.fetch_all(_QUERIES["caps"], (cap_id, None, None, 1), repeatable=True)
    if not rows:
        raise NotFound("There is no such cap")
    return _cap(rows[0])


async def create(database: Database, rule: Rule, *, by: str) -> Cap:
    """Make a cap.

    Raises:
        Conflict: there is one for this scope, subject and period.
    """
    cap_id = uuid7()
    made = await database.fetch_one(
        _QUERIES["create"],
        (
            cap_id,
            rule.scope,
            rule.subject,
            rule.period,
            rule.limit_micros,
            rule.soft_share,
            rule.on_soft,
            by,
        ),
    )
    if made is None:
        raise Conflict("There is a cap for this scope, subject and period", remedy="change that one")
    return await cap(database, cap_id)


async def change(
    database: Database,
    cap_id: UUID,
    limit_micros: int,
    soft_share: float | None,
    on_soft: OnSoft,
    *,
    by: str,
) -> Cap:
    """Give a cap another limit or soft share; windows that are below the new share may reach it again.

    Raises:
        NotFound: there is no such cap.
    """
    changed = await database.fetch_one(
        _QUERIES["change"], (cap_id, limit_micros, soft_share, on_soft, by), repeatable=True
    )
    if changed is None:
        raise NotFound("There is no such cap")
    return await cap(database, cap_id)


async def delete(database: Database, cap_id: UUID, *, by: str) -> None:
    """Remove a cap and what it counted; what turns cost stays.

    Raises:
        NotFound: there is no such cap.
    """
    if await database.fetch_one(_QUERIES["delete"], (cap_id, by)) is None:
        raise NotFound("There is no such cap")


async def acknowledge(
    database: Database, cap_id: UUID, subject: str, until: datetime | None, *, by: str
) -> Cap:
    """Let turns begin past the soft share in the present window, until then or until it ends.

    Raises:
        NotFound: there is no such cap, or it has no windows.
    """
    if (
        await database.fetch_one(_QUERIES["acknowledge"], (subject, until, cap_id, by), repeatable=True)
        is None
    ):
        raise NotFound("There is no such cap with a window")
    return await cap(database, cap_id)


async def strained(database: Database) -> list[Cap]:
    """The caps whose soft share or limit is reached at this moment."""
    rows = await database.fetch_all(_QUERIES["strained"], repeatable=True)
    return [_cap(row) for row in rows]


def _cap(row: Row) -> Cap:
    rule = Rule(
        row["scope"], row["subject"], row["period"], row["limit_micros"], row["soft_share"], row["on_soft"]
    )
    window = None
    if row["window_start"] is not None:
        window = Window(
            row["window_subject"],
            row["window_start"],
            row["spent_micros"],
            row["reserved_micros"],
            row["soft_at"],
            row["acknowledged_until"],
        )
    return Cap(row["id"], rule, row["name"], window, row["created_at"], row["updated_at"])

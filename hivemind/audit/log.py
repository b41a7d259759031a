"""Write the audit log: one row, the seal of what was committed, erasure of a conversation or by age."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from hivemind.audit.actions import Action
from hivemind.persistence import Database, Jsonb, Transaction, load_queries

SEAL_ROWS = 1_000
EXPIRE_ROWS = 1_000

_QUERIES = load_queries("hivemind.audit", "queries.sql")


@dataclass(frozen=True, slots=True)
class Sealed:
    """What one sealing did, and where the chain ends after it (0 and zeros: it is empty)."""

    rows: int
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Erasure:
    """What became of the wish to erase a conversation; `busy` names the turn that has to end first."""

    outcome: Literal["erased", "busy", "unknown", "done"]
    turn_id: UUID | None
    messages: int
    entries: int


async def record(
    database: Database | Transaction,
    action: Action,
    *,
    profile_id: UUID | None = None,
    agent_id: UUID | None = None,
    turn_id: UUID | None = None,
    caller: str | None = None,
    detail: dict[str, object],
    text: str | None = None,
) -> None:
    """Append a row; `detail` holds codes and verdicts, `text` what the guards have scrubbed."""
    await database.execute(
        _QUERIES["record"], (action.value, profile_id, agent_id, turn_id, caller, Jsonb(detail), text)
    )


async def seal(database: Database) -> Sealed:
    """Make everything that was committed before this call a part of the chain."""
    total = 0
    while True:
        row = await database.fetch_one(_QUERIES["seal"], (SEAL_ROWS,), repeatable=True)
        assert row is not None
        total += row["sealed"]
        if row["sealed"] < SEAL_ROWS:
            return Sealed(total, row["seq"], row["hash"])


async def erase(database: Database, conversation_id: UUID, detail: dict[str, object]) -> Erasure:
    """Remove what was said in a conversation; costs and the chain stay."""
    row = await database.fetch_one(_QUERIES["erase"], (conversation_id, Jsonb(detail)), repeatable=True)
    assert row is not None
    return Erasure(row["outcome"], row["turn"], row["messages"] or 0, row["entries"] or 0)


async def expire(database: Database, after: datetime, before: datetime) -> datetime | None:
    """Remove text and details of some sealed rows of that time; how far it came, None: there are no more."""
    row = await database.fetch_one(_QUERIES["expire"], (after, before, EXPIRE_ROWS), repeatable=True)
    assert row is not None
    at: datetime | None = row["at"]
    return at

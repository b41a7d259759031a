"""Write one row of the audit log."""

from uuid import UUID

from hivemind.audit.actions import Action
from hivemind.persistence import Database, Jsonb, load_queries

_QUERIES = load_queries("hivemind.audit", "queries.sql")


async def record(
    database: Database,
    action: Action,
    *,
    profile_id: UUID | None = None,
    agent_id: UUID | None = None,
    turn_id: UUID | None = None,
    caller: str | None = None,
    detail: dict[str, object],
) -> None:
    """Append a row; `detail` holds codes, verdicts and scrubbed text only."""
    await database.execute(
        _QUERIES["record"], (action.value, profile_id, agent_id, turn_id, caller, Jsonb(detail))
    )

"""Money held for turns: held again as a turn goes on, given back when nobody ends it, or refused.

What a turn begins with is held in the statement that admits it (`migrations/0001`), and what it cost is
booked in the one that commits it.
"""

from uuid import UUID

from hivemind.errors import ApprovalRequired, BudgetExceeded, Refused
from hivemind.persistence import Database, SqlError, load_queries

_CAP_EXCEEDED = "HM010"
_APPROVAL_REQUIRED = "HM011"
_QUERIES = load_queries("hivemind.budgets", "queries.sql")


async def hold(
    database: Database, turn_id: UUID, epoch: int, total_micros: int, lease_seconds: float
) -> bool:
    """Make a turn hold so much in all its caps: what it has cost so far and the worst case of what comes.

    False: it has ended, or another incarnation owns the agent.

    Raises:
        BudgetExceeded: a cap does not cover it; the turn holds what it held.
    """
    try:
        row = await database.fetch_one(
            _QUERIES["hold"], (turn_id, epoch, total_micros, lease_seconds), repeatable=True
        )
    except SqlError as raised:
        raise (refusal(raised) or raised) from raised
    assert row is not None
    return bool(row["held"])


async def release_expired(database: Database) -> int:
    """Release what is held past its lease; how many reservations that were.

    A turn that is taken up after that has to hold its money again first.
    """
    row = await database.fetch_one(_QUERIES["release_expired"], repeatable=True)
    assert row is not None
    return int(row["released"])


def refusal(raised: SqlError) -> Refused | None:
    """Why a cap did not let a turn hold its money; None where the error says something else."""
    refused: Refused
    if raised.sqlstate == _CAP_EXCEEDED:
        refused = BudgetExceeded(
            f"The {raised.diag.message_detail} is used up",
            remedy="wait for the next period, or raise the cap",
        )
    elif raised.sqlstate == _APPROVAL_REQUIRED:
        refused = ApprovalRequired(
            f"Most of the {raised.diag.message_detail} is used up, and an operator has to agree to more",
            remedy="acknowledge the cap, raise it, or wait for the next period",
        )
    else:
        return None
    refused.detail = {"cap": raised.diag.message_hint}
    return refused

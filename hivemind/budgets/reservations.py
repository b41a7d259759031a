"""Give back the money that turns hold which nobody will end."""

from hivemind.persistence import Database, load_queries

_QUERIES = load_queries("hivemind.budgets", "queries.sql")


async def release_expired(database: Database) -> int:
    """Release what is held past its lease; how many reservations that were.

    A turn that is still to be taken up keeps its money: taking it up leases it anew.
    """
    return await database.execute(_QUERIES["release_expired"], repeatable=True)

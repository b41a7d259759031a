"""What calls cost, summed up by whatever is asked for; the rows are written where a turn is committed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from hivemind.persistence import Database, Row, load_queries

_QUERIES = load_queries("hivemind.budgets", "queries.sql")
# Texts, so that one list can be ordered and continued by any of them.
_KEYS: Final[Mapping[str, str]] = {
    "day": "to_char(c.at at time zone 'UTC', 'YYYY-MM-DD')",
    "profile": "c.profile_id::text",
    "agent": "c.agent_id::text",
    "schedule": "coalesce(c.schedule_id::text, '')",
    "caller": "c.caller",
    "model": "c.model",
}
GROUPS: Final = tuple(_KEYS)


async def costs(
    database: Database,
    groups: Sequence[str],
    since: datetime,
    until: datetime,
    after: Sequence[object] | None,
    limit: int,
) -> list[Row]:
    """One row for each combination of the groups that something was spent on, in the order of the groups.

    Without groups it is one row, the sum of all. `groups` are some of `GROUPS`, each at most once.
    """
    keys = [f"{_KEYS[group]} as {group}" for group in groups]
    sql = _QUERIES["costs"].format(
        keys="".join(f"{key}, " for key in keys),
        grouped=f"group by {', '.join(groups)}" if groups else "",
        after=f"where ({', '.join(groups)}) > ({', '.join(['%s'] * len(groups))})" if after else "",
        ordered=f"order by {', '.join(groups)}" if groups else "",
        slug="(select p.slug from agent_profiles p where p.id::text = sums.profile) as profile_slug, "
        if "profile" in groups
        else "",
    )
    rows = await database.fetch_all(sql, (since, until, *(after or ()), limit), repeatable=True)
    return [{**row, "schedule": row["schedule"] or None} if "schedule" in row else row for row in rows]

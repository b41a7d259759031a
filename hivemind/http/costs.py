"""`GET /api/v1/costs`: what was spent, by whatever the question groups it by."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches

from quart import Blueprint, Response, request

from hivemind.budgets.costs import GROUPS, costs
from hivemind.errors import InvalidRequest
from hivemind.http import paging
from hivemind.http.bodies import answer
from hivemind.http.filters import moment_in
from hivemind.persistence import Database

DEFAULT_DAYS = 30


def routes(database: Database) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("costs", __name__)

    @blueprint.get("/api/v1/costs")
    async def read_costs() -> Response:
        groups = groups_of(request.args.get("group_by", ""))
        page = paging.asked(request.args, *(str for _ in groups))
        since, until = span_of(request.args, datetime.now(UTC))
        rows = await costs(database, groups, since, until, page.after, page.fetch)
        body = page.reply(rows, lambda row: tuple(row[group] or "" for group in groups), dict)
        return answer({**body, "since": since, "until": until})

    return blueprint


def groups_of(text: str) -> list[str]:
    """The groups that are named, in their order.

    Raises:
        InvalidRequest: one of them is not known, or named twice.
    """
    groups = [group.strip() for group in text.split(",")] if text else []
    for group in groups:
        if group not in GROUPS:
            close = get_close_matches(group, GROUPS, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"group by any of {', '.join(GROUPS)}"
            raise InvalidRequest(f"Costs cannot be grouped by {group[:80]!r}", remedy=hint)
    if len(set(groups)) < len(groups):
        raise InvalidRequest("group_by names a group twice")
    return groups


def span_of(arguments: Mapping[str, str], now: datetime) -> tuple[datetime, datetime]:
    """From `since` to before `until`: by default the last 30 days, up to now.

    Raises:
        InvalidRequest: one of them is no date and no time.
    """
    until = moment_in(arguments, "until") or now + timedelta(seconds=1)
    since = moment_in(arguments, "since") or until - timedelta(days=DEFAULT_DAYS)
    return since, until

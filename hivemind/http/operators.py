"""What operators see: health for everyone, the tree of actors for those with a key."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from quart import Blueprint, Response, request

from hivemind import __version__
from hivemind.actors import ActorSystem, Tree
from hivemind.errors import InvalidRequest, NotFound
from hivemind.health import Health, history
from hivemind.http import paging
from hivemind.http.bodies import answer
from hivemind.http.filters import moment_in
from hivemind.persistence import Database

MAX_CHILDREN = 10_000
DEFAULT_CHILDREN = 200
HISTORY = timedelta(days=1)


def routes(system: ActorSystem, health: Health, database: Database) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("operators", __name__)

    @blueprint.get("/api/v1/health")
    async def read_health() -> Response:
        report = await health.check()
        body = {
            "status": report.status,
            "version": __version__,
            "checks": {name: check.as_dict() for name, check in report.checks.items()},
        }
        return answer(body, 503 if report.status == "down" else 200)

    @blueprint.get("/api/v1/health/history")
    async def read_history() -> Response:
        page = paging.asked(request.args, int)
        after = page.after[0] if page.after else None
        assert after is None or isinstance(after, int)
        since = moment_in(request.args, "since") or datetime.now(UTC) - HISTORY
        rows = await history(database, since, after, page.fetch)
        return answer(page.reply(rows, lambda row: (row["id"],), dict))

    @blueprint.get("/api/v1/actors")
    async def read_tree() -> Response:
        tree = system.tree(limit=_limit())
        if tree is None:
            raise NotFound
        return answer({"tree": node(tree)})

    @blueprint.get("/api/v1/actors/<path:address>")
    async def read_actor(address: str) -> Response:
        tree = system.tree(f"/{address}", limit=_limit())
        if tree is None:
            raise NotFound(f"There is no actor at /{address}")
        return answer({"actor": node(tree)})

    return blueprint


def node(tree: Tree) -> dict[str, object]:
    """One actor and those below it, as JSON."""
    shot = tree.snapshot
    return {
        "address": shot.address,
        "kind": shot.kind,
        "state": shot.state,
        "since": shot.since_at,
        "age_seconds": round(shot.age_seconds, 3),
        "mailbox": asdict(shot.mailbox),
        "handled": shot.handled,
        "dropped": shot.dropped,
        "in_hand": asdict(shot.in_hand) if shot.in_hand else None,
        "restarts": shot.restarts,
        "restarts_in_window": shot.restarts_in_window,
        "last_exit": asdict(shot.last_exit) if shot.last_exit else None,
        "facts": dict(shot.facts),
        "children": [node(child) for child in tree.children],
        "omitted": tree.omitted,
    }


def _limit() -> int:
    text = request.args.get("limit", str(DEFAULT_CHILDREN))
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MAX_CHILDREN):
        raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_CHILDREN}")
    return int(text)

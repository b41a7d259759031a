"""One pull of one project: what changed since the last, and now and then what is gone.

A row that cannot be read is logged and skipped. The time up to which everything is known moves on only when a
pull came to its end, so whatever breaks off is read again.
"""

import logging
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from hivemind.agents import tasks
from hivemind.persistence import Database, Jsonb, load_queries
from hivemind.plane.client import PlaneClient
from hivemind.plane.item import SOURCE, Place, Unusable, id_of, task_of, updated_at

log = logging.getLogger("hivemind.plane")

# What was changed this shortly before is read again: what was being written then was not seen.
OVERLAP = timedelta(minutes=5)
# So many that seem gone are asked for one by one in a pull; the rest waits for the next.
MAX_DOUBTS = 100
_QUERIES = load_queries("hivemind.plane", "queries.sql")


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one pull saw and did."""

    seen: int = 0
    new: int = 0
    changed: int = 0
    gone: int = 0
    skipped: int = 0

    @property
    def worth_telling(self) -> bool:
        """Whether anything is another than before."""
        return bool(self.new or self.changed or self.gone or self.skipped)

    def __add__(self, other: "Pulled") -> "Pulled":
        return Pulled(
            self.seen + other.seen,
            self.new + other.new,
            self.changed + other.changed,
            self.gone + other.gone,
            self.skipped + other.skipped,
        )


async def pull(database: Database, client: PlaneClient, place: Place, full_every: int) -> Pulled:
    """Pull one project.

    Raises:
        IntegrationError: Plane does not answer as it should.
    """
    row = await database.fetch_one(_QUERIES["last"], (place.project,), repeatable=True)
    known_to: datetime | None = row["updated_to"] if row else None
    full = row is None or known_to is None or row["pulls"] % full_every == 0
    since = None if full or known_to is None else known_to - OVERLAP
    groups = await client.groups(place.project)
    done, ids, newest = Pulled(), set[str](), known_to
    order = {"order_by": "-updated_at"} if since else {}
    async with aclosing(await client.items(place.project, **order)) as pages:
        async for page in pages:
            for item in page:
                done = replace(done, seen=done.seen + 1)
                try:
                    ids.add(id_of(item))
                    done += await _write(database, item, place, groups)
                    newest = max(newest or updated_at(item), updated_at(item))
                except Unusable as error:
                    log.warning("a work item of Plane is skipped: %s", error)
                    done = replace(done, skipped=done.skipped + 1)
            if since and _all_older(page, since):
                break
        else:
            # Only a listing that came to its end says that what is not in it is gone.
            done += await _drop_gone(database, client, place, ids)
    detail = {"new": done.new, "changed": done.changed, "gone": done.gone, "skipped": done.skipped}
    values = {
        "project": place.project,
        "updated_to": newest,
        "detail": Jsonb(detail),
        "worth": done.worth_telling,
    }
    await database.execute(_QUERIES["pulled"], values)
    return done


async def pull_one(database: Database, client: PlaneClient, place: Place, item_id: str) -> Pulled:
    """Look at one item that is said to have changed, or to be gone.

    Raises:
        IntegrationError: Plane does not answer as it should.
    """
    item = await client.item(place.project, item_id)
    if item is None:
        return Pulled(gone=int(await tasks.vanish(database, SOURCE, item_id)))
    try:
        return await _write(database, item, place, await client.groups(place.project))
    except Unusable as error:
        log.warning("work item %s of Plane is skipped: %s", item_id, error)
        return Pulled(skipped=1)


async def note_failure(database: Database, project: str, failure: str) -> None:
    """Keep why a project could not be pulled."""
    await database.execute(_QUERIES["failed"], (project, failure), repeatable=True)


async def is_new(database: Database, delivery_id: str) -> bool:
    """Whether a delivery of the webhook comes for the first time."""
    return await database.fetch_one(_QUERIES["deliver"], (delivery_id,)) is not None


async def _write(
    database: Database, item: Mapping[str, Any], place: Place, groups: Mapping[str, str]
) -> Pulled:
    became = await tasks.mirror(database, task_of(item, place, groups))
    return Pulled(new=int(became == "new"), changed=int(became == "changed"))


def _all_older(page: list[Any], since: datetime) -> bool:
    """Whether what comes after this page is known: its rows are, and they come newest first."""
    try:
        times = [updated_at(item) for item in page]
    except (Unusable, AttributeError):
        return False
    return bool(times) and times == sorted(times, reverse=True) and times[-1] < since


async def _drop_gone(database: Database, client: PlaneClient, place: Place, ids: set[str]) -> Pulled:
    """Items may move between pages while they are read, so each that is not there is asked for by itself."""
    doubts = sorted(await tasks.mirrored(database, SOURCE, place.project) - ids)
    gone = 0
    for item_id in doubts[:MAX_DOUBTS]:
        if await client.item(place.project, item_id) is None:
            gone += await tasks.vanish(database, SOURCE, item_id)
    return Pulled(gone=gone)

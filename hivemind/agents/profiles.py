"""The rows of profiles, as owners edit them; each change is audited by the names of its fields.

Whether values are good is known by whoever asks. What turns read is `profile.Profiles`, which is told of a
change made here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from uuid_utils.compat import uuid7

from hivemind.agents.profile import Profile, profile_of
from hivemind.audit import Action, record
from hivemind.errors import Conflict, NotFound
from hivemind.persistence import Database, ForeignKeyViolation, Jsonb, Row, Transaction, load_queries

_QUERIES = load_queries("hivemind.agents", "profiles.sql")


async def page(database: Database, after: str | None, limit: int, *, archived: bool) -> list[Profile]:
    """Profiles by their slugs, from the one after `after`; archived ones only if they are wanted."""
    values = {"after": after, "limit": limit, "archived": archived}
    return [profile_of(row) for row in await database.fetch_all(_QUERIES["page"], values, repeatable=True)]


async def profile(database: Database, slug: str) -> Profile:
    """One profile, archived or not.

    Raises:
        NotFound: there is none.
    """
    row = await database.fetch_one(_QUERIES["by_slug"], (slug,), repeatable=True)
    return profile_of(_found(row, slug))


async def create(database: Database, slug: str, values: Mapping[str, Any]) -> Profile:
    """Make a profile; what `values` do not say is as usual.

    Raises:
        Conflict: the slug is taken.
    """
    async with database.transaction() as transaction:
        row = await transaction.fetch_one(_QUERIES["create"], (uuid7(), slug))
        if row is None:
            raise Conflict(f"There is a profile {slug!r}", remedy="change that one, also if it is archived")
        made = await _write(transaction, row, values)
        await _audit(transaction, Action.PROFILE_CREATED, made, fields=sorted(values))
    return made


async def change(
    database: Database, slug: str, values: Mapping[str, Any], *, read_at: datetime | None = None
) -> Profile:
    """Give a profile other values; `read_at` is the `updated_at` that they were decided by.

    Raises:
        NotFound: there is no such profile.
        Conflict: it has been changed since.
    """
    async with database.transaction() as transaction:
        row = _found(await transaction.fetch_one(_QUERIES["lock"], (slug,)), slug)
        _unchanged(row, read_at)
        fields = sorted(name for name, value in values.items() if row[name] != value)
        if not fields:
            return profile_of(row)
        changed = await _write(transaction, row, values)
        await _audit(transaction, Action.PROFILE_CHANGED, changed, fields=fields)
    return changed


async def archive(database: Database, slug: str, *, archived: bool) -> Profile:
    """Put a profile away, or take it out again; once more changes nothing.

    Raises:
        NotFound: there is no such profile.
    """
    async with database.transaction() as transaction:
        row = await transaction.fetch_one(_QUERIES["archive"], {"slug": slug, "archived": archived})
        if row is None:
            return profile_of(_found(await transaction.fetch_one(_QUERIES["by_slug"], (slug,)), slug))
        kept = profile_of(row)
        await _audit(transaction, Action.PROFILE_ARCHIVED if archived else Action.PROFILE_RESTORED, kept)
    return kept


async def delete(database: Database, slug: str, *, read_at: datetime | None = None) -> None:
    """Remove a profile that nothing was ever done with.

    Raises:
        NotFound: there is no such profile.
        Conflict: there are agents, conversations or work of it, or it has been changed since.
    """
    try:
        async with database.transaction() as transaction:
            row = _found(await transaction.fetch_one(_QUERIES["lock"], (slug,)), slug)
            _unchanged(row, read_at)
            await transaction.execute(_QUERIES["delete"], (row["id"],))
            await _audit(transaction, Action.PROFILE_DELETED, profile_of(row))
    except ForeignKeyViolation as error:
        raise Conflict(
            "There are agents, conversations or work of this profile", remedy="archive it instead"
        ) from error


async def _write(transaction: Transaction, row: Row, values: Mapping[str, Any]) -> Profile:
    written = await transaction.fetch_one(_QUERIES["change"], (Jsonb(dict(values)), row["id"]))
    assert written is not None
    return profile_of(written)


async def _audit(transaction: Transaction, action: Action, kept: Profile, **detail: object) -> None:
    await record(transaction, action, profile_id=kept.id, detail={"slug": kept.slug, **detail})


def _unchanged(row: Row, read_at: datetime | None) -> None:
    if read_at is not None and row["updated_at"] != read_at:
        raise Conflict("The profile has been changed since it was read", remedy="read it again")


def _found(row: Row | None, slug: str) -> Row:
    if row is None:
        raise NotFound(f"There is no profile {slug!r}")
    return row

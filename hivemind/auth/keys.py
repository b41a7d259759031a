"""API keys: `hm-` and 256 random bits, told once; a row has the hash, a role, and when the key ends."""

import hashlib
import secrets
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from hivemind.auth.role import Role
from hivemind.errors import Conflict, NotFound
from hivemind.persistence import Database, Row, load_queries

_QUERIES = load_queries("hivemind.auth", "keys.sql")
PREFIX = "hm-"
_KEY_BYTES = 32
_MAX_KEY_CHARS = 100
_HINT_CHARS = 4


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is listed; `hint` is how it ends."""

    id: UUID
    name: str
    role: Role
    hint: str
    made_by: str
    replaces: UUID | None
    created_at: datetime
    used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


_FIELDS = tuple(field.name for field in fields(ApiKey))


def hash_of(key: str) -> bytes:
    """What is stored of a key. It is random, so that one round of a fast hash is enough."""
    return hashlib.sha256(key[:_MAX_KEY_CHARS].encode("utf-8", "surrogatepass")).digest()


async def make(
    database: Database, name: str, role: Role, *, expires_at: datetime | None, by: str
) -> tuple[ApiKey, str]:
    """A new key, and its text, which nobody can be told again."""
    text = PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    params = {
        "id": uuid7(), "name": name, "role": role, "hint": text[-_HINT_CHARS:], "hash": hash_of(text),
        "expires_at": expires_at, "by": by,
    }  # fmt: skip
    row = await database.fetch_one(_QUERIES["make"], params)
    assert row is not None
    return _key(row), text


async def rotate(database: Database, key_id: UUID, overlap_seconds: float, *, by: str) -> tuple[ApiKey, str]:
    """A successor of the same name and role; the former goes on for a while, so that nothing has to stop.

    Raises:
        NotFound: there is no such key.
        Conflict: the key does not count any more.
    """
    text = PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    params = {
        "former": key_id, "id": uuid7(), "hint": text[-_HINT_CHARS:], "hash": hash_of(text),
        "seconds": overlap_seconds, "by": by,
    }  # fmt: skip
    row = await database.fetch_one(_QUERIES["rotate"], params)
    if row is None:
        await key(database, key_id)
        raise Conflict("The key does not count any more", remedy="make a new one")
    return _key(row), text


async def revoke(database: Database, key_id: UUID, *, by: str) -> ApiKey:
    """End a key now; again it is harmless. Raises `NotFound`."""
    await database.execute(_QUERIES["revoke"], {"id": key_id, "by": by})
    return await key(database, key_id)


async def key(database: Database, key_id: UUID) -> ApiKey:
    """One key; raises `NotFound`."""
    row = await database.fetch_one(_QUERIES["key"], (key_id,), repeatable=True)
    if row is None:
        raise NotFound("There is no such key")
    return _key(row)


async def page(database: Database, after: UUID | None, limit: int) -> list[ApiKey]:
    """Keys, newest first."""
    rows = await database.fetch_all(_QUERIES["page"], {"after": after, "limit": limit}, repeatable=True)
    return [_key(row) for row in rows]


async def find(database: Database, text: str) -> Row | None:
    """The key that counts and has this text; finding it says that it is in use."""
    return await database.fetch_one(_QUERIES["find"], (hash_of(text),), repeatable=True)


def _key(row: Row) -> ApiKey:
    return ApiKey(**{name: row[name] for name in _FIELDS})

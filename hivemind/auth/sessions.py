"""Sessions of browsers: a random token in a cookie, its hash in a row, gone when the row is."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from hivemind.errors import NotFound
from hivemind.persistence import Database, Row, load_queries

_QUERIES = load_queries("hivemind.auth", "sessions.sql")
_TOKEN_BYTES = 32
_MAX_TOKEN_CHARS = 100
_MAX_AGENT_CHARS = 200


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that has just begun; `token` is told once."""

    token: str
    expires_at: datetime


def hash_of(token: str) -> bytes:
    """What is stored of a token. It is random, so that one round of a fast hash is enough."""
    return hashlib.sha256(token[:_MAX_TOKEN_CHARS].encode("utf-8", "surrogatepass")).digest()


def csrf_of(token: str) -> str:
    """What a page has to send along with a change, so that no other site can ask for it."""
    return hmac.new(token.encode("utf-8", "surrogatepass"), b"hivemind.csrf.1", hashlib.sha256).hexdigest()


async def begin(
    database: Database,
    user_id: UUID,
    epoch: int,
    lifetime_seconds: float,
    *,
    caller: str | None,
    user_agent: str | None,
) -> Opened:
    """Open a session under a new token, whatever the browser had before.

    `epoch` is that of the account when its password was proven: with another one the session never counts.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    params = {
        "hash": hash_of(token),
        "id": uuid7(),
        "user": user_id,
        "epoch": epoch,
        "caller": caller,
        "user_agent": (user_agent or "")[:_MAX_AGENT_CHARS] or None,
        "seconds": lifetime_seconds,
    }
    row = await database.fetch_one(_QUERIES["begin"], params)
    assert row is not None
    return Opened(token, row["expires_at"])


async def find(database: Database, token: str, idle_seconds: float) -> Row | None:
    """The live session of a token with its user; seeing it keeps it alive."""
    params = {"hash": hash_of(token), "idle": idle_seconds}
    return await database.fetch_one(_QUERIES["find"], params, repeatable=True)


async def end(database: Database, session_hash: bytes) -> None:
    """End the session."""
    await database.execute(_QUERIES["end"], (session_hash,), repeatable=True)


async def of_user(database: Database, user_id: UUID) -> list[Row]:
    """The live sessions of an account, newest first, without what proves them."""
    return await database.fetch_all(_QUERIES["of_user"], (user_id,), repeatable=True)


async def revoke(database: Database, user_id: UUID, session_id: UUID, *, by: str) -> None:
    """End a session of an account; raises `NotFound`."""
    params = {"user": user_id, "id": session_id, "by": by}
    if not await database.execute(_QUERIES["revoke"], params):
        raise NotFound("There is no such session")

"""The accounts of people: functions over the database; each change is one statement, with its audit row."""

import re
import unicodedata
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from hivemind.auth import passwords
from hivemind.auth.person import Person
from hivemind.auth.role import Role
from hivemind.errors import AlreadyRegistered, Conflict, InvalidFields, NotFound, NotPermitted
from hivemind.persistence import Database, Row, UniqueViolation, load_queries

_QUERIES = load_queries("hivemind.auth", "accounts.sql")
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")


@dataclass(frozen=True, slots=True)
class User:
    """One account, without anything that proves who it is.

    Who has an `issuer` signs in there, as `subject`; unless `bound`, their groups there say the role.
    """

    id: UUID
    username: str
    email: str | None
    role: Role
    issuer: str | None
    subject: str | None
    bound: bool
    epoch: int
    disabled_at: datetime | None
    signed_in_at: datetime | None
    created_at: datetime

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {name: value for name, value in asdict(self).items() if name != "epoch"}


_FIELDS = tuple(field.name for field in fields(User))


def spelled(text: str) -> str:
    """A name in the one spelling that is looked up, however it was typed; what guesses are counted by."""
    return unicodedata.normalize("NFKC", text).strip().lower()


def name_of(text: str) -> str:
    """A username as it is stored; raises `InvalidFields` for what can be none."""
    name = spelled(text)
    if not _USERNAME.fullmatch(name):
        raise InvalidFields(
            "Missing or wrong: username",
            fields=(("username", "has to have 1 to 64 letters a to z, digits or . _ @ + -"),),
        )
    return name


async def is_first_run(database: Database) -> bool:
    """Whether there is no account yet."""
    row = await database.fetch_one(_QUERIES["is_empty"], repeatable=True)
    return bool(row and row["is_empty"])


async def register(database: Database, username: str, password: str, email: str | None) -> User:
    """Make the first account, an admin.

    Raises:
        AlreadyRegistered: there is one.
        InvalidFields: the name or the password cannot be.
    """
    name = name_of(username)
    stored = await _stored(name, password)
    params = {"id": uuid7(), "username": name, "email": email, "password_hash": stored}
    row = await database.fetch_one(_QUERIES["register"], params)
    if row is None:
        raise AlreadyRegistered
    return _user(row)


async def create(
    database: Database,
    username: str,
    role: Role,
    *,
    password: str | None = None,
    issuer: str | None = None,
    subject: str | None = None,
    email: str | None,
    by: str,
) -> User:
    """Make an account: with a password, or for who is `subject` at the identity provider `issuer`.

    Raises:
        Conflict: the name is taken, or somebody is that subject.
        InvalidFields: the name or the password cannot be, or there is not one way in.
    """
    name = name_of(username)
    if (issuer is None) != (subject is None) or (issuer is None) == (password is None):
        raise InvalidFields(
            "Missing or wrong: password",
            fields=(("password", "is needed, or else issuer and subject in its place"),),
        )
    stored = None if password is None else await _stored(name, password)
    params: dict[str, Any] = {
        "id": uuid7(), "username": name, "email": email, "role": role, "by": by,
        "password_hash": stored, "issuer": issuer, "subject": subject,
    }  # fmt: skip
    try:
        row = await database.fetch_one(_QUERIES["create"], params)
    except UniqueViolation:
        who = "" if subject is None else f", or one for {subject}"
        raise Conflict(f"There is a user {name} already{who}") from None
    assert row is not None
    return _user(row)


async def arrive(database: Database, person: Person, role: Role | None) -> User | None:
    """The account of somebody for whom an identity provider vouches; it is made when they come first.

    `role` is what their groups give them, and goes behind what an admin has said. None where that is nothing:
    then their sessions have ended.

    Raises:
        NotPermitted: the account is disabled.
    """
    params: dict[str, Any] = {
        "issuer": person.issuer, "subject": person.subject, "email": person.email, "role": role,
    }  # fmt: skip
    row = await database.fetch_one(_QUERIES["known"], params, repeatable=True)
    if row is None and role is not None:
        if (made := await _arrive(database, person, params)) is not None:
            return made
        row = await database.fetch_one(_QUERIES["known"], params, repeatable=True)
    if row is None:
        return None
    found = _user(row)
    if found.disabled_at is not None:
        raise NotPermitted("This account is disabled", remedy="ask an admin")
    if role is None and not found.bound:
        await database.execute(_QUERIES["shut_out"], (found.id,))
        return None
    if found.email != person.email or not (found.bound or found.role == role) or row["is_stale"]:
        row = await database.fetch_one(_QUERIES["renew"], params | {"id": found.id})
    return _user(row) if row is not None else None


async def _arrive(database: Database, person: Person, params: dict[str, Any]) -> User | None:
    """Make the account; None: another request of theirs has just done it."""
    for username in (person.username, person.other_username):
        try:
            row = await database.fetch_one(_QUERIES["arrive"], params | {"id": uuid7(), "username": username})
        except UniqueViolation:
            continue  # somebody else has that name
        return _user(row) if row is not None else None
    raise Conflict(f"There is a user {person.other_username} already")


async def page(database: Database, after: str | None, limit: int) -> list[User]:
    """Accounts by name."""
    rows = await database.fetch_all(_QUERIES["page"], {"after": after, "limit": limit}, repeatable=True)
    return [_user(row) for row in rows]


async def user(database: Database, user_id: UUID) -> User:
    """One account; raises `NotFound`."""
    row = await database.fetch_one(_QUERIES["user"], (user_id,), repeatable=True)
    if row is None:
        raise NotFound("There is no such user")
    return _user(row)


async def change(
    database: Database,
    user_id: UUID,
    *,
    by: str,
    email: str | None = None,
    role: Role | None = None,
    disabled: bool | None = None,
    password: str | None = None,
    bound: bool | None = None,
) -> User:
    """Change what is not None; a new password, another role and disabling end the account's sessions.

    Where somebody signs in at an identity provider a role binds; `bound` false leaves it to their groups.

    Raises:
        NotFound: there is no such account.
        Conflict: nobody would be left who may administer, or the account is not of the kind that has this.
    """
    found = await user(database, user_id)
    if password is not None and found.issuer is not None:
        raise Conflict(f"{found.username} signs in at {found.issuer} and has no password here")
    if bound is not None and found.issuer is None:
        raise Conflict(f"{found.username} signs in with a password: no groups say which role that is")
    if bound is False and role is not None:
        raise Conflict("A role binds: it cannot be given and left to the groups at once")
    stored = await _stored(found.username, password) if password is not None else None
    params: dict[str, Any] = {
        "id": user_id, "by": by, "email": email, "role": role, "disabled": disabled, "password_hash": stored,
        "bound": bound,
    }  # fmt: skip
    row = await database.fetch_one(_QUERIES["change"], params)
    if row is None:
        raise Conflict("Nobody would be left who may administer", remedy="make another admin first")
    return _user(row)


async def delete(database: Database, user_id: UUID, *, by: str) -> None:
    """Remove an account and its sessions.

    Raises:
        NotFound: there is no such account.
        Conflict: nobody would be left who may administer.
    """
    await user(database, user_id)
    if not await database.execute(_QUERIES["delete"], {"id": user_id, "by": by}):
        raise Conflict("Nobody would be left who may administer", remedy="make another admin first")


async def proven(database: Database, username: str, password: str) -> User | None:
    """The account whose name and password these are; the same work is done for a name that nobody has."""
    row = await database.fetch_one(_QUERIES["proof"], (spelled(username),), repeatable=True)
    right = await passwords.fits(password, row["password_hash"] if row else None)
    return _user(row) if row is not None and right else None


async def change_password(
    database: Database, user_id: UUID, current: str, new: str, *, keep: bytes, by: str
) -> bool:
    """Give an account another password and end its other sessions; False: `current` is wrong.

    Raises:
        Conflict: it has none, since an identity provider vouches for it.
    """
    found = await user(database, user_id)
    if found.issuer is not None:
        raise Conflict(f"You sign in at {found.issuer}: change the password there")
    if await proven(database, found.username, current) is None:
        return False
    params = {"id": user_id, "password_hash": await _stored(found.username, new), "keep": keep, "by": by}
    await database.execute(_QUERIES["change_password"], params)
    return True


async def _stored(username: str, password: str) -> str:
    wrong = passwords.mistake(password, username)
    if wrong is not None:
        raise InvalidFields("Missing or wrong: password", fields=(("password", wrong),))
    return await passwords.hashed(password)


def _user(row: Row) -> User:
    return User(**{name: row[name] for name in _FIELDS})

"""Who is asking: found by what they show, and remembered for a few seconds."""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import trio

from hivemind.auth import accounts, keys, sessions
from hivemind.auth.person import Person
from hivemind.auth.role import Role
from hivemind.persistence import Database

FRESH_SECONDS = 5.0
MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody with a role. `by` names them in the audit log, `caller` where turns are counted and paid.

    `user_id` and `session` (its hash) are a person's in a browser; `csrf` is what the page sends along, and
    `issuer` the identity provider that vouches for them.
    """

    name: str
    role: Role
    by: str
    caller: str
    user_id: UUID | None = None
    email: str | None = None
    session: bytes | None = None
    csrf: str | None = None
    issuer: str | None = None


class Identities:
    """What was found counts for five seconds; a change in this process counts at once (`forget`).

    So a key that another server revokes opens this one for five seconds more at the most.
    """

    def __init__(self, database: Database, admin_api_key: str, idle_seconds: float) -> None:
        self._database = database
        self._owner = admin_api_key.encode()
        self._idle_seconds = idle_seconds
        self._changes = 0
        self._known: OrderedDict[tuple[str, bytes], tuple[float, Identity]] = OrderedDict()

    def forget(self) -> None:
        """Somebody's rights have changed: look everybody up again."""
        self._known.clear()
        self._changes += 1

    async def of_key(self, text: str) -> Identity | None:
        """Who has this API key; None where it does not count."""
        if hmac.compare_digest(text.encode("utf-8", "surrogatepass"), self._owner):
            return Identity("owner", "admin", "operator:api_key", "key:admin")
        if not text.startswith(keys.PREFIX):
            return None
        return await self._of("key", keys.hash_of(text), lambda: self._key(text))

    async def of_session(self, token: str) -> Identity | None:
        """Whose browser has this cookie; None where the session is over."""
        return await self._of("session", sessions.hash_of(token), lambda: self._session(token))

    async def of_person(self, person: Person, role: Role | None, csrf: str) -> Identity | None:
        """Who a proxy in front has named, with the role of their groups; None where they have none.

        Raises:
            NotPermitted: their account is disabled.
        """
        named = hashlib.sha256(repr((person, role)).encode("utf-8", "surrogatepass")).digest()
        return await self._of("person", named, lambda: self._person(person, role, csrf))

    async def _of(
        self, kind: str, shown: bytes, look: Callable[[], Awaitable[Identity | None]]
    ) -> Identity | None:
        now = trio.current_time()
        known = self._known.get((kind, shown))
        if known is not None and now - known[0] < FRESH_SECONDS:
            return known[1]
        changes = self._changes
        found = await look()
        if found is None or changes != self._changes:
            # What was read before somebody's rights changed is not remembered.
            self._known.pop((kind, shown), None)
            return found
        self._known[kind, shown] = (now, found)
        self._known.move_to_end((kind, shown))
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _key(self, text: str) -> Identity | None:
        row = await keys.find(self._database, text)
        if row is None:
            return None
        name: str = row["name"]
        return Identity(name, row["role"], f"operator:key:{name}", f"key:{row['id']}")

    async def _session(self, token: str) -> Identity | None:
        row = await sessions.find(self._database, token, self._idle_seconds)
        if row is None:
            return None
        name: str = row["username"]
        return Identity(
            name,
            row["role"],
            f"operator:user:{name}",
            f"user:{row['id']}",
            row["id"],
            row["email"],
            row["hash"],
            sessions.csrf_of(token),
            row["issuer"],
        )

    async def _person(self, person: Person, role: Role | None, csrf: str) -> Identity | None:
        user = await accounts.arrive(self._database, person, role)
        if user is None:
            return None
        return Identity(
            user.username,
            user.role,
            f"operator:user:{user.username}",
            f"user:{user.id}",
            user.id,
            user.email,
            csrf=csrf,
            issuer=user.issuer,
        )

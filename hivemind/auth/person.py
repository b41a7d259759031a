"""Somebody for whom an identity provider vouches, whichever way it says so."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from hivemind.auth.role import Role, covers

MAX_GROUPS = 1_000
MAX_CHARS = 255
_NAME_CHARS = 50
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._@+-]+")


@dataclass(frozen=True, slots=True)
class Person:
    """Who has signed in: `subject` is theirs for good at this issuer, the rest may change."""

    issuer: str
    subject: str
    username: str
    email: str | None = None
    groups: tuple[str, ...] = ()

    @classmethod
    def told(
        cls, issuer: str, subject: str, username: str, email: str | None, groups: tuple[str, ...]
    ) -> Self:
        """One whose name is spelled as names of accounts are, and whose texts have an end."""
        name = _NOT_IN_NAMES.sub("-", username.strip().lower()).strip("-._@+")[:_NAME_CHARS].strip("-._@+")
        return cls(
            issuer, subject, name or "somebody", email[:MAX_CHARS] if email else None, groups[:MAX_GROUPS]
        )

    @property
    def other_username(self) -> str:
        """Their name where somebody else has it already: nobody becomes another by what they are called."""
        told_apart = hashlib.sha256(f"{self.issuer}\0{self.subject}".encode()).hexdigest()
        return f"{self.username}-{told_apart[:8]}"

    def role(self, roles: Mapping[str, Role], everybody: Role | None) -> Role | None:
        """The highest role that any of their groups has; `everybody` is what one has without."""
        found = everybody
        for group in self.groups:
            role = roles.get(group)
            if role is not None and (found is None or covers(role, found)):
                found = role
        return found

"""Profiles: the configured personas that agents are instances of."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import trio

from hivemind.agents.bounds import Bounds
from hivemind.errors import NotFound
from hivemind.persistence import Database, load_queries

PUBLIC_TIER = 1
_QUERIES = load_queries("hivemind.agents", "queries.sql")


@dataclass(frozen=True, slots=True)
class Profile:
    """One row of `agent_profiles`; `tools` is by name or pattern, each with its `policy` and options."""

    id: UUID
    slug: str
    name: str
    prompt: str
    tier: int
    model: str | None
    cheaper_model: str | None
    max_input_chars: int
    max_output_tokens: int
    history_messages: int
    injection_threshold: float
    on_injection: Literal["refuse", "flag"]
    when_busy: Literal["queue", "refuse", "interrupt"]
    when_client_leaves: Literal["finish", "stop"]
    max_messages_per_minute: int | None
    bounds: Bounds
    approval_seconds: int
    on_approval_deadline: Literal["approve", "deny"]
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    documents_only: bool = False
    on_client_instructions: Literal["append", "refuse"] = "append"
    widget_origins: Sequence[str] = field(default=(), hash=False)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    archived_at: datetime | None = None

    @property
    def public(self) -> bool:
        """Whether people may talk to it without signing in."""
        return self.tier == PUBLIC_TIER

    def as_dict(self) -> dict[str, object]:
        """The profile as JSON: its row."""
        told: dict[str, object] = {}
        for name in self.__dataclass_fields__:
            told |= asdict(self.bounds) if name == "bounds" else {name: getattr(self, name)}
        return told


class Profiles:
    """The profiles as this process last read them, at most `fresh_seconds` old.

    A turn must not pay a round trip for what changes once a month; an edit is seen a moment later.
    """

    def __init__(self, database: Database, *, fresh_seconds: float = 2.0) -> None:
        self._database = database
        self._fresh_seconds = fresh_seconds
        self._by_slug: Mapping[str, Profile] = {}
        self._by_id: Mapping[UUID, Profile] = {}
        self._read_at = float("-inf")
        self._reading = trio.Lock()

    async def by_slug(self, slug: str) -> Profile:
        """The profile with this slug.

        Raises:
            NotFound: there is none, or it is archived.
        """
        await self._freshen()
        try:
            return self._by_slug[slug]
        except KeyError:
            raise NotFound(f"There is no agent named {slug!r}") from None

    async def all(self) -> tuple[Profile, ...]:
        """Those that take messages, by their slugs."""
        await self._freshen()
        return tuple(self._by_slug[slug] for slug in sorted(self._by_slug))

    def forget(self) -> None:
        """Read them anew when they are asked for: one was edited here."""
        self._read_at = float("-inf")

    async def by_id(self, profile_id: UUID) -> Profile:
        """The profile with this id.

        Raises:
            NotFound: there is none.
        """
        await self._freshen()
        try:
            return self._by_id[profile_id]
        except KeyError:
            raise NotFound("The agent's profile is gone") from None

    async def every(self) -> list[Profile]:
        """All of them, by slug."""
        await self._freshen()
        return [self._by_slug[slug] for slug in sorted(self._by_slug)]

    async def _freshen(self) -> None:
        if trio.current_time() - self._read_at < self._fresh_seconds:
            return
        async with self._reading:
            if trio.current_time() - self._read_at < self._fresh_seconds:
                return
            rows = await self._database.fetch_all(_QUERIES["profiles"], repeatable=True)
            profiles = [profile_of(row) for row in rows]
            self._by_slug = {profile.slug: profile for profile in profiles if profile.archived_at is None}
            self._by_id = {profile.id: profile for profile in profiles}
            self._read_at = trio.current_time()


def profile_of(row: Mapping[str, Any]) -> Profile:
    """A profile from its row, which may have columns that a turn does not need."""
    bounds = Bounds(**{name: row[name] for name in Bounds.__annotations__})
    rest = {name: row[name] for name in Profile.__dataclass_fields__ if name in row}
    return Profile(bounds=bounds, **rest)

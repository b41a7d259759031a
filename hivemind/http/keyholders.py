"""What the doors for those with a key have in common: the limits count by caller, and refusals are noted.

Whether a key is good is `access`; what a gate of the agent refuses, the turn writes down itself.
"""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from uuid import UUID

import trio

from hivemind.agents import Profile
from hivemind.errors import AgentBusy, NotFound, Overloaded, Refused
from hivemind.http.limits import Limiter
from hivemind.http.refusals import Refusals


class Keyholders:
    """Lets their messages in; a caller is a key, or a person who is signed in."""

    def __init__(self, limiter: Limiter, refusals: Refusals) -> None:
        self._limiter = limiter
        self._refusals = refusals

    async def counted(
        self, finding: Awaitable[Profile], caller: str, conversation_id: UUID | None = None
    ) -> Profile:
        """Count a message in the limits, whether the agent that it is for is there or not.

        Raises:
            NotFound: it is not.
            RateLimited: there were too many.
        """
        now = trio.current_time()
        try:
            profile = await finding
        except NotFound:
            self._limiter.admit(None, now, key=caller, conversation_id=conversation_id)
            raise
        self._limiter.admit(
            None,
            now,
            key=caller,
            conversation_id=conversation_id,
            profile_id=profile.id,
            per_profile=profile.max_messages_per_minute,
        )
        return profile

    @contextmanager
    def noting(self, caller: str, conversation_id: UUID | None = None) -> Iterator[None]:
        """Note what is refused before an agent has the message."""
        try:
            yield
        except Refused as refusal:
            self._refusals.note(refusal, caller, conversation_id)
            raise

    @contextmanager
    def noting_busy(self, caller: str, conversation_id: UUID | None = None) -> Iterator[None]:
        """Note where an agent takes no message, as it works or has too many: it writes nothing down."""
        try:
            yield
        except (AgentBusy, Overloaded) as busy:
            self._refusals.note(busy, caller, conversation_id)
            raise

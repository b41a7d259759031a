"""What may be said to an agent."""

from dataclasses import dataclass
from uuid import UUID

from hivemind.agents.given import Given
from hivemind.agents.profile import Profile


@dataclass(frozen=True, slots=True)
class UserMessage:
    """A person's message; answered with the `EventLog` of its turn.

    `opens` says that the conversation begins with it. `idempotency` is a scope and a key within it: the same
    pair again is the same message. `schedule_id`, and `parent_id` (whom this agent works for), say whose caps
    count besides. `given` comes from a client that keeps the conversation itself: here it ends with the turn.
    """

    text: str
    profile: Profile
    caller: str
    opens: bool
    idempotency: tuple[str, str] | None = None
    schedule_id: UUID | None = None
    parent_id: UUID | None = None
    given: Given | None = None


@dataclass(frozen=True, slots=True)
class Attach:
    """Follow a turn from its beginning; answered with its `EventLog`, whether it runs or has ended."""

    turn_id: UUID


@dataclass(frozen=True, slots=True)
class Interrupt:
    """End the turn that runs; what was streamed is paid and kept out of the history."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Look at the row again, and take up the turn that is unfinished if the agent may."""


@dataclass(frozen=True, slots=True)
class Halt:
    """Start nothing more, and do as the row says once the step under way has ended.

    `now`: the agent is being killed, whatever the row says yet. Answered with the log of the turn that ends.
    """

    now: bool = False

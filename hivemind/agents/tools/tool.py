"""What a tool is to the turn: a name and a schema for the model, and something to run.

Whether it may run is the profile's policy (`toolbox`), whether its arguments fit is `arguments`; what it
says passes the guards in the turn, so no tool has to guard itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Call:
    """What a tool is given beside its arguments.

    `id` is the effect's: the same id again is the same call, which is what makes it an idempotency key.
    `arguments` have been validated against the tool's schema.
    """

    id: UUID
    turn_id: UUID
    agent_id: UUID
    profile_id: UUID
    caller: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model is told; `failed` is an error that it can mend or work round.

    `unknown` says that nobody can tell whether the call took effect: unless its tool is repeatable, a person
    is asked before anything goes on.
    """

    text: str
    failed: bool = False
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that the model may call; `parameters` is the JSON Schema of an object.

    `run` raises nothing expected: an error of the tool is a failed `Outcome`, anything else a defect that
    ends the agent's incarnation. Cancelling it closes what it holds. `repeatable` says that it may run twice
    with the same id without harm; `outbound` that it reaches outside this installation, or might.
    `abandon` is told the id of a call that was under way when its turn ended: nobody waits for it any more,
    not even after a restart, which a cancelled `run` cannot know.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Call], Awaitable[Outcome]]
    repeatable: bool = False
    max_result_chars: int = 20_000
    timeout_seconds: float = 30.0
    outbound: bool = True
    abandon: Callable[[UUID], None] | None = None

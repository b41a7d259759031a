"""The contract between a turn and whatever a model may call.

What is written down around a call, who has to allow it and what its result is checked for is the turn's.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `id` is its idempotency key, `arguments` fit the tool's schema."""

    id: UUID
    turn_id: UUID
    agent_id: UUID
    profile_id: UUID
    caller: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model is told; `failed` is an error that it can mend or work round."""

    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool; `parameters` is the JSON Schema of an object.

    `run` raises nothing that is expected: what goes wrong is an outcome. When it is cancelled it closes what
    it holds. A `repeatable` tool may be run twice with the same id without harm.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Call], Awaitable[Outcome]]
    repeatable: bool = False
    max_result_chars: int = 20_000
    timeout_seconds: float = 30.0

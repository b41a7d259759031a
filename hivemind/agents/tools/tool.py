"""tmp"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Call:
    id: UUID
    turn_id: UUID
    agent_id: UUID
    profile_id: UUID
    caller: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Call], Awaitable[Outcome]]
    repeatable: bool = False
    max_result_chars: int = 20_000
    timeout_seconds: float = 30.0

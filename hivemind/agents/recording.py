"""What is kept of a call to the model so that its turn can be run again: what it was made with, a digest.

Messages, steps and effects are rows anyway. What they do not show is what a profile was at that time: a
frame, kept once for as many turns as are made with it. Running a turn again is `replay`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from hivemind.agents.profile import Profile
from hivemind.persistence import Database, Jsonb, load_queries
from hivemind.providers import ProviderRequest, ToolSpec

_QUERIES = load_queries("hivemind.agents", "replay.sql")
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything of a profile and its process that goes into a request."""

    prompt: str
    documents_only: bool
    max_output_tokens: int
    history_messages: int
    context_tokens: int | None
    tools: tuple[ToolSpec, ...]

    @classmethod
    def of(cls, profile: Profile, tools: tuple[ToolSpec, ...], context_tokens: int | None) -> Self:
        """As a turn begins."""
        return cls(
            profile.prompt,
            profile.documents_only,
            profile.max_output_tokens,
            profile.history_messages,
            context_tokens,
            tools,
        )

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """From its row."""
        return cls(**{**document, "tools": tuple(ToolSpec(**tool) for tool in document["tools"])})

    def as_dict(self) -> dict[str, Any]:
        """As it is stored."""
        return {**asdict(replace(self, tools=())), "tools": [asdict(tool) for tool in self.tools]}

    def dressed(self, profile: Profile) -> Profile:
        """A profile as it was."""
        return replace(
            profile,
            prompt=self.prompt,
            documents_only=self.documents_only,
            max_output_tokens=self.max_output_tokens,
            history_messages=self.history_messages,
        )


class Frames:
    """Keeps each frame once: a process that has kept it does not ask again."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        # The frame is held so that its schemas are not freed: they are told apart by their identity.
        self._kept: dict[tuple[object, ...], tuple[str, Frame]] = {}

    async def keep(self, database: Database, frame: Frame) -> str:
        """The frame's name; raises `DatabaseUnavailable` where a new one could not be kept."""
        tools = tuple((tool.name, tool.description, id(tool.parameters)) for tool in frame.tools)
        key = (
            frame.prompt,
            frame.documents_only,
            frame.max_output_tokens,
            frame.history_messages,
            frame.context_tokens,
            tools,
        )
        if (kept := self._kept.get(key)) is not None:
            return kept[0]
        document = frame.as_dict()
        name = _digest(json.dumps(document, sort_keys=True))
        await database.execute(_QUERIES["keep_frame"], (name, Jsonb(document)), repeatable=True)
        self._kept[key] = name, frame
        return name


def digest(request: ProviderRequest) -> str:
    """The same for the same question and no other."""
    parts: list[object] = [
        request.model,
        request.system,
        request.max_output_tokens,
        request.temperature,
        request.tool_choice,
        request.stop,
        [tool.name for tool in request.tools],
    ]
    for said in request.messages:
        parts += (said.role, said.text, said.tool_call_id)
        parts += [(call.id, call.name, call.arguments) for call in said.tool_calls]
    return _digest(repr(parts))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()

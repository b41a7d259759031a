"""What a client sends along, as it is stored: each part once, however often the client sends it again.

The messages are a chain: the digest of each is over its own words and the digest of the one before. A request
that goes on where the last one ended adds what is new. Reading it back is `given_of` in the database.
"""

from dataclasses import dataclass
from hashlib import sha256

import orjson

from hivemind.agents.given import Given, as_row
from hivemind.providers import ProviderMessage

Part = tuple[str, str | None, object]
"""Its digest, that of the part before it, and what it says."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """One request: `tip` is the last of its messages, `after` says how many follow the one that is answered.

    `parts` are all of it, known to the database or not.
    """

    parts: tuple[Part, ...]
    tip: str
    after: int
    instructions: str | None
    tools: str | None
    wishes: dict[str, object]

    @classmethod
    def of(cls, text: str, given: Given) -> "Transcript":
        """Of a message and what came along with it, both guarded."""
        parts: list[Part] = []
        tip: str | None = None
        for message in (*given.before, ProviderMessage("user", text), *given.after):
            tip = _add(parts, as_row(message), tip)
        assert tip is not None
        instructions = _add(parts, given.instructions) if given.instructions else None
        tools = [[tool.name, tool.description, dict(tool.parameters)] for tool in given.tools]
        return cls(
            tip=tip,
            after=len(given.after),
            instructions=instructions,
            tools=_add(parts, tools) if tools else None,
            wishes={
                "tool_choice": given.tool_choice,
                "max_output_tokens": given.max_output_tokens,
                "temperature": given.temperature,
                "stop": list(given.stop),
            },
            parts=tuple(parts),
        )


def _add(parts: list[Part], part: object, before: str | None = None) -> str:
    digest = sha256(f"{before or ''}\n".encode() + orjson.dumps(part)).hexdigest()
    parts.append((digest, before, part))
    return digest

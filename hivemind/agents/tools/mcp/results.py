"""What an MCP server offers and answers, as tools and texts of ours. Pure."""

from collections.abc import Sequence
from hashlib import sha256

import orjson
import re2
from mcp import types

from hivemind.agents.tools.tool import Outcome

MAX_NAME_CHARS = 64
MAX_DESCRIPTION_CHARS = 2_000
_NOT_A_NAME = re2.compile(r"[^a-zA-Z0-9_-]")


def name_of(server: str, tool: str) -> str:
    """`server__tool` in the letters that every provider takes; a changed name is told apart by a hash."""
    whole = f"{server}__{tool}"
    name: str = _NOT_A_NAME.sub("_", whole)
    if name == whole and len(name) <= MAX_NAME_CHARS:
        return name
    return f"{name[: MAX_NAME_CHARS - 9]}_{sha256(whole.encode()).hexdigest()[:8]}"


def description_of(tool: types.Tool) -> str:
    """What the model is told of a tool."""
    title = tool.title or (tool.annotations.title if tool.annotations is not None else None)
    text = tool.description or title or tool.name
    return text[:MAX_DESCRIPTION_CHARS]


def repeatable(tool: types.Tool) -> bool:
    """Whether the server says that a second call does no harm; the protocol's default is that it may."""
    hints = tool.annotations
    return hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)


def outcome(result: types.CallToolResult) -> Outcome:
    """A result as text; what is not text is named, never shown."""
    text = "\n\n".join(_words(block) for block in result.content)
    if not text and result.structured_content is not None:
        text = orjson.dumps(result.structured_content).decode()
    return Outcome(text.replace("\0", "") or "The tool answered nothing.", failed=bool(result.is_error))


def _words(block: types.ContentBlock) -> str:
    match block:
        case types.TextContent():
            return block.text
        case types.ImageContent() | types.AudioContent():
            return f"[{block.type}, {block.mime_type}: not shown]"
        case types.ResourceLink():
            return f"[resource {block.name}: {block.uri}]"
        case types.EmbeddedResource():
            held = block.resource
            if isinstance(held, types.TextResourceContents):
                return f"[resource {held.uri}]\n{held.text}"
            return f"[resource {held.uri}, {held.mime_type or 'of unknown type'}: not shown]"


def same(before: Sequence[types.Tool], after: Sequence[types.Tool]) -> bool:
    """Whether a server offers what it offered."""
    return [tool.model_dump() for tool in before] == [tool.model_dump() for tool in after]

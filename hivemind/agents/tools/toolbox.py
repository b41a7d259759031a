"""Which tools a profile offers its model, and whether each may run without asking.

A profile says so in its `tools`: `{"http_fetch": {"policy": "ask", "hosts": ["example.com"]},
"mcp:files/*": {"policy": "allow"}}`. What is not named there is not offered; `deny` is never offered.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol
from uuid import UUID

from hivemind.agents.tools.catalogue import Catalogue
from hivemind.agents.tools.tool import Tool

log = logging.getLogger("hivemind.agents")

Policy = Literal["allow", "ask", "deny"]
Options = Mapping[str, Any]
POLICIES: tuple[Policy, ...] = ("allow", "ask", "deny")
_MCP = "mcp:"


class Offer(Protocol):
    """What the toolbox reads of a profile."""

    @property
    def id(self) -> UUID:
        """Tells profiles apart."""

    @property
    def tools(self) -> Mapping[str, Options]:
        """Policy and options by tool or pattern."""


@dataclass(frozen=True, slots=True)
class Builtin:
    """A tool of our own: made from a profile's options, of which `mistake` says what is wrong."""

    make: Callable[[Options], Tool]
    mistake: Callable[[Options], str | None] = lambda options: unknown(options, ())


@dataclass(frozen=True, slots=True)
class _Made:
    """The tools of a profile as they were made from this `tools` and that version of the catalogue."""

    tools: Mapping[str, Options]
    version: int
    by_name: Mapping[str, tuple[Tool, Policy]]
    offered: tuple[Tool, ...]


class Toolbox:
    """Offers each profile what it names and nothing else; a turn reads it and never waits."""

    def __init__(self, builtins: Mapping[str, Builtin], catalogue: Catalogue) -> None:
        self._builtins = builtins
        self._catalogue = catalogue
        self._made: dict[UUID, _Made] = {}

    def for_profile(self, profile: Offer) -> tuple[Tool, ...]:
        """What the model is offered."""
        return self._of(profile).offered if profile.tools else ()

    def find(self, profile: Offer, name: str) -> Tool | None:
        """The tool that the model means; None where it was not offered."""
        found = self._of(profile).by_name.get(name) if profile.tools else None
        return found[0] if found is not None else None

    def policy(self, profile: Offer, name: str) -> Policy:
        """Whether a tool may run, needs a person's word, or may not."""
        found = self._of(profile).by_name.get(name) if profile.tools else None
        return found[1] if found is not None else "deny"

    def mistakes(self, tools: Mapping[str, object]) -> tuple[str, ...]:
        """What is wrong with the `tools` of a profile that is about to be saved, for whoever saves it."""
        return tuple(
            f"{pattern}: {mistake}"
            for pattern, options in tools.items()
            if (mistake := self._mistake(pattern, options)) is not None
        )

    def _mistake(self, pattern: str, options: object) -> str | None:
        if not isinstance(options, Mapping):
            return "has to be an object"
        if options.get("policy") not in POLICIES:
            return f"policy has to be one of {', '.join(POLICIES)}"
        rest = {key: value for key, value in options.items() if key != "policy"}
        if pattern.startswith(_MCP):
            server, slash, tool = pattern.removeprefix(_MCP).partition("/")
            if not server or not slash or not tool:
                return "has to be mcp:<server>/<tool>, where * stands for anything"
            return unknown(rest, ())
        builtin = self._builtins.get(pattern)
        if builtin is None:
            known = ", ".join((*sorted(self._builtins), "mcp:<server>/<tool>"))
            return f"there is no such tool; there are {known}"
        return builtin.mistake(rest)

    def _of(self, profile: Offer) -> _Made:
        made = self._made.get(profile.id)
        if made is None or made.version != self._catalogue.version or made.tools != profile.tools:
            made = self._made[profile.id] = self._make(profile)
        return made

    def _make(self, profile: Offer) -> _Made:
        by_name: dict[str, tuple[Tool, Policy]] = {}
        for name, builtin in self._builtins.items():
            options = profile.tools.get(name)
            if options is None:
                continue
            if (mistake := self._mistake(name, options)) is not None:
                log.warning("%s is not offered to profile %s: %s", name, profile.id, mistake)
            else:
                rest = {key: value for key, value in options.items() if key != "policy"}
                by_name[name] = (builtin.make(rest), options["policy"])
        for words, tool in self._catalogue.items():
            if (policy := _policy(profile.tools, words)) is not None and tool.name not in by_name:
                by_name[tool.name] = (tool, policy)
        offered = tuple(tool for tool, policy in by_name.values() if policy != "deny")
        return _Made(profile.tools, self._catalogue.version, by_name, offered)


def _policy(tools: Mapping[str, Options], words: str) -> Policy | None:
    """What the closest pattern says: the one with the most to say before its first star."""
    matching = [pattern for pattern in tools if pattern.startswith(_MCP) and fnmatchcase(words, pattern)]
    if not matching:
        return None
    closest = max(matching, key=lambda pattern: (pattern == words, len(pattern.partition("*")[0]), pattern))
    policy = tools[closest].get("policy")
    # What cannot be read is not offered.
    return policy if policy in POLICIES else "deny"


def unknown(options: Options, known: tuple[str, ...]) -> str | None:
    """What is wrong with options of which only some are known."""
    extra = sorted(set(options) - set(known))
    return f"there is no option {', '.join(extra)}" if extra else None

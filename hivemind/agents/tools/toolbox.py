"""Which tools a profile has, and what it may do with each."""

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from hivemind.agents.profile import Profile
from hivemind.agents.tools.tool import Tool

Policy = Literal["allow", "ask", "deny"]


class Toolbox:
    """The tools of this installation; a profile has those that its `tools` name, by name or by pattern.

    A name wins over a pattern, and a tool that is not named is not there.
    """

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools = {tool.name: tool for tool in tools}

    def for_profile(self, profile: Profile) -> tuple[Tool, ...]:
        """What the model is offered."""
        if not profile.tools:
            return ()
        return tuple(tool for tool in self._tools.values() if self.policy(profile, tool.name) != "deny")

    def find(self, profile: Profile, name: str) -> Tool | None:
        """A tool that the profile has; also one that it may not use, so that the refusal can say so."""
        return self._tools.get(name) if self._entry(profile, name) is not None else None

    def policy(self, profile: Profile, name: str) -> Policy:
        """What the profile may do with it."""
        entry = self._entry(profile, name)
        policy: Policy = entry.get("policy", "allow") if entry is not None else "deny"
        return policy

    def _entry(self, profile: Profile, name: str) -> Mapping[str, Any] | None:
        entry = profile.tools.get(name)
        if entry is None:
            patterns = (pattern for pattern in profile.tools if fnmatch.fnmatchcase(name, pattern))
            entry = next((profile.tools[pattern] for pattern in patterns), None)
        return entry

"""What MCP servers offer at present, by server: written by their connections, read by the toolbox.

A server that is away keeps its place: its tools stay on offer and fail in words, so that what a model was
told at the beginning of a turn stays true until its end.
"""

from collections.abc import Iterator

from hivemind.agents.tools.tool import Tool


class Catalogue:
    """Maps a pattern's words (`mcp:server/tool`) to tools; `version` changes whenever the tools do."""

    def __init__(self) -> None:
        self.version = 0
        self._servers: dict[str, dict[str, Tool]] = {}

    def put(self, server: str, tools: dict[str, Tool]) -> None:
        """Replace what a server offers; the keys are the names that the server itself uses."""
        self._servers[server] = tools
        self.version += 1

    def items(self) -> Iterator[tuple[str, Tool]]:
        """Every tool with the words that profiles name it by."""
        for server, tools in self._servers.items():
            for name, tool in tools.items():
                yield f"mcp:{server}/{name}", tool

    def __contains__(self, server: object) -> bool:
        return server in self._servers

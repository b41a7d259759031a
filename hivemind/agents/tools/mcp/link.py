"""What tools hold of a connection: the client while there is one, and otherwise why there is none.

It outlives the incarnations of its actor, so a tool that a turn was offered stays callable over a reconnect.
"""

import logging
from typing import cast
from uuid import UUID

import trio
from mcp import types
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp.types import CONNECTION_CLOSED

from hivemind.agents.tools.mcp import results
from hivemind.agents.tools.tool import Call, Outcome

log = logging.getLogger("hivemind.mcp")

_MAX_ERROR_CHARS = 300


class Link:
    """Carries calls to a server; a call whose connection ends is answered, never left waiting."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self.failures = 0
        self.last_error: str | None = None
        self.doubted = trio.Event()
        self._client: Client | None = None
        self._waiting: set[trio.CancelScope] = set()

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._client is not None

    def opened(self, client: Client) -> None:
        """Calls go through this client from now on."""
        self._client = client
        self.last_error = None
        self.doubted = trio.Event()

    def lost(self, why: str | None) -> None:
        """There is no connection any more; who waits for an answer is told."""
        self._client = None
        if why is not None:
            self.last_error = why[:_MAX_ERROR_CHARS]
        for scope in self._waiting:
            scope.cancel()

    async def call(self, tool: str, call: Call) -> Outcome:
        """Call a tool with the effect's id as idempotency key."""
        client = self._client
        if client is None:
            why = f": {self.last_error}" if self.last_error else ""
            return Outcome(f"The MCP server {self.name} is not connected{why}. Try again later.", failed=True)
        self.calls += 1
        with trio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                return await self._ask(client, tool, call.id, dict(call.arguments))
            finally:
                self._waiting.discard(scope)
        self.failures += 1
        return self._in_doubt()

    def _in_doubt(self) -> Outcome:
        return Outcome(
            f"The connection to the MCP server {self.name} was lost during the call. "
            "Whether the call took effect is not known.",
            failed=True,
            unknown=True,
        )

    async def _ask(self, client: Client, tool: str, key: UUID, arguments: dict[str, object]) -> Outcome:
        meta = cast("types.RequestParamsMeta", {"idempotencyKey": str(key)})
        try:
            return results.outcome(await client.call_tool(tool, arguments, meta=meta))
        except MCPError as error:
            self._failed(error)
            if error.code == CONNECTION_CLOSED:
                return self._in_doubt()
            return Outcome(
                f"The MCP server {self.name} refused the call: {error}"[:_MAX_ERROR_CHARS], failed=True
            )
        except Exception as error:  # noqa: BLE001 the SDK's other errors are as many as there are broken servers
            self._failed(error)
            log.warning("a call of %s at the MCP server %s failed: %r", tool, self.name, error)
            return Outcome(
                f"The MCP server {self.name} did not answer as it should. "
                "Whether the call took effect is not known.",
                failed=True,
                unknown=True,
            )

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.last_error = (str(error) or type(error).__name__)[:_MAX_ERROR_CHARS]
        # It may be one call that failed or the whole connection: its actor has a look.
        self.doubted.set()

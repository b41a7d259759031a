"""The actor that keeps the connection to one MCP server, and what it offers in the catalogue."""

import logging
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import trio
from mcp import types
from mcp.client import Client

from hivemind.actors import Actor, Exit
from hivemind.agents import gate
from hivemind.agents.tools.arguments import schema_mistake
from hivemind.agents.tools.catalogue import Catalogue
from hivemind.agents.tools.mcp import results
from hivemind.agents.tools.mcp.link import Link
from hivemind.agents.tools.mcp.transport import transport
from hivemind.agents.tools.tool import Tool
from hivemind.audit import Action, record
from hivemind.errors import DatabaseUnavailable, GuardRefused, IntegrationError, Refused
from hivemind.guards import DEFAULT_THRESHOLD, Guards
from hivemind.outbound import HttpClient
from hivemind.persistence import Database
from hivemind.settings import McpServerSettings

log = logging.getLogger("hivemind.mcp")

# How often a connection without trouble is looked at, and how long that may take. The look is a listing of
# the tools: every version of the protocol has it, and it brings what has changed.
LOOK_SECONDS = 60.0
ANSWER_SECONDS = 20.0
# A server that is run by a package runner may have to be fetched first.
CONNECT_SECONDS = 120.0
MAX_TOOLS = 500


class Connection(Actor):
    """One server: the connection breaks, the actor fails, the supervisor makes another by its policy."""

    mode = "task"
    kind: ClassVar[str] = "mcp"
    expected_errors = (IntegrationError,)

    def __init__(
        self,
        link: Link,
        server: McpServerSettings,
        catalogue: Catalogue,
        guards: Guards,
        guard_seconds: float,
        database: Database,
        http: HttpClient,
    ) -> None:
        self._link = link
        self._server = server
        self._catalogue = catalogue
        self._guards = guards
        self._guard_seconds = guard_seconds
        self._database = database
        self._http = http
        self._listed: list[types.Tool] = []
        self._refused: dict[str, str] = {}

    def on_start(self) -> None:
        """Connect without holding the tree up: a server that is away must not keep ours from starting."""
        self.spawn_task(self._keep)

    def on_exit(self, exit: Exit) -> None:  # noqa: A002 an exit is what ends an actor, as in OTP
        """Tell whoever waits for an answer."""
        self._link.lost(str(exit.error) if exit.error is not None else None)

    def facts(self) -> Mapping[str, object]:
        """Whether it is connected, what is offered and what is not, and how calls went."""
        link = self._link
        return {
            "connected": link.up,
            "tools": len(self._listed) - len(self._refused),
            "refused_tools": dict(self._refused),
            "calls": link.calls,
            "failed_calls": link.failures,
            "last_error": link.last_error,
        }

    async def _keep(self) -> None:
        try:
            await self._connect()
        except Exception as error:
            # The SDK's tasks fail in groups of groups: the innermost says what happened, and that again at
            # every attempt.
            log.debug("the connection to the MCP server %s ended", self._link.name, exc_info=error)
            raise IntegrationError(f"The MCP server {self._link.name}: {_innermost(error)}") from None

    async def _connect(self) -> None:
        with trio.CancelScope(deadline=trio.current_time() + CONNECT_SECONDS) as scope:
            async with Client(transport(self._server, self._http), message_handler=self._heard) as client:
                await self._offer(await self._list(client))
                scope.deadline = math.inf
                self._link.opened(client)
                await self._look_after(client)
        if scope.cancelled_caught:
            raise TimeoutError(f"no connection within {CONNECT_SECONDS:g} seconds")

    async def _look_after(self, client: Client) -> None:
        while True:
            with trio.move_on_after(LOOK_SECONDS):
                await self._link.doubted.wait()
            self._link.doubted = trio.Event()
            tools = await self._list(client)
            if not results.same(self._listed, tools):
                await self._offer(tools)

    async def _heard(self, message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._link.doubted.set()

    async def _list(self, client: Client) -> list[types.Tool]:
        tools: list[types.Tool] = []
        cursor: str | None = None
        with trio.fail_after(ANSWER_SECONDS):
            while len(tools) < MAX_TOOLS:
                page = await client.list_tools(cursor=cursor, cache_mode="refresh")
                tools += page.tools
                cursor = page.next_cursor
                if cursor is None:
                    return tools
        return tools[:MAX_TOOLS]

    async def _offer(self, tools: list[types.Tool]) -> None:
        self._listed = tools
        offered: dict[str, Tool] = {}
        self._refused = {}
        for tool in tools:
            mistake = await self._mistake(tool)
            if mistake is not None:
                self._refused[tool.name] = mistake
                log.warning("%s of the MCP server %s is not offered: %s", tool.name, self._link.name, mistake)
                continue
            offered[tool.name] = Tool(
                results.name_of(self._link.name, tool.name),
                results.description_of(tool),
                tool.input_schema,
                partial(self._link.call, tool.name),
                repeatable=results.repeatable(tool),
                max_result_chars=self._server.max_result_chars,
                timeout_seconds=self._server.call_timeout_seconds,
            )
        self._catalogue.put(self._link.name, offered)

    async def _mistake(self, tool: types.Tool) -> str | None:
        """Why a tool is not offered: its words are read by every model that may call it."""
        schema: dict[str, Any] = tool.input_schema
        words = f"{tool.name}\n{results.description_of(tool)}\n{_texts(schema)}"
        size = max(len(words), gate.LONG_TEXT_CHARS + 1)  # in a thread
        try:
            verdict = await gate.passed(
                self._guard_seconds, size, self._guards.check_input, words, DEFAULT_THRESHOLD
            )
        except GuardRefused as failure:
            await self._record(tool, failure, failure.detail)
            return f"its description could not be checked ({failure.code})"
        if verdict.refused:
            found = {"score": round(verdict.score, 3), "findings": gate.summary(verdict.findings)}
            await self._record(tool, GuardRefused("The description gives the model instructions"), found)
            return "its description looks like an attempt to give the model instructions"
        return await trio.to_thread.run_sync(schema_mistake, schema)

    async def _record(self, tool: types.Tool, refusal: Refused, found: Mapping[str, object]) -> None:
        detail = {
            "server": self._link.name,
            "tool": tool.name,
            "code": refusal.code,
            "reason": refusal.message,
        }
        try:
            await record(self._database, Action.TOOL_REFUSED, detail={**detail, **found})
        except DatabaseUnavailable as error:
            log.warning("that a tool is not offered could not be written down: %s", error)


def _texts(schema: object) -> str:
    """The descriptions in a schema, however deep."""
    if isinstance(schema, dict):
        own = [
            value
            for key, value in schema.items()
            if key in ("description", "title") and isinstance(value, str)
        ]
        return "\n".join((*own, *(_texts(value) for value in schema.values())))
    return "\n".join(map(_texts, schema)) if isinstance(schema, list) else ""


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__

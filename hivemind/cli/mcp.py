"""`hivemind mcp`: the agents of a running server as MCP tools over standard input and output.

It says what `/mcp` of the server says; nothing is decided here.
"""

from typing import Any, cast

import click
import trio
from mcp import types
from mcp.client import Client
from mcp.server import Server
from mcp.server.stdio import stdio_server

from hivemind.agents.tools.mcp.transport import over_http
from hivemind.cli.examples import example
from hivemind.cli.operator import Operator
from hivemind.outbound import HttpClient


@click.command(epilog=example("hivemind mcp --url http://127.0.0.1:8585"))
@click.option("--url", help="The server; by default the one of the settings.")
def mcp(url: str | None) -> None:
    """Offer the agents of the running server to an MCP client that starts this command."""
    operator = Operator.at(url)
    operator.ask("GET", "/api/v1/actors?limit=1")  # says what is wrong before the protocol begins
    trio.run(_bridge, operator)


async def _bridge(operator: Operator) -> None:
    headers = {"X-API-Key": operator.api_key}
    async with (
        HttpClient() as http,
        Client(over_http(f"{operator.base}/mcp", headers, http)) as client,
        stdio_server() as (incoming, outgoing),
    ):
        server = _server(client)
        await server.run(incoming, outgoing, server.create_initialization_options())


def _server(client: Client) -> Server[Any]:
    """A server whose every answer is the other's."""

    async def list_tools(_: Any, __: Any) -> types.ListToolsResult:
        return await client.list_tools(cache_mode="refresh")

    async def call_tool(_: Any, asked: types.CallToolRequestParams) -> types.CallToolResult:
        meta = {name: value for name, value in (asked.meta or {}).items() if name == "idempotencyKey"}
        return await client.call_tool(
            asked.name, asked.arguments, meta=cast("types.RequestParamsMeta", meta) if meta else None
        )

    async def list_resources(_: Any, __: Any) -> types.ListResourcesResult:
        return await client.list_resources(cache_mode="refresh")

    async def list_templates(_: Any, __: Any) -> types.ListResourceTemplatesResult:
        return await client.list_resource_templates(cache_mode="refresh")

    async def read_resource(_: Any, asked: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        return await client.read_resource(asked.uri, cache_mode="refresh")

    info = client.server_info
    return Server(
        "hivemind",
        version=info.version if info is not None else "",
        instructions=client.instructions,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
    )

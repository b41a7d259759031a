"""How an MCP server is reached: a process of our own, or HTTP through the one maker of HTTP connections.

The SDK brings both transports; what is ours is what goes into the process's environment and which addresses
an HTTP request may go to, redirects included.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
from mcp import StdioServerParameters
from mcp.client import Transport
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from hivemind.errors import Unreachable
from hivemind.outbound import HttpClient, Reply, Target
from hivemind.settings import McpServerSettings

MAX_JSON_BYTES = 4_000_000
MAX_EVENT_BYTES = 1_000_000


def transport(server: McpServerSettings, http: HttpClient) -> Transport:
    """The way to a server as its settings say it."""
    if server.command is not None:
        return stdio_client(parameters(server), errlog=sys.__stderr__ or sys.stderr)
    assert server.url is not None
    return over_http(
        server.url, {name: value.get_secret_value() for name, value in server.headers.items()}, http
    )


def parameters(server: McpServerSettings) -> StdioServerParameters:
    """What a process is started with.

    The SDK adds HOME, LOGNAME, PATH, SHELL, TERM and USER; of all else that is in our environment it gets
    what the owner named, and never a setting of ours.
    """
    assert server.command is not None
    passed = {name: os.environ[name] for name in server.pass_env if name in os.environ}
    given = {name: value.get_secret_value() for name, value in server.env.items()}
    return StdioServerParameters(command=server.command, args=list(server.args), env={**passed, **given})


@asynccontextmanager
async def over_http(url: str, headers: dict[str, str], http: HttpClient) -> AsyncIterator[Any]:
    """Streamable HTTP with these headers on every request."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            httpx2.AsyncClient(
                transport=_Outbound(http),
                headers={**headers, "Accept-Encoding": "identity"},
                timeout=None,
                trust_env=False,
            )
        )
        streams = streamable_http_client(url, http_client=client, max_sse_event_size=MAX_EVENT_BYTES)
        yield await stack.enter_async_context(streams)


class _Outbound(httpx2.AsyncBaseTransport):
    """Carries the SDK's requests over our own connections, under the rules for targets that those have."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request; its reply's body arrives as it is read."""
        body = await request.aread()
        headers = [
            (name, value)
            for name, value in request.headers.raw
            if name.lower() not in (b"host", b"content-length", b"transfer-encoding", b"connection")
        ]
        target = Target.parse(str(request.url))
        call = self._http.call(target, headers, body or None, method=request.method.encode())
        try:
            reply = await call.__aenter__()
        except Unreachable as error:
            raise httpx2.ConnectError(error.message, request=request) from error
        return httpx2.Response(
            reply.status, headers=reply.headers, stream=_Body(reply, call, request), request=request
        )


class _Body(httpx2.AsyncByteStream):
    """The body of a reply; closing it gives the connection back."""

    def __init__(
        self, reply: Reply, call: AbstractAsyncContextManager[Reply], request: httpx2.Request
    ) -> None:
        self._reply = reply
        self._call: AbstractAsyncContextManager[Reply] | None = call
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        events = (self._reply.header(b"content-type") or "").startswith("text/event-stream")
        size = 0
        try:
            while chunk := await self._reply.read():
                size += len(chunk)
                if size > MAX_JSON_BYTES and not events:
                    raise httpx2.ReadError(
                        f"the answer is larger than {MAX_JSON_BYTES:,} bytes", request=self._request
                    )
                yield chunk
        except Unreachable as error:
            raise httpx2.ReadError(error.message, request=self._request) from error

    async def aclose(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            await call.__aexit__(None, None, None)

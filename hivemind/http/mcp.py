"""`/mcp`: this server's agents as tools of an MCP client that has a key: streamable HTTP, no sessions."""

from collections.abc import MutableMapping
from typing import Any

import trio
from quart import Blueprint, Response, request

from hivemind.actors import ActorSystem
from hivemind.agents import Profiles
from hivemind.http.access import identity
from hivemind.http.keyholders import Keyholders
from hivemind.persistence import Database


def routes(system: ActorSystem, profiles: Profiles, database: Database, keyholders: Keyholders) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("mcp", __name__)

    @blueprint.post("/mcp")
    async def speak_mcp() -> Response:
        from hivemind.http.mcp_server import Doors, manager  # noqa: PLC0415 the SDK costs 20 MB

        data = await request.get_data(as_text=False)
        assert isinstance(data, bytes)
        exchange = Exchange(data)
        served = manager(Doors(system, profiles, database, keyholders, identity().caller))
        async with served.run():
            scope = {**request.scope, "headers": list(request.scope["headers"])}
            await served.handle_request(scope, exchange.receive, exchange.send)
        return exchange.response()

    return blueprint


class Exchange:
    """One request and its response, as ASGI hands them over."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._status = 500
        self._headers: list[tuple[bytes, bytes]] = []
        self._sent = b""

    async def receive(self) -> MutableMapping[str, Any]:
        """The body, once; after it nothing comes."""
        if self._body is None:
            await trio.sleep_forever()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Keep what is to be answered."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message.get("headers", ()))
        else:
            self._sent += message.get("body", b"")

    def response(self) -> Response:
        """The answer as Quart takes it."""
        kept = [
            (name.decode(), value.decode())
            for name, value in self._headers
            if name.lower() != b"content-length"
        ]
        response = Response(self._sent, self._status)
        response.headers.clear()
        response.headers.extend(kept)
        return response

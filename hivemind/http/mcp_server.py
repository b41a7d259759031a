"""What an MCP client sees of this server: each profile as a tool, the tree of actors as resources to read.

The SDK speaks the protocol, of every version that it knows; a call is a message like any other, so it passes
the same gates. Loaded at the first request: the SDK costs half a second and 20 MB.
"""

from typing import Annotated, Any, cast
from uuid import UUID, uuid4

import orjson
from mcp import types
from mcp.server import Server, ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from uuid_utils.compat import uuid7

from hivemind import __version__
from hivemind.actors import ActorSystem
from hivemind.agents import Profile, Profiles, Reply, UserMessage, answer
from hivemind.errors import HivemindError, InputTooLong, NotFound
from hivemind.http.keyholders import Keyholders
from hivemind.http.operators import DEFAULT_CHILDREN, node
from hivemind.persistence import Database

TREE = "hivemind://actors"
Context = ServerRequestContext[Any]

_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "message": {"type": "string", "minLength": 1, "description": "what you want of the agent"},
        "conversation_id": {
            "type": "string",
            "format": "uuid",
            "description": "to go on with a conversation; none begins another",
        },
    },
    "required": ["message"],
    "additionalProperties": False,
}


class Asked(BaseModel):
    """The arguments of a call."""

    model_config = ConfigDict(extra="forbid")

    message: Annotated[str, Field(min_length=1)]
    conversation_id: UUID | None = None


def manager(doors: "Doors") -> StreamableHTTPSessionManager:
    """Serves one request; whatever state there is, is ours and in the database."""
    server: Server[Any] = Server(
        "hivemind",
        version=__version__,
        instructions="Each tool is an agent: it answers a message, and remembers its conversation.",
        on_list_tools=doors.list_tools,
        on_call_tool=doors.call_tool,
        on_list_resources=doors.list_resources,
        on_list_resource_templates=doors.list_templates,
        on_read_resource=doors.read_resource,
    )
    return StreamableHTTPSessionManager(server, json_response=True, stateless=True)


class Doors:
    """Answers the requests of the protocol that come with one key."""

    def __init__(
        self,
        system: ActorSystem,
        profiles: Profiles,
        database: Database,
        keyholders: Keyholders,
        caller: str,
    ) -> None:
        self._system = system
        self._profiles = profiles
        self._database = database
        self._keyholders = keyholders
        self._caller = caller

    async def list_tools(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        """Every profile."""
        tools = [
            types.Tool(
                name=profile.slug,
                title=profile.name,
                description=f"Ask the agent {profile.name}.",
                input_schema=_PARAMETERS,
            )
            for profile in await self._profiles.every()
        ]
        return types.ListToolsResult(tools=tools)

    async def call_tool(self, _: Context, asked: types.CallToolRequestParams) -> types.CallToolResult:
        """A message to an agent, and its answer; what goes wrong is told as the protocol wants it."""
        try:
            said = Asked.model_validate(asked.arguments or {})
            reply = await self._answered(asked.name, said, _key(asked) or f"once-{uuid4()}")
        except HivemindError as error:
            return _told(error.message, failed=True)
        except ValidationError as error:
            return _told(str(error), failed=True)
        told = _told(reply.text)
        told.structured_content = {"reply": reply.text, "conversation_id": str(reply.conversation_id)}
        told.content.append(types.TextContent(text=f"conversation_id: {reply.conversation_id}"))
        return told

    async def list_resources(
        self, _: Context, __: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """The tree as a whole."""
        whole = types.Resource(
            uri=TREE, name="actors", description="The live tree of actors.", mime_type="application/json"
        )
        return types.ListResourcesResult(resources=[whole])

    async def list_templates(
        self, _: Context, __: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """Each actor by its address."""
        one = types.ResourceTemplate(
            uri_template=TREE + "/{+address}",
            name="actor",
            description="An actor and those below it, as agents/0198…",
            mime_type="application/json",
        )
        return types.ListResourceTemplatesResult(resource_templates=[one])

    async def read_resource(
        self, _: Context, asked: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """A part of the tree."""
        uri = str(asked.uri)
        address = uri.removeprefix(TREE) or "/"
        tree = self._system.tree(address, limit=DEFAULT_CHILDREN) if uri.startswith(TREE) else None
        if tree is None:
            raise MCPError(types.INVALID_PARAMS, f"There is no resource {uri[:200]}")
        text = orjson.dumps(node(tree), default=str).decode()
        contents = types.TextResourceContents(uri=uri, mime_type="application/json", text=text)
        return types.ReadResourceResult(contents=[contents])

    async def _answered(self, slug: str, said: Asked, key: str) -> Reply:
        agent_id = said.conversation_id
        with self._keyholders.noting(self._caller, agent_id):
            profile = await self._keyholders.counted(self._profiles.by_slug(slug), self._caller, agent_id)
            if len(said.message) > profile.max_input_chars:
                raise InputTooLong(
                    f"The message has {len(said.message)} characters; this agent takes "
                    f"{profile.max_input_chars}"
                )
        if agent_id is not None:
            await self._check_owner(agent_id, profile)
        message = UserMessage(
            said.message,
            profile,
            self._caller,
            opens=agent_id is None,
            idempotency=(f"mcp:{profile.id}:{self._caller}", key),
        )
        with self._keyholders.noting_busy(self._caller, agent_id):
            last = await answer(self._system, self._system.at(f"/agents/{agent_id or uuid7()}"), message)
        if isinstance(last, Reply):
            return last
        raise last.error

    async def _check_owner(self, agent_id: UUID, profile: Profile) -> None:
        """A conversation goes on where it began: with this agent, and with the key that began it."""
        sql = "select profile_id, caller from conversations where id = %s and erased_at is null"
        row = await self._database.fetch_one(sql, (agent_id,), repeatable=True)
        if row is None or row["profile_id"] != profile.id or row["caller"] != self._caller:
            raise NotFound("There is no such conversation with this agent")


def _key(asked: types.CallToolRequestParams) -> str | None:
    """What the client calls this call, so that it may send it twice."""
    meta = cast("dict[str, Any]", asked.meta or {})
    key = meta.get("idempotencyKey")
    return key if isinstance(key, str) and 0 < len(key) <= 200 else None


def _told(text: str, *, failed: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=failed)

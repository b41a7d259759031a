"""What operators say to an agent and what they see of its turns: JSON, SSE and WebSocket.

The same messages as public chat sends, behind the same gates of the agent; beside the answer an operator sees
the calls of tools. Which state an agent is in, and changing it, is `agents`.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import trio
from pydantic import BaseModel, ConfigDict, Field, RootModel

from hivemind.actors import ActorSystem, Address
from hivemind.agents import (
    Accepted,
    Attach,
    Delta,
    Event,
    Failed,
    Profiles,
    ToolCalled,
    ToolEnded,
    UserMessage,
    Waiting,
    answer,
    control,
    follow,
    inspection,
)
from hivemind.agents import Reply as AgentReply
from hivemind.errors import Conflict, HivemindError, InputTooLong, NotFound
from hivemind.http import bodies, problems
from hivemind.http.access import identity
from hivemind.http.lane import EventStream, Reply, Request, Route, SocketRoute, WebSocket
from hivemind.http.request import event
from hivemind.persistence import Database

PATH = "/api/v1/agents/{agent_id}"
Key = Annotated[str, Field(min_length=1, max_length=200)]
Place = tuple[UUID, int, int]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SayBody(_Body):
    """A message to an agent."""

    message: Annotated[str, Field(min_length=1)]
    idempotency_key: Key | None = None


class SayFrame(SayBody):
    """The same over a WebSocket."""

    type: Literal["message"]


class FollowFrame(_Body):
    """Follow the turn that is under way, or one by its id, after the place that was seen last."""

    type: Literal["follow"]
    turn_id: UUID | None = None
    epoch: int = -1
    seq: int = -1


class InterruptFrame(_Body):
    """End the turn that runs."""

    type: Literal["interrupt"]


class PingFrame(_Body):
    """Answered with a pong."""

    type: Literal["ping"]


class AgentFrame(
    RootModel[Annotated[SayFrame | FollowFrame | InterruptFrame | PingFrame, Field(discriminator="type")]]
):
    """What an operator may send over a WebSocket."""


class AgentStreams:
    """The handlers for one server; each asks for the role of an operator first."""

    def __init__(self, system: ActorSystem, database: Database, profiles: Profiles) -> None:
        self._system = system
        self._database = database
        self._profiles = profiles

    def routes(self) -> tuple[Route | SocketRoute, ...]:
        """What the lane serves."""
        return (
            Route("POST", f"{PATH}/messages", self.post),
            Route("GET", f"{PATH}/events", self.events),
            SocketRoute(f"{PATH}/ws", self.socket),
        )

    async def post(self, request: Request) -> Reply | EventStream:
        """One message."""
        agent_id = self.agent(request)
        body = request.parse(SayBody)
        if body.idempotency_key is None:
            body.idempotency_key = request.header(b"idempotency-key") or None
        message = await self.message(agent_id, body)
        if request.accepts("text/event-stream"):
            return EventStream(self._frames(agent_id, message, None))
        end = await answer(self._system, self.address(agent_id), message)
        if isinstance(end, Failed):
            raise end.error
        return Reply.of(_reply(end))

    async def events(self, request: Request) -> EventStream:
        """The turn that is under way, or the end of the last one; goes on after `Last-Event-ID`."""
        agent_id = self.agent(request)
        place = _place(request.header(b"last-event-id"))
        turn_id = place[0] if place else await self.turn(agent_id)
        return EventStream(self._frames(agent_id, Attach(turn_id), place[1:] if place else None))

    async def socket(self, request: Request, socket: WebSocket) -> None:
        """Messages and events both ways."""
        agent_id = self.agent(request)
        await self._run_here(agent_id)
        await _Dialogue(self, agent_id, socket).run()

    # -- what all of them do

    def agent(self, request: Request) -> UUID:
        """The agent that is meant."""
        try:
            return UUID(request.params["agent_id"])
        except ValueError:
            raise NotFound("There is no such agent") from None

    async def message(self, agent_id: UUID, body: SayBody) -> UserMessage:
        """What an operator says, as the agent takes it."""
        found = await self._run_here(agent_id)
        profile = await self._profiles.by_id(found)
        if len(body.message) > profile.max_input_chars:
            raise InputTooLong(
                f"The message has {len(body.message)} characters; this agent takes {profile.max_input_chars}"
            )
        key = body.idempotency_key or f"once-{uuid4()}"
        return UserMessage(
            body.message, profile, identity().by, opens=False, idempotency=(str(agent_id), key)
        )

    async def turn(self, agent_id: UUID) -> UUID:
        """The turn that is under way, or else the last one."""
        await self._run_here(agent_id)
        turn_id = await inspection.last_turn(self._database, agent_id)
        if turn_id is None:
            raise NotFound("The agent has had no turn yet")
        return turn_id

    async def interrupt(self, agent_id: UUID) -> None:
        """End the turn that runs or waits; audited as over HTTP."""
        await control.interrupt(self._system, self._database, agent_id, by=identity().by)

    def address(self, agent_id: UUID) -> Address:
        """Where the agent lives."""
        return self._system.at(f"/agents/{agent_id}")

    async def told(
        self, agent_id: UUID, message: UserMessage | Attach, after: tuple[int, int] | None
    ) -> AsyncGenerator[tuple[str, str, dict[str, Any]], None]:
        """Each event as its name, its id and its data.

        A turn that was not accepted raises: nothing has gone out, so the status can still say it.
        """
        turn_id = message.turn_id if isinstance(message, Attach) else None
        begun = False
        async with aclosing(follow(self._system, self.address(agent_id), message, after=after)) as followed:
            async for step in followed:
                if isinstance(step.event, Accepted | AgentReply):
                    turn_id = step.event.turn_id
                if isinstance(step.event, Failed) and not begun:
                    raise step.event.error
                begun = True
                if step.again:
                    yield "reset", f"{turn_id}.{step.epoch}.-", {"epoch": step.epoch, "seq": -1}
                place = {"epoch": step.epoch, "seq": step.seq}
                yield step.event.kind, f"{turn_id}.{step.epoch}.{step.seq}", place | _data(step.event)

    async def _frames(
        self, agent_id: UUID, message: UserMessage | Attach, after: tuple[int, int] | None
    ) -> AsyncGenerator[bytes, None]:
        async with aclosing(self.told(agent_id, message, after)) as told:
            async for name, event_id, data in told:
                yield event(name, data, event_id)

    async def _run_here(self, agent_id: UUID) -> UUID:
        """The profile of an agent that this server runs."""
        found = await inspection.agent(self._database, agent_id)
        if found["state"] == "erased":
            raise NotFound("There is no such agent")
        if found["external"]:
            raise Conflict("This agent is run by an outside daemon: the server cannot talk to it")
        profile_id = found["profile_id"]
        assert isinstance(profile_id, UUID)
        return profile_id


class _Dialogue:
    """One open socket of an operator; one frame goes out at a time."""

    def __init__(self, streams: AgentStreams, agent_id: UUID, socket: WebSocket) -> None:
        self._streams = streams
        self._agent_id = agent_id
        self._socket = socket
        self._sending = trio.Lock()

    async def run(self) -> None:
        """Take frames until the socket closes; that ends the following, not the turns."""
        async with trio.open_nursery() as nursery:
            while True:
                text = await self._socket.receive()
                try:
                    frame = bodies.parse(AgentFrame, text.encode("utf-8", "surrogatepass")).root
                    await self._take(frame, nursery)
                except HivemindError as error:
                    await self._send({"type": "error", **problems.envelope(error)})

    async def _take(
        self, frame: SayFrame | FollowFrame | InterruptFrame | PingFrame, nursery: trio.Nursery
    ) -> None:
        match frame:
            case SayFrame():
                message = await self._streams.message(self._agent_id, frame)
                nursery.start_soon(self._tell, message, None)
            case FollowFrame():
                turn_id = frame.turn_id or await self._streams.turn(self._agent_id)
                after = (frame.epoch, frame.seq) if frame.epoch >= 0 else None
                nursery.start_soon(self._tell, Attach(turn_id), after)
            case InterruptFrame():
                await self._streams.interrupt(self._agent_id)
            case PingFrame():
                await self._send({"type": "pong"})

    async def _tell(self, message: UserMessage | Attach, after: tuple[int, int] | None) -> None:
        try:
            async with aclosing(self._streams.told(self._agent_id, message, after)) as told:
                async for name, _, data in told:
                    await self._send({"type": name, **data})
        except HivemindError as error:
            await self._send({"type": "error", **problems.envelope(error)})

    async def _send(self, frame: dict[str, Any]) -> None:
        async with self._sending:
            await self._socket.send_json(frame)


def _data(happened: Event) -> dict[str, Any]:
    """What an operator sees of an event."""
    match happened:
        case Accepted(turn_id):
            return {"turn_id": turn_id}
        case Delta(text):
            return {"text": text}
        case ToolCalled(effect_id, tool, arguments):
            return {"effect_id": effect_id, "tool": tool, "arguments": arguments}
        case ToolEnded(effect_id, tool, state, outcome):
            return {"effect_id": effect_id, "tool": tool, "state": state, "outcome": outcome}
        case Waiting(effect_ids):
            return {"effect_ids": list(effect_ids)}
        case AgentReply():
            return _reply(happened)
        case Failed(error):
            return dict(problems.envelope(error))
    return {}


def _reply(reply: AgentReply) -> dict[str, Any]:
    used = reply.usage
    usage = {
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "cost_micros": used.cost_micros,
    }
    return {
        "reply": reply.text,
        "agent_id": reply.conversation_id,
        "turn_id": reply.turn_id,
        "usage": usage,
        "incomplete": reply.incomplete,
    }


def _place(last_event_id: str | None) -> Place | None:
    """Turn, epoch and number of an event's id."""
    turn, _, rest = (last_event_id or "").partition(".")
    epoch, _, seq = rest.partition(".")
    if not (epoch.isascii() and epoch.isdigit()):
        return None
    try:
        return UUID(turn), int(epoch[:18]), int(seq[:18]) if seq.isascii() and seq.isdigit() else -1
    except ValueError:
        return None

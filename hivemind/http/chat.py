"""Public chat: one message in by JSON, SSE or WebSocket, and the events of its turn out.

Handlers turn requests into messages to agents and events into bytes; what a turn does is the agents'
business.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import orjson
import trio
from pydantic import BaseModel, ConfigDict, Field, RootModel
from uuid_utils.compat import uuid7

from hivemind.actors import ActorSystem, Address
from hivemind.agents import (
    Accepted,
    Attach,
    Delta,
    Failed,
    Followed,
    Interrupt,
    Profile,
    Profiles,
    UserMessage,
    Waiting,
    answer,
    follow,
)
from hivemind.agents import Reply as AgentReply
from hivemind.errors import (
    AgentBusy,
    HivemindError,
    InputTooLong,
    InvalidRequest,
    NotFound,
    Overloaded,
    Refused,
)
from hivemind.http import bodies, problems
from hivemind.http.callers import Callers
from hivemind.http.lane import EventStream, Reply, Request, Route, SocketRoute, WebSocket
from hivemind.http.limits import Limiter
from hivemind.http.refusals import Refusals
from hivemind.http.request import event
from hivemind.http.tokens import Tokens

PATH = "/api/v1/public/agents/chat/{slug}"
Key = Annotated[str, Field(min_length=1, max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MessageBody(_Body):
    """A message; without a conversation it opens one."""

    message: Annotated[str, Field(min_length=1)]
    conversation_id: UUID | None = None
    conversation_token: str | None = None
    idempotency_key: Key | None = None


class ResumeBody(_Body):
    """Where a listener was in the stream of a turn."""

    conversation_id: UUID
    conversation_token: str
    turn_id: UUID
    epoch: int = -1
    seq: int = -1


class MessageFrame(MessageBody):
    """The same over a WebSocket."""

    type: Literal["message"]


class ResumeFrame(ResumeBody):
    """The same over a WebSocket."""

    type: Literal["resume"]


class InterruptFrame(_Body):
    """End the turn that this socket started or resumed last."""

    type: Literal["interrupt"]


class PingFrame(_Body):
    """Answered with a pong."""

    type: Literal["ping"]


class Frame(
    RootModel[Annotated[MessageFrame | ResumeFrame | InterruptFrame | PingFrame, Field(discriminator="type")]]
):
    """What a client may send over a WebSocket."""


@dataclass(frozen=True, slots=True)
class _Following:
    """A turn that a client follows, whatever it came by."""

    agent_id: UUID
    message: UserMessage | Attach
    after: tuple[int, int] | None
    stop_when_left: bool


class Chat:
    """The handlers of public chat for one server."""

    def __init__(
        self,
        system: ActorSystem,
        profiles: Profiles,
        limiter: Limiter,
        callers: Callers,
        tokens: Tokens,
        refusals: Refusals,
    ) -> None:
        self._system = system
        self._profiles = profiles
        self._limiter = limiter
        self._callers = callers
        self._tokens = tokens
        self._refusals = refusals

    def routes(self) -> tuple[Route | SocketRoute, ...]:
        """What the lane serves."""
        return (
            Route("POST", PATH, self.post),
            Route("POST", f"{PATH}/resume", self.resume),
            SocketRoute(f"{PATH}/ws", self.socket),
        )

    async def post(self, request: Request) -> Reply | EventStream:
        """One message."""
        body = request.parse(MessageBody)
        key = request.header(b"idempotency-key")
        if key is not None and body.idempotency_key is None:
            if not 1 <= len(key) <= 200:
                raise InvalidRequest("The header Idempotency-Key must have 1 to 200 characters")
            body.idempotency_key = key
        return await self._respond(request, await self.begin(request, body))

    async def resume(self, request: Request) -> Reply | EventStream:
        """The rest of a turn."""
        following = await self.take_up(request, request.parse(ResumeBody))
        return await self._respond(request, following)

    async def socket(self, request: Request, socket: WebSocket) -> None:
        """Messages and events both ways."""
        await self._profile(request)
        await _Dialogue(self, request, socket).run()

    # -- from requests to messages

    async def _profile(self, request: Request) -> Profile:
        profile = await self._profiles.by_slug(request.params["slug"])
        if not profile.public:
            # The same answer as for a slug that does not exist: what is not public is not shown to be there.
            raise NotFound(f"There is no agent named {profile.slug!r}")
        return profile

    async def begin(self, request: Request, body: MessageBody) -> _Following:
        """Let a message in: limits, profile, length, token."""
        caller = self._callers.of(request.peer, request.header(b"x-forwarded-for"))
        try:
            return await self._begin(request, caller, body)
        except Refused as refusal:
            self._refusals.note(refusal, caller, body.conversation_id)
            raise

    async def _begin(self, request: Request, caller: str, body: MessageBody) -> _Following:
        profile = await self._count(request, caller, body.conversation_id)
        if len(body.message) > profile.max_input_chars:
            raise InputTooLong(
                f"The message has {len(body.message)} characters; this agent takes {profile.max_input_chars}"
            )
        opens = body.conversation_id is None
        if body.conversation_id is None:
            agent_id, scope = uuid7(), f"{profile.id}:{caller}"
        else:
            self._tokens.check(body.conversation_id, body.conversation_token)
            agent_id, scope = body.conversation_id, str(body.conversation_id)
        # A key of our own where the client gives none: a message whose agent fails before it is accepted
        # can then be sent again without being answered twice.
        key = body.idempotency_key or f"once-{uuid4()}"
        message = UserMessage(body.message, profile, caller, opens, (scope, key))
        return _Following(agent_id, message, None, profile.when_client_leaves == "stop")

    async def take_up(self, request: Request, body: ResumeBody) -> _Following:
        """Let a listener in again."""
        caller = self._callers.of(request.peer, request.header(b"x-forwarded-for"))
        try:
            return await self._take_up(request, caller, body)
        except Refused as refusal:
            self._refusals.note(refusal, caller, body.conversation_id)
            raise

    async def _take_up(self, request: Request, caller: str, body: ResumeBody) -> _Following:
        profile = await self._count(request, caller, body.conversation_id)
        self._tokens.check(body.conversation_id, body.conversation_token)
        after = (body.epoch, body.seq) if body.epoch >= 0 else _place(request.header(b"last-event-id"))
        stop = profile.when_client_leaves == "stop"
        return _Following(body.conversation_id, Attach(body.turn_id), after, stop)

    async def _count(self, request: Request, caller: str, conversation_id: UUID | None) -> Profile:
        """Count the request in the limits; whom it is for."""
        try:
            profile = await self._profile(request)
        except NotFound:
            self._limiter.admit(caller, trio.current_time(), conversation_id=conversation_id)
            raise
        self._limiter.admit(
            caller,
            trio.current_time(),
            conversation_id=conversation_id,
            profile_id=profile.id,
            per_profile=profile.max_messages_per_minute,
        )
        return profile

    def agent(self, agent_id: UUID) -> Address:
        """Where a conversation's agent lives."""
        return self._system.at(f"/agents/{agent_id}")

    # -- from events to bytes

    async def _respond(self, request: Request, following: _Following) -> Reply | EventStream:
        if request.accepts("text/event-stream"):
            return EventStream(self._frames(following))
        with self._noting_busy(following):
            end = await answer(self._system, self.agent(following.agent_id), following.message)
        if isinstance(end, Failed):
            raise end.error
        return Reply.of(self._reply(end))

    async def _frames(self, following: _Following) -> AsyncGenerator[bytes, None]:
        async with aclosing(self.follow(following)) as followed:
            async for name, place, data in followed:
                yield event(name, {**place, **data}, f"{place['epoch']}.{place['seq']}")

    async def follow(
        self, following: _Following
    ) -> AsyncGenerator[tuple[str, dict[str, int], dict[str, Any]], None]:
        """Each event as its name, place and data; `reset` comes in where the answer starts again.

        A turn that was not accepted raises: nothing has gone out, so the status can still say it.
        """
        accepted = False
        async with aclosing(self._events(following)) as followed:
            async for step in followed:
                place = {"epoch": step.epoch, "seq": step.seq}
                if step.again:
                    yield "reset", {"epoch": step.epoch, "seq": -1}, {}
                if isinstance(step.event, Failed) and not accepted:
                    raise step.event.error
                accepted = True
                if isinstance(step.event, Accepted):
                    yield "accepted", place, self._accepted(step.event)
                elif isinstance(step.event, Delta):
                    yield "delta", place, {"text": step.event.text}
                elif isinstance(step.event, Waiting):
                    # Whether for an answer or for its agent to be let go on: which call is not the public's.
                    yield "waiting", place, {}
                elif isinstance(step.event, AgentReply):
                    yield "reply", place, self._reply(step.event)
                elif isinstance(step.event, Failed):
                    yield "error", place, dict(problems.envelope(step.event.error))

    async def _events(self, following: _Following) -> AsyncGenerator[Followed, None]:
        agent = self.agent(following.agent_id)
        ended = False
        try:
            steps = follow(self._system, agent, following.message, after=following.after)
            with self._noting_busy(following):
                async with aclosing(steps) as followed:
                    async for step in followed:
                        ended = isinstance(step.event, AgentReply | Failed)
                        yield step
        finally:
            if following.stop_when_left and not ended:
                agent.tell(Interrupt())

    @contextmanager
    def _noting_busy(self, following: _Following) -> Iterator[None]:
        """An agent that takes no message, as it works or has too many, writes nothing down: counted here."""
        try:
            yield
        except (AgentBusy, Overloaded) as busy:
            if isinstance(following.message, UserMessage):
                self._refusals.note(busy, following.message.caller, following.agent_id)
            raise

    def refused(self, error: HivemindError, peer: str, forwarded_for: str | None) -> None:
        """Count what was refused to a client anywhere at the edge."""
        self._refusals.note(error, self._callers.of(peer, forwarded_for), None)

    def _accepted(self, accepted: Accepted) -> dict[str, Any]:
        return {
            "turn_id": str(accepted.turn_id),
            "conversation_id": str(accepted.conversation_id),
            "conversation_token": self._tokens.issue(accepted.conversation_id),
        }

    def _reply(self, reply: AgentReply) -> dict[str, Any]:
        return {
            "reply": reply.text,
            "conversation_id": str(reply.conversation_id),
            "conversation_token": self._tokens.issue(reply.conversation_id),
            "turn_id": str(reply.turn_id),
            "usage": {
                "input_tokens": reply.usage.input_tokens,
                "output_tokens": reply.usage.output_tokens,
                "cost_micros": reply.usage.cost_micros,
            },
        }


class _Dialogue:
    """One open socket: any number of turns, one after another or at once; one frame goes out at a time."""

    def __init__(self, chat: Chat, request: Request, socket: WebSocket) -> None:
        self._chat = chat
        self._request = request
        self._socket = socket
        self._sending = trio.Lock()
        self._last: _Following | None = None

    async def run(self) -> None:
        """Take frames until the socket closes; that ends the following, not the turns."""
        async with trio.open_nursery() as nursery:
            while True:
                text = await self._socket.receive()
                try:
                    frame = bodies.parse(Frame, text.encode("utf-8", "surrogatepass")).root
                    following = await self._take(frame)
                except HivemindError as error:
                    await self._send({"type": "error", **problems.envelope(error)})
                else:
                    if following is not None:
                        self._last = following
                        nursery.start_soon(self._tell, following)

    async def _take(
        self, frame: MessageFrame | ResumeFrame | InterruptFrame | PingFrame
    ) -> _Following | None:
        if isinstance(frame, MessageFrame):
            return await self._chat.begin(self._request, frame)
        if isinstance(frame, ResumeFrame):
            return await self._chat.take_up(self._request, frame)
        if isinstance(frame, PingFrame):
            await self._send({"type": "pong"})
        elif self._last is not None:
            self._chat.agent(self._last.agent_id).tell(Interrupt())
        return None

    async def _tell(self, following: _Following) -> None:
        try:
            async with aclosing(self._chat.follow(following)) as followed:
                async for name, place, data in followed:
                    await self._send({"type": name, **place, **data})
        except HivemindError as error:
            await self._send({"type": "error", **problems.envelope(error)})

    async def _send(self, frame: Mapping[str, Any]) -> None:
        async with self._sending:
            await self._socket.send(orjson.dumps(frame).decode())


def _place(last_event_id: str | None) -> tuple[int, int] | None:
    """(epoch, seq) of an SSE id."""
    epoch, dot, seq = (last_event_id or "").partition(".")
    if dot and epoch.isascii() and epoch.isdigit() and seq.isascii() and seq.isdigit():
        return int(epoch[:18]), int(seq[:18])
    return None

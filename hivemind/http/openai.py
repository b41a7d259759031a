"""The OpenAI dialect: `/v1/chat/completions` and `/v1/models`, where a profile is a model.

Each request is a turn of a conversation of its own, and what it brings along goes through the same gates as
any message. How the words are read is `openai_body`, how answers and errors are told `openai_reply`.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import uuid4

import orjson
from uuid_utils.compat import uuid7

from hivemind.actors import ActorSystem, Address
from hivemind.agents import Failed, Followed, Interrupt, Profile, Profiles, UserMessage, answer, follow
from hivemind.agents import Reply as AgentReply
from hivemind.errors import HivemindError, InputTooLong, InvalidRequest, NotFound
from hivemind.http import openai_reply as told
from hivemind.http.access import Access, identity
from hivemind.http.keyholders import Keyholders
from hivemind.http.openai_body import CompletionBody
from hivemind.http.openai_reply import Completion, Telling
from hivemind.http.request import EventStream, Reply, Request

COMPLETIONS = "/v1/chat/completions"
MODELS = "/v1/models"
_MAX_KEY_CHARS = 200


class OpenAI:
    """The handlers of the dialect; whatever they refuse is told in it."""

    def __init__(
        self, system: ActorSystem, profiles: Profiles, keyholders: Keyholders, access: Access
    ) -> None:
        self._system = system
        self._profiles = profiles
        self._keyholders = keyholders
        self._access = access

    async def complete(self, request: Request) -> Reply | EventStream:
        """One completion, whole or as a stream."""
        try:
            caller = (await self._access.let_in("operator", request)).caller
            with self._keyholders.noting(caller):
                message, completion, streamed = await self._asked(request)
            agent = self._system.at(f"/agents/{uuid7()}")
            with self._keyholders.noting_busy(caller):
                if streamed:
                    return await self._stream(agent, message, completion)
                end = await answer(self._system, agent, message)
            if isinstance(end, Failed):
                raise end.error
            return Reply.of(completion.whole(end))
        except HivemindError as error:
            return told.refusal(error)

    async def models(self, request: Request) -> Reply:
        """All profiles."""
        try:
            await self._access.let_in("operator", request)
            found = [told.model(profile) for profile in await self._profiles.all()]
        except HivemindError as error:
            return told.refusal(error)
        return Reply.of({"object": "list", "data": found})

    async def model(self, request: Request) -> Reply:
        """One profile."""
        try:
            await self._access.let_in("operator", request)
            return Reply.of(told.model(await self._profile(request.params["model"])))
        except HivemindError as error:
            return told.refusal(error)

    async def _asked(self, request: Request) -> tuple[UserMessage, Completion, bool]:
        """The message for the agent, how its answer is told, and whether as a stream."""
        body = request.parse(CompletionBody)
        caller = identity().caller
        profile = await self._keyholders.counted(self._profile(body.model), caller)
        text, given = body.asks()
        if len(text) > profile.max_input_chars:
            raise InputTooLong(
                f"The message has {len(text)} characters; this agent takes {profile.max_input_chars}"
            )
        key = request.header(b"idempotency-key") or f"once-{uuid4()}"
        if len(key) > _MAX_KEY_CHARS:
            raise InvalidRequest("The header Idempotency-Key must have 1 to 200 characters")
        scope = f"openai:{profile.id}:{caller}"
        message = UserMessage(text, profile, caller, True, (scope, key), given=given)
        return message, Completion(profile.slug, usage_wanted=body.usage_wanted), bool(body.stream)

    async def _profile(self, slug: str) -> Profile:
        try:
            return await self._profiles.by_slug(slug)
        except NotFound:
            raise NotFound(f"The model {slug[:80]!r} does not exist") from None

    async def _stream(self, agent: Address, message: UserMessage, completion: Completion) -> EventStream:
        """The stream of a turn that was accepted: what is refused before that has a status of its own."""
        events = self._events(agent, message)
        first = await anext(events)
        if isinstance(first.event, Failed):
            await events.aclose()
            raise first.event.error
        return EventStream(_chunks(events, first, completion))

    async def _events(self, agent: Address, message: UserMessage) -> AsyncGenerator[Followed, None]:
        """The events of the turn; who leaves cannot come back to it, so it ends with the connection."""
        ended = False
        try:
            async with aclosing(follow(self._system, agent, message)) as followed:
                async for step in followed:
                    ended = isinstance(step.event, AgentReply | Failed)
                    yield step
        finally:
            if not ended:
                agent.tell(Interrupt())


async def _chunks(
    events: AsyncGenerator[Followed, None], first: Followed, completion: Completion
) -> AsyncGenerator[bytes, None]:
    """The events as chunks; an error in the middle is the last of them."""
    telling = Telling(completion)
    async with aclosing(events):
        try:
            for line in telling.of(first):
                yield line
            async for step in events:
                for line in telling.of(step):
                    yield line
        except HivemindError as error:
            yield b"data: " + orjson.dumps(told.error_of(error)) + b"\n\n"

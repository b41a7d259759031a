"""The client for asyncio and trio. `synchronous` is made from this file, by `make client`."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Self

import anyio
import httpx2

from hivemind.client import answers, asking, problem
from hivemind.client.answers import Agent, Approval, Cost, Directive, Event, Page, Reply
from hivemind.client.asking import Asking

TIMEOUT_SECONDS = 120.0


class AsyncHivemind:
    """Talks to one server. Without a key it may chat with public profiles, and no more."""

    def __init__(
        self, url: str, api_key: str | None = None, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """`timeout_seconds` is how long the server may be silent: an answer that is whole takes its time."""
        headers = {"X-API-Key": api_key} if api_key else {}
        self._http = httpx2.AsyncClient(base_url=url, headers=headers, timeout=timeout_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str | int | None] | None = None,
    ) -> Any:
        """Any operation of the contract; what it answers, parsed.

        Raises:
            ApiError: it was refused, or the server cannot be reached.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            response = await self._http.request(method, path, json=body, params=given)
        except httpx2.HTTPError as error:
            raise problem.unreachable(error) from error
        if not response.is_success:
            raise problem.of_response(response)
        return response.json() if response.content else None

    # -- public chat

    async def say(self, slug: str, text: str, *, after: Reply | None = None, key: str | None = None) -> Reply:
        """Say something to a public profile; the whole answer. `after`: go on in that reply's conversation.

        The same `key` again gets the first answer.
        """
        body = asking.message(text, after, key)
        return answers.read(Reply, await self.request("POST", f"{asking.CHAT}/{slug}", body))

    @asynccontextmanager
    async def stream(
        self, slug: str, text: str, *, after: Reply | None = None, key: str | None = None
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """The same as it comes: its events, the last of which is the reply; a lost connection is taken up."""
        async with aclosing(self._events(Asking(slug, asking.message(text, after, key)))) as events:
            yield events

    async def _events(self, ask: Asking) -> AsyncGenerator[Event, None]:
        while not ask.done:
            lost: httpx2.TransportError | None = None
            try:
                async with self._http.sse(ask.path, method="POST", json=ask.body) as source:
                    if not source.response.is_success:
                        await source.response.aread()
                        raise problem.of_response(source.response)
                    # To its very end: what is left of an iteration is work for the garbage collector.
                    async for sent in source:
                        event = ask.heard(sent)
                        if event is not None:
                            yield event
            except httpx2.TransportError as error:
                lost = error
            if not ask.done:
                await anyio.sleep(ask.broken(lost))
        if ask.failure is not None:
            raise ask.failure

    # -- agents

    async def agents(
        self,
        *,
        state: str | None = None,
        profile: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Agent]:
        """Agents, newest first."""
        query = {"state": state, "profile": profile, "limit": limit, "cursor": cursor}
        return answers.page(Agent, await self.request("GET", "/api/v1/agents", query=query))

    async def agent(self, agent_id: str) -> Agent:
        """One agent."""
        told = await self.request("GET", f"/api/v1/agents/{agent_id}", query={"limit": 1})
        return answers.read(Agent, told["agent"])

    async def spawn(self, profile: str) -> Agent:
        """An agent that one can talk to; for work without a person waiting see `give`."""
        told = await self.request("POST", "/api/v1/agents", {"profile": profile})
        return answers.read(Agent, told["agent"])

    async def tell(self, agent_id: str, text: str, *, key: str | None = None) -> Reply:
        """Say something to an agent; the whole answer."""
        body = asking.message(text, None, key)
        return answers.read(Reply, await self.request("POST", f"/api/v1/agents/{agent_id}/messages", body))

    async def pause(self, agent_id: str, reason: str | None = None) -> Agent:
        """Have it begin nothing more until it is resumed."""
        return await self._wish(agent_id, "pause", reason)

    async def resume(self, agent_id: str, reason: str | None = None) -> Agent:
        """Let it go on."""
        return await self._wish(agent_id, "resume", reason)

    async def stop(self, agent_id: str, reason: str | None = None) -> Agent:
        """Have it finish its step and end."""
        return await self._wish(agent_id, "stop", reason)

    async def kill(self, agent_id: str, reason: str | None = None) -> Agent:
        """End it now, with all agents below it."""
        return await self._wish(agent_id, "kill", reason)

    async def _wish(self, agent_id: str, wish: str, reason: str | None) -> Agent:
        told = await self.request("POST", f"/api/v1/agents/{agent_id}/{wish}", {"reason": reason})
        return answers.read(Agent, told["agent"])

    # -- approvals

    async def approvals(
        self, *, state: str | None = "pending", limit: int = 50, cursor: str | None = None
    ) -> Page[Approval]:
        """What agents ask people, the next deadline first."""
        query = {"state": state, "limit": limit, "cursor": cursor}
        return answers.page(Approval, await self.request("GET", "/api/v1/approvals", query=query))

    async def approve(self, approval_id: str, reason: str | None = None) -> Approval:
        """Let the call be made."""
        return await self._answer(approval_id, "approve", reason)

    async def deny(self, approval_id: str, reason: str | None = None) -> Approval:
        """Do not let the call be made."""
        return await self._answer(approval_id, "deny", reason)

    async def _answer(self, approval_id: str, answer: str, reason: str | None) -> Approval:
        told = await self.request("POST", f"/api/v1/approvals/{approval_id}/{answer}", {"reason": reason})
        return answers.read(Approval, told["approval"])

    # -- directives

    async def directives(
        self, *, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[Directive]:
        """Jobs, newest first."""
        query = {"state": state, "limit": limit, "cursor": cursor}
        return answers.page(Directive, await self.request("GET", "/api/v1/directives", query=query))

    async def directive(self, directive_id: str) -> Directive:
        """One job, with its result or failure."""
        told = await self.request("GET", f"/api/v1/directives/{directive_id}")
        return answers.read(Directive, told["directive"])

    async def give(self, profile: str, text: str, *, key: str | None = None) -> Directive:
        """Give a job. With the same `key` again it is the same job."""
        body = {"profile": profile, "text": text, "idempotency_key": key}
        told = await self.request("POST", "/api/v1/directives", body)
        return answers.read(Directive, told["directive"])

    async def done(self, directive_id: str, *, every_seconds: float = 1.0) -> Directive:
        """The job once it has ended, however it ended."""
        while True:
            found = await self.directive(directive_id)
            if found.ended:
                return found
            await anyio.sleep(every_seconds)

    async def cancel(self, directive_id: str) -> Directive:
        """Cancel a job, also while it is carried out."""
        told = await self.request("POST", f"/api/v1/directives/{directive_id}/cancel")
        return answers.read(Directive, told["directive"])

    # -- costs

    async def costs(
        self,
        *group_by: str,
        since: str | None = None,
        until: str | None = None,
        limit: int = 500,
        cursor: str | None = None,
    ) -> Page[Cost]:
        """What was spent, summed up by `day`, `profile`, `agent`, `schedule`, `caller` or `model`."""
        query = {
            "group_by": ",".join(group_by) or None,
            "since": since,
            "until": until,
            "limit": limit,
            "cursor": cursor,
        }
        return answers.page(Cost, await self.request("GET", "/api/v1/costs", query=query))

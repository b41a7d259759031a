"""Plane's API, as far as it is read: projects, states and work items, page by page.

Newer servers call them `work-items`, older ones `issues`: which one this is, is found out once.
"""

import json
import logging
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import trio

from hivemind.errors import IntegrationError, Unreachable
from hivemind.outbound import HttpClient, Target
from hivemind.plane.waiting import Pace, after_refusal
from hivemind.settings import PlaneSettings

log = logging.getLogger("hivemind.plane")

PER_PAGE = 100
MAX_PAGES = 10_000
_TIMEOUT_SECONDS = 30.0
_TRIES = 4
_LARGEST_REPLY_BYTES = 32_000_000
_REMEDIES = {
    401: "check PLANE_API_KEY",
    403: "check that the key of PLANE_API_KEY may read this project",
    404: "check PLANE_WORKSPACE and PLANE_PROJECTS",
}


class Missing(IntegrationError):
    """There is nothing at this address of Plane."""


class PlaneClient:
    """One workspace, asked no faster than it wants to be."""

    def __init__(self, client: HttpClient, settings: PlaneSettings, pace: Pace) -> None:
        self._client = client
        self._key = settings.api_key
        self._root = f"{settings.base_url}/api/v1/workspaces/{quote(settings.workspace, safe='')}/projects/"
        self._pace = pace
        self._kind: str | None = None
        self.requests = 0

    async def projects(self) -> list[str]:
        """The ids of the workspace's projects."""
        found = []
        async for page in self.pages(""):
            found += [
                str(project["id"]) for project in page if isinstance(project, dict) and project.get("id")
            ]
        return found

    async def groups(self, project: str) -> dict[str, str]:
        """The group of each state of a project, by the state's id."""
        found = {}
        async for page in self.pages(f"{quote(project, safe='')}/states/"):
            for state in page:
                if isinstance(state, dict):
                    found[str(state.get("id"))] = str(state.get("group"))
        return found

    async def items(self, project: str, **query: str) -> AsyncGenerator[list[Any], None]:
        """The work items of a project, a page at a time.

        Raises:
            IntegrationError: Plane does not answer as it should.
        """
        kind = self._kind or await self._find_kind(project)
        return self.pages(f"{quote(project, safe='')}/{kind}/", **query)

    async def item(self, project: str, item_id: str) -> Mapping[str, Any] | None:
        """One work item, or None where it is gone."""
        kind = self._kind or await self._find_kind(project)
        try:
            return await self._get(f"{quote(project, safe='')}/{kind}/{quote(item_id, safe='')}/")
        except Missing:
            return None

    async def pages(self, path: str, **query: str) -> AsyncGenerator[list[Any], None]:
        """All results below a path; a list that is not paged is one page."""
        cursors: set[str] = set()
        asked = {"per_page": str(PER_PAGE), **query}
        for _ in range(MAX_PAGES):
            document = await self._get(f"{path}?{urlencode(asked)}")
            results = document.get("results")
            if not isinstance(results, list):
                raise IntegrationError("Plane answered a list without results")
            yield results
            cursor = document.get("next_cursor")
            if not document.get("next_page_results") or not isinstance(cursor, str):
                return
            if cursor in cursors:
                raise IntegrationError("Plane's pages go round in a circle")
            cursors.add(cursor)
            asked["cursor"] = cursor
        raise IntegrationError("Plane's pages do not end")

    async def _find_kind(self, project: str) -> str:
        path = quote(project, safe="")
        for kind in ("work-items", "issues"):
            try:
                await self._get(f"{path}/{kind}/?per_page=1")
            except Missing:
                continue
            self._kind = kind
            return kind
        raise IntegrationError(f"Plane has no project {project}", remedy=_REMEDIES[404])

    async def _get(self, path: str) -> Mapping[str, Any]:
        for _ in range(_TRIES):
            await self._pace.wait()
            status, body, wait = await self._try(path)
            if wait is None:
                break
            log.info("Plane wants to be left alone for %.0f s", wait)
            await trio.sleep(wait)
        if status == 404:
            raise Missing(f"Plane has nothing at {path.partition('?')[0]}")
        if status != 200:
            raise IntegrationError(f"Plane answered with status {status}", remedy=_REMEDIES.get(status))
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        if isinstance(document, list):
            return {"results": document}
        if not isinstance(document, dict):
            raise IntegrationError("Plane answered something that is not JSON", remedy="check PLANE_BASE_URL")
        return document

    async def _try(self, path: str) -> tuple[int, bytes, float | None]:
        """Status and body, and how long to wait where it is to be asked again."""
        self.requests += 1
        key = self._key.get_secret_value() if self._key else ""
        headers = [(b"X-API-Key", key.encode()), (b"Accept", b"application/json")]
        try:
            with trio.fail_after(_TIMEOUT_SECONDS):
                target = Target.parse(self._root + path)
                async with self._client.call(target, headers, None, method=b"GET") as reply:
                    body = await reply.start(_LARGEST_REPLY_BYTES)
        except trio.TooSlowError:
            raise IntegrationError(f"Plane did not answer within {_TIMEOUT_SECONDS:.0f} s") from None
        except Unreachable as error:
            raise IntegrationError(
                f"Plane cannot be reached: {error.message}", remedy="check PLANE_BASE_URL"
            ) from error
        wait = after_refusal(reply.header, datetime.now(UTC)) if reply.status == 429 else None
        return reply.status, body, wait

"""A running server as its operator asks it: one request with the admin key, and whole lists."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

import click
import trio

from hivemind.cli import remote
from hivemind.cli.output import Document
from hivemind.errors import NotFound
from hivemind.outbound import HttpClient
from hivemind.settings_load import load

Command = TypeVar("Command", bound=Callable[..., Any])

TIMEOUT_SECONDS = 30.0
_ALL = 10_000


@dataclass(frozen=True, slots=True)
class Operator:
    """Where the server is, and the key that opens it."""

    base: str
    api_key: str = field(repr=False)

    @classmethod
    def at(cls, url: str | None) -> "Operator":
        """By the settings of the working directory, unless an address is given."""
        settings = load().settings
        return cls(remote.address(settings, url), remote.api_key(settings))

    def ask(
        self, method: str, path: str, body: object = None, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> Document:
        """The answer to one request.

        Raises:
            Unreachable: nothing answers.
            RemoteError: the server refused.
        """
        return trio.run(self._ask, method, path, body, timeout_seconds)

    def items(self, path: str, limit: int, **filters: str | None) -> list[Document]:
        """The first `limit` items of a list."""
        found: list[Document] = []
        query = {name: value for name, value in filters.items() if value is not None}
        while len(found) < limit:
            asked = urlencode(query | {"limit": str(min(limit - len(found), 500))})
            page = self.ask("GET", f"{path}?{asked}")
            found += page["items"]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        return found

    def named(self, path: str, name: str, *, by: str, noun: str) -> Document:
        """The one of a list that goes by this name or id.

        Raises:
            NotFound: there is none.
        """
        for found in self.items(path, _ALL):
            if name in (found[by], found["id"]):
                return found
        raise NotFound(f"There is no {noun} named {name!r}", remedy=f"`hivemind {noun}s` lists them")

    async def pieces(self, path: str, accept: str) -> AsyncGenerator[bytes, None]:
        """What comes from `path`, piece by piece, for as long as it comes."""
        async with HttpClient(max_connections=1) as client:
            async for piece in remote.pieces(client, self.base, path, accept, self.api_key):
                yield piece

    async def _ask(self, method: str, path: str, body: object, timeout_seconds: float) -> Document:
        async with HttpClient(max_connections=1) as client:
            status, document = await remote.ask(
                client, self.base, method, path, body, api_key=self.api_key, timeout_seconds=timeout_seconds
            )
        refused = remote.error_of(document)
        if refused is not None and status == 401:
            raise remote.not_accepted(self.base)
        if refused is not None:
            refused.remedy = refused.remedy or _fields(document)
            raise refused
        return document


def options(command: Command) -> Command:
    """The options that every verb of an operator has."""
    as_json = click.option("--json", "as_json", is_flag=True, help="Print what the server says.")
    url = click.option("--url", help="The server; by default the one of the settings.")
    decorated: Command = url(as_json(command))
    return decorated


def _fields(document: Document) -> str | None:
    fields = document["error"].get("fields")
    return "; ".join(f"{wrong['field']} {wrong['problem']}" for wrong in fields) if fields else None

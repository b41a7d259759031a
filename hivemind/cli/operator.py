"""A running server as its operator asks it: one request with the admin key, and whole lists."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

import click
import trio

from hivemind import keyfiles
from hivemind.cli import remote
from hivemind.cli.output import Document
from hivemind.errors import NotAuthenticated, Unreachable
from hivemind.outbound import HttpClient, Target
from hivemind.settings_load import load

Command = TypeVar("Command", bound=Callable[..., Any])

TIMEOUT_SECONDS = 30.0
_LARGEST_REPLY_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Operator:
    """Where the server is, and the key that opens it."""

    base: str
    api_key: str = field(repr=False)

    @classmethod
    def at(cls, url: str | None) -> "Operator":
        """By the settings of the working directory, unless an address is given."""
        settings = load().settings
        key = keyfiles.read_admin_api_key(settings.data.secrets_folder)
        return cls(remote.base_url(settings.server, url), key)

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

    async def _ask(self, method: str, path: str, body: object, timeout_seconds: float) -> Document:
        headers = [(b"Accept", b"application/json"), (b"X-API-Key", self.api_key.encode())]
        data = None
        if body is not None:
            headers.append((b"Content-Type", b"application/json"))
            data = json.dumps(body).encode()
        target = Target.parse(self.base + path)
        try:
            with trio.fail_after(timeout_seconds):
                async with (
                    HttpClient(max_connections=1) as client,
                    client.call(target, headers, data, method=method.encode()) as reply,
                ):
                    answered = await reply.start(_LARGEST_REPLY_BYTES)
        except trio.TooSlowError:
            raise Unreachable(f"no answer from {self.base} within {timeout_seconds:g} s") from None
        except Unreachable as error:
            raise Unreachable(f"no server at {self.base}: {error.message}", remedy=remote.START_IT) from error
        if reply.status == 204:
            return {}
        document = remote.parse(answered, self.base)
        refused = remote.error_of(document)
        if refused is not None and reply.status == 401:
            raise NotAuthenticated(
                f"{self.base} does not accept the admin key found here",
                remedy="run this in the server's working directory, or set HIVEMIND_DATA_SECRETS_FOLDER",
            )
        if refused is not None:
            refused.remedy = refused.remedy or _fields(document)
            raise refused
        return document


def options(command: Command) -> Command:
    """The options that every verb of an operator has."""
    as_json = click.option("--json", "as_json", is_flag=True, help="Print what the server says.")
    url = click.option("--url", help="The server; by default where the settings make it listen.")
    decorated: Command = url(as_json(command))
    return decorated


def _fields(document: Document) -> str | None:
    fields = document["error"].get("fields")
    return "; ".join(f"{wrong['field']} {wrong['problem']}" for wrong in fields) if fields else None

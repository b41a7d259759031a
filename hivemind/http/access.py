"""Who may call what: a handler says which role it needs, and this says whether the caller has it.

The key of the installation (`secrets/admin_api_key`) has every role.
"""

import hmac
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Literal, ParamSpec

from quart import Response, request

from hivemind.errors import HivemindError, NotAuthenticated
from hivemind.http.request import Request

Role = Literal["viewer", "operator", "admin"]
OPERATOR = "operator:api_key"
"""Who does what an operator does, in the words of the audit log."""

P = ParamSpec("P")
Handler = Callable[P, Awaitable[Response]]
Refused = Callable[[HivemindError, str, str | None], None]
"""Takes note of what was refused, to which peer, with which `X-Forwarded-For`."""


class Access:
    """Refuses a request before its handler runs; what it cannot check it refuses."""

    def __init__(self, admin_api_key: str, refused: Refused) -> None:
        self._expected = admin_api_key.encode()
        self._refused = refused

    def let_in(self, role: Role, asked: Request, key: str | None = None) -> None:
        """Raise `NotAuthenticated` unless a request on the lane has a valid key with the role.

        `key` is what it has where that is not the usual header.
        """
        key = key or asked.header(b"x-api-key")
        self._check(role, key, asked.peer, asked.header(b"x-forwarded-for"))

    def _check(self, role: Role, key: str | None, peer: str, forwarded_for: str | None) -> None:
        del role
        if hmac.compare_digest((key or "").encode("utf-8", "surrogatepass"), self._expected):
            return
        error = NotAuthenticated(
            "This API key is not valid" if key else "This needs an API key",
            remedy="send the header X-API-Key with the key from secrets/admin_api_key",
        )
        self._refused(error, peer, forwarded_for)
        raise error

    def requires(self, role: Role) -> Callable[[Handler[P]], Handler[P]]:
        """A decorator: the handler runs only for callers who have this role.

        Raises (in the request):
            NotAuthenticated: there is no key, or it is not valid.
        """

        def guard(handler: Handler[P]) -> Handler[P]:
            @wraps(handler)
            async def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
                headers = request.headers
                peer, forwarded_for = request.remote_addr or "", ", ".join(headers.getlist("X-Forwarded-For"))
                self._check(role, headers.get("X-API-Key"), peer, forwarded_for)
                return await handler(*args, **kwargs)

            return guarded

        return guard

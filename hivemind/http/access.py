"""Who may call what: a handler says which role it needs, and this says whether the caller has it.

The key of the installation (`secrets/admin_api_key`) has every role.
"""

import hmac
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Literal, ParamSpec

from quart import Response, request

from hivemind.errors import NotAuthenticated

Role = Literal["viewer", "operator", "admin"]
OPERATOR = "operator:api_key"
"""Who does what an operator does, in the words of the audit log."""

P = ParamSpec("P")
Handler = Callable[P, Awaitable[Response]]


class Access:
    """Refuses a request before its handler runs; what it cannot check it refuses."""

    def __init__(self, admin_api_key: str) -> None:
        self._expected = admin_api_key.encode()

    def check(self, role: Role, key: str | None) -> None:
        """Raise `NotAuthenticated` unless the key is valid and has the role."""
        del role
        if not hmac.compare_digest((key or "").encode("utf-8", "surrogatepass"), self._expected):
            raise NotAuthenticated(
                "This API key is not valid" if key else "This needs an API key",
                remedy="send the header X-API-Key with the key from secrets/admin_api_key",
            )

    def requires(self, role: Role) -> Callable[[Handler[P]], Handler[P]]:
        """A decorator: the handler runs only for callers who have this role.

        Raises (in the request):
            NotAuthenticated: there is no key, or it is not valid.
        """

        def guard(handler: Handler[P]) -> Handler[P]:
            @wraps(handler)
            async def guarded(*args: P.args, **kwargs: P.kwargs) -> Response:
                self.check(role, request.headers.get("X-API-Key"))
                return await handler(*args, **kwargs)

            return guarded

        return guard

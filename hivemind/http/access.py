"""Who may call what: one gate before every handler, by the table of `roles`.

Somebody shows a key (`X-API-Key: hm-…`, or as a bearer token) or a session (the cookie `hm_session`). What
cannot be checked is refused. A change that comes with a cookie has to prove that our own page asked for it.
"""

import hmac
import re
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

import trio
from quart import Quart, Response, request
from quart import Request as QuartRequest

from hivemind.auth import Identities, Identity, Role, covers
from hivemind.auth.forward import HEADERS, Forward
from hivemind.errors import DatabaseUnavailable, HivemindError, NotAuthenticated, NotPermitted
from hivemind.http.callers import parse_address
from hivemind.http.lane import Handler, Route, SocketHandler, SocketRoute
from hivemind.http.request import EventStream, Reply, Request
from hivemind.http.roles import ROUTES
from hivemind.http.websocket import WebSocket

Refused = Callable[[HivemindError, str, str | None], None]
"""Takes note of what was refused, to which peer, with which `X-Forwarded-For`."""

COOKIE = "hm_session"
LOOK_AGAIN_SECONDS = 15.0
"""What is open outlives the right to it by no more than this."""
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_CONVERTER = re.compile(r"<(?:[^:>(]+(?:\([^)]*\))?:)?(\w+)>")

_identity: ContextVar[Identity] = ContextVar("identity")


def identity() -> Identity:
    """Who sent the request at hand; only in handlers whose route asks for a role."""
    return _identity.get()


class Access:
    """Refuses a request before its handler runs; a handler that runs has an `identity`."""

    def __init__(
        self,
        identities: Identities,
        refused: Refused,
        forward: Forward | None = None,
    ) -> None:
        """`forward`: a proxy in front says who somebody is."""
        self._identities = identities
        self._refused = refused
        self._forward = forward

    def guarded(self, route: Route | SocketRoute) -> Route | SocketRoute:
        """A route of the lane behind the gate; one that is open stays as it is, and costs nothing."""
        if isinstance(route, SocketRoute):
            role = ROUTES[f"WS {route.path}"]
            return route if role is None else SocketRoute(route.path, self._socket(role, route.handler))
        role = ROUTES[f"{route.method} {route.path}"]
        return route if role is None else Route(route.method, route.path, self._handler(role, route.handler))

    def install(self, app: Quart) -> None:
        """Put the gate before everything behind the lane.

        Raises:
            LookupError: a route is not in the table.
        """
        roles = {}
        for rule in app.url_map.iter_rules():
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                pattern = _CONVERTER.sub(r"{\1}", rule.rule)
                roles[rule.rule, method] = ROUTES[f"{method} {pattern}"]

        async def gate() -> Response | None:
            rule = request.url_rule
            if rule is None or request.method == "OPTIONS":
                return None
            method = "GET" if request.method == "HEAD" else request.method
            role = roles[rule.rule, method]
            if role is not None:
                await self.let_in(role, whole(request))
            return None

        app.before_request(gate)

    async def let_in(self, role: Role, asked: Request, *, opens_socket: bool = False) -> Identity:
        """The identity behind a request, which from here on is that of its task.

        Raises:
            NotAuthenticated: nothing is shown, or it does not count.
            NotPermitted: the role is not enough, or a page of another site may have asked.
        """
        try:
            who = await self.of(asked)
            if who.csrf is not None and (opens_socket or asked.method not in _READS):
                _asked_by_our_page(asked, who, opens_socket=opens_socket)
            _may(who, role)
        except (NotAuthenticated, NotPermitted) as error:
            self._refused(error, asked.peer, asked.header(b"x-forwarded-for"))
            raise
        _identity.set(who)
        return who

    async def _keep_on(self, role: Role, asked: Request) -> None:
        """Look again and again, for as long as something is open, whether who opened it still may.

        Raises:
            NotAuthenticated: the session or the key has ended.
            NotPermitted: the role is not enough any more.
        """
        while True:
            await trio.sleep(LOOK_AGAIN_SECONDS)
            # With the database away nothing is known: what is open stays until it is.
            with suppress(DatabaseUnavailable):
                _may(await self.of(asked), role)

    async def of(self, asked: Request) -> Identity:
        """Who shows what counts; a key goes before a cookie.

        Raises:
            NotAuthenticated: nobody does.
        """
        key = shown_key(asked)
        if key:
            found = await self._identities.of_key(key)
            what = "This API key is not valid"
        elif self._forward is not None:
            found = await self._named(self._forward, asked)
            what = "The identity provider in front has not said who this is, or not with a role"
        else:
            token = cookie(asked)
            found = await self._identities.of_session(token) if token else None
            what = "The session is over" if token else "This needs an API key or a session"
        if found is None:
            raise NotAuthenticated(
                what,
                remedy="sign in, or send the header X-API-Key with a key such as secrets/admin_api_key holds",
            )
        return found

    async def _named(self, forward: Forward, asked: Request) -> Identity | None:
        """Who the proxy says this is.

        Raises:
            NotPermitted: somebody else says it, or their account is disabled.
        """
        if not any(asked.header(name) for name in HEADERS):
            return None
        if not forward.believes(parse_address(asked.peer)):
            raise NotPermitted(
                "Identity headers are believed from the proxy in front only",
                remedy="name its network in HIVEMIND_FORWARD_AUTH_TRUSTED_NETS",
            )
        if any(sum(name == shown for shown, _ in asked.raw_headers) > 1 for name in HEADERS):
            # One of them is the client's own: joined, it would put a group of its choice before the proxy's.
            raise NotPermitted(
                "An identity header came twice",
                remedy="have the proxy replace these headers, not add to them",
            )
        person = forward.person(asked.header)
        if person is None:
            return None
        return await self._identities.of_person(person, forward.role(person), forward.csrf(person))

    def _handler(self, role: Role, handler: Handler) -> Handler:
        async def let_in(asked: Request) -> Reply | EventStream:
            await self.let_in(role, asked)
            reply = await handler(asked)
            if isinstance(reply, EventStream):
                reply.guard = partial(self._keep_on, role, asked)
            return reply

        return let_in

    def _socket(self, role: Role, handler: SocketHandler) -> SocketHandler:
        async def let_in(asked: Request, socket: WebSocket) -> None:
            await self.let_in(role, asked, opens_socket=True)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_on, role, asked)
                await handler(asked, socket)
                nursery.cancel_scope.cancel()

        return let_in


def whole(asked: QuartRequest) -> Request:
    """A request behind the lane as the lane has it, without its body."""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in asked.headers
    ]
    return Request(asked.method, asked.path, {}, headers, peer=asked.remote_addr or "")


def shown_key(asked: Request) -> str | None:
    """The API key that a request shows, in either of its two places."""
    if key := asked.header(b"x-api-key"):
        return key
    kind, _, token = (asked.header(b"authorization") or "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def cookie(asked: Request, name: str = COOKIE) -> str | None:
    """The value of a cookie."""
    text = asked.header(b"cookie")
    if not text or name not in text:
        return None
    try:
        found = SimpleCookie(text.replace(", ", "; ")).get(name)
    except CookieError:
        return None
    return found.value if found else None


def _may(who: Identity, role: Role) -> None:
    if not covers(who.role, role):
        raise NotPermitted(f"This needs the role {role}; {who.name} has {who.role}")


def _asked_by_our_page(asked: Request, who: Identity, *, opens_socket: bool) -> None:
    """A browser sends the cookie along whoever asks: these two it does not."""
    origin = asked.header(b"origin")
    if (origin is not None or opens_socket) and not _is_own(origin or "", asked):
        raise NotPermitted("This came from a page of another site", remedy="use the pages of this server")
    sent = asked.header(b"x-csrf-token") or ""
    if not opens_socket and not hmac.compare_digest(sent.encode(), (who.csrf or "").encode()):
        raise NotPermitted(
            "The header X-CSRF-Token does not fit the session",
            remedy="GET /auth/me tells the token: reload the page",
        )


def _is_own(origin: str, asked: Request) -> bool:
    """Whether an `Origin` names the host that was asked; a proxy has to pass that on."""
    try:
        host = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    named = (asked.header(b"host") or "").lower()
    return bool(host) and host == named

"""`/auth`: the first account, signing in with a password, signing out, and who one is."""

import logging
from typing import Annotated

import trio
from pydantic import BaseModel, ConfigDict, StringConstraints
from quart import Blueprint, Response, request
from werkzeug.sansio.response import Response as AnyResponse

from hivemind.audit import Action, record
from hivemind.auth import Identities, Identity, accounts, sessions
from hivemind.auth.accounts import User
from hivemind.auth.attempts import Attempts
from hivemind.auth.issuer import Issuer
from hivemind.auth.sessions import Opened
from hivemind.errors import (
    AlreadyRegistered,
    Conflict,
    IdentityProviderUnavailable,
    NotAuthenticated,
    NotPermitted,
    PasswordsOff,
    RateLimited,
)
from hivemind.http.access import COOKIE, Access, cookie, identity, whole
from hivemind.http.bodies import answer, sent
from hivemind.http.callers import Callers
from hivemind.persistence import Database
from hivemind.settings import AuthSettings

log = logging.getLogger("hivemind.auth")

PREFIX = "/auth"
_FREE_BY_ACCOUNT, _FREE_BY_CALLER = 5, 20

Name = Annotated[str, StringConstraints(max_length=200)]
Password = Annotated[str, StringConstraints(max_length=1_000)]
Email = Annotated[str, StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]


class Body(BaseModel):
    """What is not known is a mistake of the caller's."""

    model_config = ConfigDict(extra="forbid")


class RegisterBody(Body):
    """The first account."""

    username: Name
    password: Password
    email: Email | None = None


class LoginBody(Body):
    """Who, and the proof."""

    username: Name
    password: Password


class PasswordBody(Body):
    """The password that counts, and the one that is to."""

    current: Password
    new: Password


class SignIn:
    """Opens and ends sessions; a wrong name and a wrong password look the same and take the same work."""

    def __init__(
        self,
        database: Database,
        identities: Identities,
        access: Access,
        callers: Callers,
        settings: AuthSettings,
        issuer: Issuer | None = None,
    ) -> None:
        """`issuer`: where people may sign in besides."""
        self._database = database
        self._identities = identities
        self._access = access
        self._callers = callers
        self._settings = settings
        self._issuer = issuer
        self._by_account = Attempts(_FREE_BY_ACCOUNT)
        self._by_caller = Attempts(_FREE_BY_CALLER)

    def routes(self) -> Blueprint:
        """The routes as Quart takes them."""
        blueprint = Blueprint("auth", __name__)
        blueprint.get(f"{PREFIX}/state")(self.state)
        blueprint.post(f"{PREFIX}/register")(self.register)
        blueprint.post(f"{PREFIX}/login")(self.login)
        blueprint.post(f"{PREFIX}/logout")(self.logout)
        blueprint.get(f"{PREFIX}/me")(self.me)
        blueprint.post(f"{PREFIX}/password")(self.change_password)
        return blueprint

    async def state(self) -> Response:
        """Which ways in there are."""
        first_run = await accounts.is_first_run(self._database)
        return answer(
            {
                "first_run": first_run,
                "forward_auth": self._settings.forward_auth,
                "oidc": self._issuer.name if self._issuer else None,
            }
        )

    async def register(self) -> Response:
        """Make the first account, once, and sign it in."""
        self._local_only()
        body = await sent(RegisterBody)
        if not await accounts.is_first_run(self._database):
            raise AlreadyRegistered  # before the work of hashing
        made = await accounts.register(self._database, body.username, body.password, body.email)
        return await self._signed_in(made, 201)

    async def login(self) -> Response:
        """Sign in with name and password."""
        self._local_only()
        body = await sent(LoginBody)
        caller = self.caller()
        now, name = trio.current_time(), accounts.spelled(body.username)
        self._wait(name, caller, now)
        self._by_account.miss(name, now)
        self._by_caller.miss(caller, now)
        found = await accounts.proven(self._database, body.username, body.password)
        if found is None:
            await record(self._database, Action.SIGN_IN_REFUSED, caller=caller, detail={"user": name[:64]})
            raise NotAuthenticated(
                "The name or the password is wrong", remedy="try again, or ask an admin for a new one"
            )
        self._by_account.forgive(name)
        self._by_caller.forgive(caller)
        return await self._signed_in(found, 200)

    async def logout(self) -> Response:
        """End the session of this browser; without one there is nothing to do.

        Who signed in at an identity provider is still signed in there: `continue_at` ends that too.
        """
        asked = whole(request)
        continue_at = None
        if cookie(asked):
            try:
                who = await self._access.let_in("viewer", asked)
            except NotAuthenticated:
                who = None
            if who is not None and who.session is not None:
                await sessions.end(self._database, who.session)
                self._identities.forget()
                continue_at = await self._sign_out_url(who)
        response = answer({"continue_at": continue_at})
        response.delete_cookie(COOKIE, path="/", secure=self.is_secure(), httponly=True, samesite="Lax")
        return response

    async def me(self) -> Response:
        """Who is asking, and what their page has to send along with a change."""
        return answer(_told(identity()))

    async def change_password(self) -> Response:
        """Another password for oneself; the other sessions end."""
        self._local_only()
        who = identity()
        if who.user_id is None or who.session is None:
            raise Conflict("Only a person who has signed in has a password")
        body = await sent(PasswordBody)
        now = trio.current_time()
        self._wait(who.name, self.caller(), now)
        self._by_account.miss(who.name, now)
        done = await accounts.change_password(
            self._database, who.user_id, body.current, body.new, keep=who.session, by=who.by
        )
        if not done:
            raise NotPermitted("The current password is wrong")
        self._by_account.forgive(who.name)
        self._identities.forget()
        return Response(b"", 204)

    async def open(self, user: User) -> tuple[Opened, Identity]:
        """Open a session of an account.

        Raises:
            NotAuthenticated: the account has changed meanwhile.
        """
        opened = await sessions.begin(
            self._database,
            user.id,
            user.epoch,
            self._settings.session_seconds,
            caller=self.caller(),
            user_agent=request.headers.get("User-Agent"),
        )
        who = await self._identities.of_session(opened.token)
        if who is None:
            raise NotAuthenticated("The account has changed meanwhile", remedy="sign in again")
        return opened, who

    def keep(self, opened: Opened, response: AnyResponse) -> None:
        """Have the browser keep the session."""
        response.set_cookie(
            COOKIE,
            opened.token,
            path="/",
            expires=opened.expires_at,
            secure=self.is_secure(),
            httponly=True,
            samesite="Lax",
        )

    def caller(self) -> str:
        """The keyed hash of the address that asks."""
        forwarded_for = ", ".join(request.headers.getlist("X-Forwarded-For"))
        return self._callers.of(request.remote_addr or "", forwarded_for or None)

    def is_secure(self) -> bool:
        """Whether the browser came over TLS, as the public address or a proxy that is believed says."""
        if self._settings.public_url is not None:
            return self._settings.public_url.startswith("https://")
        believed = self._callers.believes(request.remote_addr or "")
        return believed and request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"

    async def _signed_in(self, user: User, status: int) -> Response:
        opened, who = await self.open(user)
        response = answer(_told(who), status)
        self.keep(opened, response)
        return response

    async def _sign_out_url(self, who: Identity) -> str | None:
        if self._issuer is None or who.issuer != self._issuer.issuer:
            return None
        try:
            return await self._issuer.sign_out_url()
        except IdentityProviderUnavailable as error:
            log.warning("signed out here only: %s", error.message)
            return None

    def _wait(self, name: str, caller: str, now: float) -> None:
        wait = max(self._by_account.wait_seconds(name, now), self._by_caller.wait_seconds(caller, now))
        if wait > 0:
            raise RateLimited("Too many wrong passwords: wait a little", retry_after_seconds=wait)

    def _local_only(self) -> None:
        if self._settings.forward_auth:
            raise PasswordsOff


def _told(who: Identity) -> dict[str, object]:
    user = {"id": who.user_id, "username": who.name, "role": who.role, "email": who.email}
    return {"user": user, "csrf_token": who.csrf}

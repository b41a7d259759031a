"""`/auth/oidc`: signing in at the identity provider of the organisation, by OpenID Connect."""

import logging
import time
from urllib.parse import urlencode

import trio
from quart import Blueprint, redirect, request
from werkzeug.sansio.response import Response

from hivemind.audit import Action, record
from hivemind.auth import Identities, accounts
from hivemind.auth.accounts import User
from hivemind.auth.attempts import Attempts
from hivemind.auth.issuer import Issuer
from hivemind.auth.openid import SIGN_IN_SECONDS, Pending
from hivemind.errors import HivemindError, NotFound, NotPermitted, RateLimited
from hivemind.http import problems
from hivemind.http.access import cookie, whole
from hivemind.http.sign_in import PREFIX, SignIn
from hivemind.http.ui.shell import next_page
from hivemind.persistence import Database
from hivemind.settings import AuthSettings

log = logging.getLogger("hivemind.auth")

PATH = f"{PREFIX}/oidc"
PENDING = "hm_oidc"
_FREE_BY_CALLER = 20


class OpenId:
    """Sends browsers to the provider and takes them back, with a session of ours.

    What a browser is refused is told on the sign-in page, by its code; anything else gets the envelope.
    """

    def __init__(
        self,
        database: Database,
        identities: Identities,
        sign_in: SignIn,
        issuer: Issuer | None,
        settings: AuthSettings,
        secret: bytes,
    ) -> None:
        """`secret` signs what a browser keeps of a sign-in that is under way."""
        self._database = database
        self._identities = identities
        self._sign_in = sign_in
        self._configured = issuer
        self._settings = settings
        self._secret = secret
        self._by_caller = Attempts(_FREE_BY_CALLER)

    def routes(self) -> Blueprint:
        """The routes as Quart takes them."""
        blueprint = Blueprint("openid", __name__)
        blueprint.get(f"{PATH}/login")(self.login)
        blueprint.get(f"{PATH}/callback")(self.callback)
        return blueprint

    async def login(self) -> Response:
        """Send the browser to the provider."""
        onward = next_page(request.args.get("next"))
        pending = Pending.begin(onward, time.time())
        try:
            response: Response = redirect(await self._issuer.sign_in_url(pending), 303)
        except HivemindError as error:
            return self._refused(error, onward)
        response.set_cookie(
            PENDING,
            pending.sealed(self._secret),
            max_age=int(SIGN_IN_SECONDS),
            path=PATH,
            secure=self._sign_in.is_secure(),
            httponly=True,
            samesite="Lax",
        )
        return _once(response)

    async def callback(self) -> Response:
        """Open a session for who comes back from there."""
        issuer, onward = self._issuer, "/"
        try:
            pending = Pending.opened(cookie(whole(request), PENDING), self._secret, time.time())
            onward = pending.onward
            user = await self._arrived(issuer, pending)
            response: Response = redirect(onward, 303)
            opened, _ = await self._sign_in.open(user)
            self._sign_in.keep(opened, response)
        except HivemindError as error:
            log.warning("a sign-in by OpenID Connect failed: %s", error.message)
            detail: dict[str, object] = {"way": "oidc", "reason": error.message}
            await record(self._database, Action.SIGN_IN_REFUSED, caller=self._sign_in.caller(), detail=detail)
            response = self._refused(error, onward)
        response.delete_cookie(
            PENDING, path=PATH, secure=self._sign_in.is_secure(), httponly=True, samesite="Lax"
        )
        return _once(response)

    async def _arrived(self, issuer: Issuer, pending: Pending) -> User:
        caller, now = self._sign_in.caller(), trio.current_time()
        if (wait := self._by_caller.wait_seconds(caller, now)) > 0:
            raise RateLimited("Too many sign-ins that failed: wait a little", retry_after_seconds=wait)
        self._by_caller.miss(caller, now)
        person = await issuer.person(pending, request.args)
        role = person.role(self._settings.group_roles, self._settings.default_role)
        user = await accounts.arrive(self._database, person, role)
        self._identities.forget()
        if user is None:
            raise NotPermitted(
                f"None of the groups of {person.username} has a role here",
                remedy="an admin maps groups in `auth.group_roles`, or makes an account for this subject",
            )
        self._by_caller.forgive(caller)
        return user

    @property
    def _issuer(self) -> Issuer:
        if self._configured is None:
            raise NotFound("Nobody signs in by OpenID Connect here", remedy="an admin sets `oidc.issuer`")
        return self._configured

    def _refused(self, error: HivemindError, onward: str) -> Response:
        if request.accept_mimetypes.best_match(("application/json", "text/html")) != "text/html":
            return problems.response(error)
        return redirect(f"/sign-in?{urlencode({'refused': error.code, 'next': onward})}", 303)


def _once(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response

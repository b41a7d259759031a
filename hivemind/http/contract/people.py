"""Signing in, accounts and keys."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hivemind.auth import Role
from hivemind.auth.keys import ApiKey
from hivemind.errors import (
    AlreadyRegistered,
    Conflict,
    IdentityProviderUnavailable,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    PasswordsOff,
    RateLimited,
    SignInFailed,
)
from hivemind.http import api_keys, sign_in, users
from hivemind.http.contract.operation import NONE, PAGE, Answer, Group, Operation, Parameter, listed, says

USER = "/api/v1/users/{user_id}"
KEY = "/api/v1/api-keys/{key_id}"


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks; a key has no id."""

    id: UUID | None
    username: str
    role: Role
    email: str | None


@dataclass(frozen=True, slots=True)
class User:
    """An account, without anything that proves who it is.

    With an `issuer` somebody signs in there; `bound`: an admin has said the role, not their groups.
    """

    id: UUID
    username: str
    email: str | None
    role: Role
    issuer: str | None
    subject: str | None
    bound: bool
    disabled_at: datetime | None
    signed_in_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that somebody is signed in with; `caller` is the keyed hash of its address."""

    id: UUID
    caller: str | None
    user_agent: str | None
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


_WHO = {"user": Person, "csrf_token": str | None}
_USER = {"user": User}
_MADE = {"api_key": ApiKey, "key": str}

SIGN_IN = Group(
    "Signing in",
    "Accounts of people. A session is the cookie `hm_session`; a change that comes with it needs the header "
    "`X-CSRF-Token`.",
    (
        Operation(
            "GET /auth/state",
            "Which ways in there are",
            says({"first_run": bool, "forward_auth": bool, "oidc": str | None}),
            told="`oidc` is the name of the identity provider, where there is one.",
        ),
        Operation(
            "POST /auth/register",
            "Make the first account, an admin, once",
            says(_WHO, "It is there, and signed in.", 201),
            body=sign_in.RegisterBody,
            refuses=(AlreadyRegistered, PasswordsOff),
            example={"username": "ada", "password": "a long sentence is best"},
        ),
        Operation(
            "POST /auth/login",
            "Sign in with name and password",
            says(_WHO, "Signed in; the answer sets the cookie."),
            body=sign_in.LoginBody,
            refuses=(NotAuthenticated, PasswordsOff, RateLimited),
            example={"username": "ada", "password": "a long sentence is best"},
        ),
        Operation(
            "POST /auth/logout",
            "End the session",
            says({"continue_at": str | None}, "Ended; go there to sign out at the identity provider too."),
            refuses=(NotPermitted,),
        ),
        Operation(
            "GET /auth/oidc/login",
            "Sign in at the identity provider",
            {303: Answer("To the provider; a browser that is refused goes to the sign-in page.")},
            query=(Parameter("next", str, "A page of this server to come back to."),),
            refuses=(NotFound, IdentityProviderUnavailable),
        ),
        Operation(
            "GET /auth/oidc/callback",
            "Come back from there",
            {303: Answer("Signed in, and onward.")},
            refuses=(NotFound, SignInFailed, NotPermitted, RateLimited, IdentityProviderUnavailable),
            told="The redirect URI to register at the provider.",
        ),
        Operation("GET /auth/me", "Who one is", says(_WHO)),
        Operation(
            "POST /auth/password",
            "Another password for oneself",
            NONE,
            body=sign_in.PasswordBody,
            refuses=(Conflict, PasswordsOff, RateLimited),
            told="The other sessions end.",
            example={"current": "a long sentence is best", "new": "another long sentence"},
        ),
    ),
)
USERS = Group(
    "People",
    "Accounts and their sessions.",
    (
        Operation("GET /api/v1/users", "Accounts, by name", listed(User), query=PAGE),
        Operation(
            "POST /api/v1/users",
            "Make an account",
            says(_USER, "It is there.", 201),
            body=users.UserBody,
            refuses=(Conflict,),
            example={"username": "grace", "password": "a long sentence is best", "role": "operator"},
        ),
        Operation(f"GET {USER}", "One account", says(_USER)),
        Operation(
            f"PATCH {USER}",
            "Change role, e-mail or password, or disable it",
            says(_USER, "As it is now."),
            body=users.ChangeBody,
            refuses=(Conflict,),
            example={"role": "viewer"},
        ),
        Operation(f"DELETE {USER}", "Remove an account with its sessions", NONE, refuses=(Conflict,)),
        Operation(f"GET {USER}/sessions", "Where somebody is signed in", says({"items": list[Session]})),
        Operation(f"DELETE {USER}/sessions/{{session_id}}", "End one of these", NONE),
    ),
)
KEYS = Group(
    "API keys",
    "Keys for programs, each with a name, a role and an end.",
    (
        Operation("GET /api/v1/api-keys", "Keys, newest first", listed(ApiKey), query=PAGE),
        Operation(
            "POST /api/v1/api-keys",
            "Make a key",
            says(_MADE, "The key; its text is told this once.", 201),
            body=api_keys.KeyBody,
            refuses=(Conflict,),
            example={"name": "ci", "role": "viewer"},
        ),
        Operation(f"GET {KEY}", "One key", says({"api_key": ApiKey})),
        Operation(
            f"POST {KEY}/rotate",
            "A successor; the former counts on for a while",
            says(_MADE, "The successor; its text is told this once.", 201),
            body=api_keys.RotateBody,
            body_may_be_missing=True,
            refuses=(Conflict,),
        ),
        Operation(f"DELETE {KEY}", "End a key now", says({"api_key": ApiKey}), refuses=(Conflict,)),
    ),
)

"""`/api/v1/users`: the accounts of people, and their sessions, as an admin looks after them."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints
from quart import Blueprint, Response, request

from hivemind.auth import Identities, Role, accounts, sessions
from hivemind.auth.accounts import User
from hivemind.http import paging
from hivemind.http.access import identity
from hivemind.http.bodies import answer, sent
from hivemind.http.sign_in import Body, Email, Name, Password
from hivemind.persistence import Database

PATH = "/api/v1/users"


Claim = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]


class UserBody(Body):
    """An account that is to be made: with a password, or for a subject at an identity provider."""

    username: Name
    password: Password | None = None
    issuer: Claim | None = None
    subject: Claim | None = None
    role: Role = "viewer"
    email: Email | None = None


class ChangeBody(Body):
    """What is to be another; what is not named stays. A new password and a new role end the sessions.

    `bound` false: the groups at the identity provider say the role again.
    """

    email: Email | None = None
    role: Role | None = None
    disabled: Annotated[bool, Field(strict=True)] | None = None
    bound: Literal[False] | None = None
    password: Password | None = None


def routes(database: Database, identities: Identities) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("users", __name__)

    @blueprint.get(PATH)
    async def list_users() -> Response:
        page = paging.asked(request.args, str)
        after = page.after[0] if page.after else None
        assert after is None or isinstance(after, str)
        found = await accounts.page(database, after, page.fetch)
        return answer(page.reply(found, lambda user: (user.username,), User.as_dict))

    @blueprint.post(PATH)
    async def create_user() -> Response:
        body = await sent(UserBody)
        made = await accounts.create(
            database,
            body.username,
            body.role,
            password=body.password,
            issuer=body.issuer,
            subject=body.subject,
            email=body.email,
            by=identity().by,
        )
        return answer({"user": made.as_dict()}, 201)

    @blueprint.get(f"{PATH}/<uuid:user_id>")
    async def read_user(user_id: UUID) -> Response:
        return answer({"user": (await accounts.user(database, user_id)).as_dict()})

    @blueprint.patch(f"{PATH}/<uuid:user_id>")
    async def change_user(user_id: UUID) -> Response:
        body = await sent(ChangeBody)
        changed = await accounts.change(
            database,
            user_id,
            by=identity().by,
            email=body.email,
            role=body.role,
            disabled=body.disabled,
            password=body.password,
            bound=body.bound,
        )
        identities.forget()
        return answer({"user": changed.as_dict()})

    @blueprint.delete(f"{PATH}/<uuid:user_id>")
    async def delete_user(user_id: UUID) -> Response:
        await accounts.delete(database, user_id, by=identity().by)
        identities.forget()
        return Response(b"", 204)

    @blueprint.get(f"{PATH}/<uuid:user_id>/sessions")
    async def list_sessions(user_id: UUID) -> Response:
        await accounts.user(database, user_id)
        return answer({"items": await sessions.of_user(database, user_id)})

    @blueprint.delete(f"{PATH}/<uuid:user_id>/sessions/<uuid:session_id>")
    async def revoke_session(user_id: UUID, session_id: UUID) -> Response:
        await sessions.revoke(database, user_id, session_id, by=identity().by)
        identities.forget()
        return Response(b"", 204)

    return blueprint

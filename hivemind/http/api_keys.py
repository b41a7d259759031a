"""`/api/v1/api-keys`: keys for programs, each with a name, a role and an end; their text is told once."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints
from quart import Blueprint, Response, request

from hivemind.auth import Identities, Role, keys
from hivemind.auth.keys import ApiKey
from hivemind.errors import InvalidFields
from hivemind.http import paging
from hivemind.http.access import identity
from hivemind.http.bodies import answer, sent
from hivemind.http.sign_in import Body
from hivemind.persistence import Database

PATH = "/api/v1/api-keys"
DAY_SECONDS = 86_400
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f:]+$")
]


class KeyBody(Body):
    """A key that is to be made; without an end it counts until it is revoked."""

    name: Name
    role: Role = "operator"
    expires_at: AwareDatetime | None = None


class RotateBody(Body):
    """How long the former key goes on beside its successor."""

    overlap_seconds: Annotated[int, Field(ge=0, le=30 * DAY_SECONDS, strict=True)] = DAY_SECONDS


def routes(database: Database, identities: Identities) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("api_keys", __name__)

    @blueprint.get(PATH)
    async def list_keys() -> Response:
        page = paging.asked(request.args, UUID)
        after = page.after[0] if page.after else None
        assert after is None or isinstance(after, UUID)
        found = await keys.page(database, after, page.fetch)
        return answer(page.reply(found, lambda key: (key.id,), ApiKey.as_dict))

    @blueprint.post(PATH)
    async def create_key() -> Response:
        body = await sent(KeyBody)
        if body.expires_at is not None and body.expires_at <= datetime.now(UTC):
            raise InvalidFields(
                "Missing or wrong: expires_at", fields=(("expires_at", "has to be in the future"),)
            )
        made, text = await keys.make(
            database, body.name, body.role, expires_at=body.expires_at, by=identity().by
        )
        return answer({"api_key": made.as_dict(), "key": text}, 201)

    @blueprint.get(f"{PATH}/<uuid:key_id>")
    async def read_key(key_id: UUID) -> Response:
        return answer({"api_key": (await keys.key(database, key_id)).as_dict()})

    @blueprint.post(f"{PATH}/<uuid:key_id>/rotate")
    async def rotate_key(key_id: UUID) -> Response:
        body = await sent(RotateBody) if request.content_length else RotateBody()
        made, text = await keys.rotate(database, key_id, body.overlap_seconds, by=identity().by)
        identities.forget()
        return answer({"api_key": made.as_dict(), "key": text}, 201)

    @blueprint.delete(f"{PATH}/<uuid:key_id>")
    async def revoke_key(key_id: UUID) -> Response:
        revoked = await keys.revoke(database, key_id, by=identity().by)
        identities.forget()
        return answer({"api_key": revoked.as_dict()})

    return blueprint

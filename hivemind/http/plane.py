"""`POST /api/v1/integrations/plane/webhook`: Plane says that something changed.

A delivery is a hint and nothing more: what really changed is read from Plane. So who forges one that passes
the signature gains a look at an item.
"""

import hmac
import json
import re
from hashlib import sha256
from typing import Any, TypeGuard

from pydantic import SecretStr
from quart import Blueprint, Response, request

from hivemind.actors import ActorSystem
from hivemind.errors import InvalidRequest, NotFound, NotPermitted
from hivemind.http.bodies import answer
from hivemind.http.refusals import Refusals
from hivemind.persistence import Database
from hivemind.plane.pull import is_new
from hivemind.plane.puller import Changed, tell

# What Plane calls work items, in deliveries of older and of newer servers.
EVENTS = frozenset({"issue", "work_item", "workitem"})
_ID = re.compile(r"[0-9A-Za-z-]{1,100}")


def routes(
    database: Database, system: ActorSystem, secret: SecretStr | None, refusals: Refusals
) -> Blueprint:
    """The route as Quart takes it."""
    blueprint = Blueprint("plane", __name__)

    @blueprint.post("/api/v1/integrations/plane/webhook")
    async def take_delivery() -> Response:
        if secret is None:
            raise NotFound("No webhook of Plane is set up here", remedy="set PLANE_WEBHOOK_SECRET")
        body = await request.get_data(as_text=False)
        assert isinstance(body, bytes)
        if not signed(body, request.headers.get("X-Plane-Signature", ""), secret):
            refusal = NotPermitted("The signature does not fit the delivery of Plane")
            refusals.note(refusal, "plane", None)
            raise refusal
        delivery_id = request.headers.get("X-Plane-Delivery", "")
        if not _ID.fullmatch(delivery_id):
            raise InvalidRequest("X-Plane-Delivery is not an id")
        changed = change_in(body)
        first = await is_new(database, delivery_id)
        if first and changed is not None:
            tell(system, changed)
        return answer({"accepted": first and changed is not None})

    return blueprint


def signed(body: bytes, signature: str, secret: SecretStr) -> bool:
    """Whether the signature is that of the body under the webhook's secret."""
    expected = hmac.new(secret.get_secret_value().encode(), body, sha256).hexdigest()
    given = signature.removeprefix("sha256=").strip().lower()
    return hmac.compare_digest(expected.encode(), given.encode())


def change_in(body: bytes) -> Changed | None:
    """What a delivery says has changed; None where it is nothing that is pulled.

    Raises:
        InvalidRequest: it is no delivery of Plane.
    """
    try:
        document: Any = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
        raise InvalidRequest("The body is not a delivery of Plane")
    data = document["data"]
    project = data.get("project")
    project = project.get("id") if isinstance(project, dict) else project or data.get("project_id")
    item_id = data.get("id")
    if document.get("event") not in EVENTS:
        return None
    if not (_is_id(project) and _is_id(item_id)):
        raise InvalidRequest("The delivery does not say which work item it is about")
    return Changed(project, item_id)


def _is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and _ID.fullmatch(value) is not None

"""`/api/v1/openapi.json` and `/api/docs`: the contract for programs and for people."""

from functools import cache

import orjson
from quart import Blueprint, Response, request

from hivemind.http.contract.document import document

PATH = "/api/v1/openapi.json"


def routes() -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("contract", __name__)

    @blueprint.get(PATH)
    async def read_contract() -> Response:
        response = Response(_bytes(), 200, content_type="application/json")
        await response.add_etag()
        return await response.make_conditional(request)

    return blueprint


@cache
def _bytes() -> bytes:
    return orjson.dumps(document())

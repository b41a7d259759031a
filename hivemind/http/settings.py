"""`/api/v1/settings`: the settings that the server started with, and where each came from."""

from quart import Blueprint, Response

from hivemind.http.bodies import answer
from hivemind.settings_load import Loaded, explained, leaves


def routes(loaded: Loaded) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("settings", __name__)

    @blueprint.get("/api/v1/settings")
    async def read_settings() -> Response:
        return answer({"settings": list(explained(loaded, leaves()))})

    return blueprint

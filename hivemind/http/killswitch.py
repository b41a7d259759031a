"""`/api/v1/kill-switch`: what is switched off for the whole installation, read and set."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from quart import Blueprint, Response

from hivemind import killswitch
from hivemind.actors import ActorSystem
from hivemind.agents.switch import Stage
from hivemind.http.access import identity
from hivemind.http.bodies import answer, sent
from hivemind.persistence import Database

PATH = "/api/v1/kill-switch"


class StageBody(BaseModel):
    """The stage that is wanted, and why."""

    model_config = ConfigDict(extra="forbid")

    stage: Annotated[int, Field(ge=0, le=3, strict=True)]
    reason: Annotated[str, Field(min_length=1, max_length=500)]


def routes(database: Database, system: ActorSystem) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("killswitch", __name__)

    @blueprint.get(PATH)
    async def read_switch() -> Response:
        return answer({"kill_switch": (await killswitch.read(database)).as_dict()})

    @blueprint.put(PATH)
    async def set_switch() -> Response:
        body = await sent(StageBody)
        position = await killswitch.turn(database, Stage(body.stage), reason=body.reason, by=identity().by)
        await killswitch.tell(system)
        return answer({"kill_switch": position.as_dict()})

    return blueprint

"""The living tree as operators act on it: its changes as they happen, a restart or a stop, live policy.

What is there to see at one moment is `operators`. A changed policy holds until the next start or SIGHUP: the
settings are what lasts.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, RootModel, StringConstraints
from quart import Blueprint, Response, request

from hivemind.actors import ActorSystem, Policies, StateChange
from hivemind.audit import Action, record
from hivemind.errors import ConfigError, Conflict, InvalidFields
from hivemind.http.access import identity
from hivemind.http.bodies import answer, sent
from hivemind.http.lane import EventStream, Request, Route
from hivemind.http.request import event
from hivemind.persistence import Database

Deed = Literal["restart", "stop", "suspend", "resume"]
EVENTS = "/api/v1/actors/events"
_ACTIONS: Mapping[Deed, Action] = {
    "restart": Action.ACTOR_RESTARTED,
    "stop": Action.ACTOR_STOPPED,
    "suspend": Action.ACTOR_SUSPENDED,
    "resume": Action.ACTOR_RESUMED,
}
_EDGE = "/edge"


class DeedBody(BaseModel):
    """Why it is done; it goes into the audit log."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""


class PolicyBody(RootModel[dict[str, dict[str, object]]]):
    """Sections as in the setting `supervision`: by kind of actor or by address pattern."""


class Tuning:
    """The policy in force: the settings, and over them what was changed since."""

    def __init__(
        self, system: ActorSystem, settings: Mapping[str, Mapping[str, object]], kinds: tuple[str, ...]
    ) -> None:
        self._system = system
        self._kinds = kinds
        self._settings = dict(settings)
        self._changes: dict[str, dict[str, object]] = {}

    def change(self, sections: Mapping[str, Mapping[str, object]]) -> None:
        """Lay sections over what is in force; a value of null takes a change back.

        Raises:
            ConfigError: a kind or key is not known, or a value is impossible; nothing is changed.
        """
        changes = {name: dict(section) for name, section in self._changes.items()}
        for name, section in sections.items():
            mine = changes.setdefault(name, {})
            for key, value in section.items():
                if value is None:
                    mine.pop(key, None)
                else:
                    mine[key] = value
        self._put(self._settings, changes)

    def settings_changed(self, settings: Mapping[str, Mapping[str, object]]) -> None:
        """Take the settings as they are now; what was changed over them is gone."""
        self._put(dict(settings), {})

    def shown(self, address: str | None) -> dict[str, object]:
        """The sections in force, and every value of one actor with its source."""
        shown: dict[str, object] = {
            "settings": self._settings,
            "changes": self._changes,
            "kinds": self._kinds,
        }
        if address is not None:
            sources = self._system.explain(address)
            shown["actor"] = {"address": address, "policy": {key: asdict(at) for key, at in sources.items()}}
        return shown

    def _put(self, settings: dict[str, Mapping[str, object]], changes: dict[str, dict[str, object]]) -> None:
        merged = {name: dict(section) for name, section in settings.items()}
        for name, section in changes.items():
            merged[name] = {**merged.get(name, {}), **section}
        self._system.change_policy(Policies.from_mapping(merged, kinds=self._kinds))
        self._settings, self._changes = settings, {name: part for name, part in changes.items() if part}


def events_route(system: ActorSystem) -> Route:
    """The stream of state changes, on the lane."""

    async def stream(_: Request) -> EventStream:
        return EventStream(_changes(system))

    return Route("GET", EVENTS, stream)


async def _changes(system: ActorSystem) -> AsyncGenerator[bytes, None]:
    with system.events() as feed:
        # So that the status goes out now, and a reader knows that nothing is missed from here on.
        yield event("listening", {})
        async for change in feed:
            yield event("state", _told(change))


def _told(change: StateChange) -> dict[str, object]:
    return {**asdict(change), "at": change.at.isoformat()}


def routes(system: ActorSystem, tuning: Tuning, database: Database) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("supervision", __name__)

    @blueprint.post("/api/v1/actors/<path:address>/<any(restart, stop, suspend, resume):deed>")
    async def act(address: str, deed: Deed) -> Response:
        where = f"/{address}"
        body = await sent(DeedBody) if request.content_length else DeedBody()
        if where == _EDGE:
            # It would wait for the end of the request that waits for it.
            raise Conflict("The edge answers this very request", remedy="restart the server")
        await _do(system, where, deed)
        await record(
            database, _ACTIONS[deed], detail={"address": where, "reason": body.reason, "by": identity().by}
        )
        tree = system.tree(where, limit=0)
        return answer({"address": where, "state": tree.snapshot.state if tree else "gone"})

    @blueprint.get("/api/v1/supervision")
    async def read_policy() -> Response:
        return answer(tuning.shown(request.args.get("address")))

    @blueprint.patch("/api/v1/supervision")
    async def change_policy() -> Response:
        sections = (await sent(PolicyBody)).root
        try:
            tuning.change(sections)
        except ConfigError as error:
            remedy = f" ({error.remedy})" if error.remedy else ""
            raise InvalidFields(
                f"{error.message}{remedy}", fields=(("supervision", error.message),)
            ) from None
        await record(database, Action.SUPERVISION_CHANGED, detail={"changes": sections, "by": identity().by})
        return answer(tuning.shown(None))

    return blueprint


async def _do(system: ActorSystem, address: str, deed: Deed) -> None:
    if deed == "restart":
        await system.restart(address)
    elif deed == "stop":
        await system.stop(address)
    elif deed == "suspend":
        system.suspend(address)
    else:
        system.resume(address)

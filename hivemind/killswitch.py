"""The kill switch: one row for the whole installation, and the actor that tells this process what it says.

What is off at which stage, and how it is obeyed, is `hivemind.agents.switch`.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import trio

from hivemind.actors import Actor, ActorDeadError, ActorSystem
from hivemind.agents.switch import Setting, Stage, Switch
from hivemind.errors import Conflict, DatabaseUnavailable, SwitchUnknown
from hivemind.persistence import Database, Row, load_queries

log = logging.getLogger("hivemind.killswitch")

ADDRESS = "/workers/kill-switch"
LOOK_SECONDS = 1.0
_QUERIES = load_queries("hivemind", "killswitch.sql")


@dataclass(frozen=True, slots=True)
class Position:
    """The row: what is off, why, by whom and since when."""

    setting: Setting
    changed_by: str
    changed_at: datetime

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        stage = self.setting.stage
        return {
            "stage": int(stage),
            "off": stage.words,
            "reason": self.setting.reason,
            "changed_by": self.changed_by,
            "changed_at": self.changed_at,
        }


@dataclass(frozen=True, slots=True)
class Look:
    """The row has changed: answered when this process obeys what it says."""


async def read(database: Database) -> Position:
    """What the row says.

    Raises:
        SwitchUnknown: there is no row.
    """
    row = await database.fetch_one(_QUERIES["read"], repeatable=True)
    if row is None:
        raise SwitchUnknown(
            "The row of the kill switch is missing", remedy="insert into kill_switch default values"
        )
    return _position(row)


async def look(database: Database, switch: Switch) -> Position:
    """Read the row and obey it."""
    began = trio.current_time()
    position = await read(database)
    switch.learn(position.setting, began)
    return position


async def turn(database: Database, stage: Stage, *, reason: str, by: str) -> Position:
    """Set the stage, for every process.

    Raises:
        Conflict: it would be lowered by more than one stage at once.
    """
    row = await database.fetch_one(_QUERIES["turn"], (stage, reason, by))
    if row is None:
        raise SwitchUnknown("The row of the kill switch is missing")
    position = _position(row)
    if not row["done"]:
        back = position.setting.stage - 1
        raise Conflict(
            f"The stage is {position.setting.stage:d}: it is lowered one at a time",
            remedy=f"set stage {back} first",
        )
    log.warning("the kill switch is at stage %d by %s: %s", stage, by, position.setting)
    return position


async def tell(system: ActorSystem) -> None:
    """Have this process obey the row at once; the others look within a second."""
    try:
        await system.at(ADDRESS).call(Look())
    except ActorDeadError:
        log.warning("nobody at %s: until it is back nothing new begins here", ADDRESS)


def _position(row: Row) -> Position:
    return Position(Setting(Stage(row["stage"]), row["reason"]), row["changed_by"], row["changed_at"])


class KillSwitch(Actor):
    """Reads the row every second; while it cannot, the switch forgets what it knew and gates stay shut."""

    mode = "task"
    kind: ClassVar[str] = "killswitch"
    expected_errors: ClassVar[tuple[type[BaseException], ...]] = (DatabaseUnavailable, SwitchUnknown)

    def __init__(self, database: Database, switch: Switch) -> None:
        self._database = database
        self._switch = switch
        self._told: Setting | None = None

    def on_start(self) -> None:
        """Begin to read."""
        self.spawn_task(self._look_on)

    async def on_receive(self, message: object) -> None:
        """Read at once."""
        if isinstance(message, Look):
            await self._look()

    def facts(self) -> Mapping[str, object]:
        """What is off, and how many turns run."""
        setting = self._switch.setting
        return {
            "stage": int(setting.stage) if setting is not None else None,
            "reason": (setting.reason or None) if setting is not None else None,
            "turns": self._switch.turns,
        }

    async def _look_on(self) -> None:
        while True:
            try:
                await self._look()
            except (DatabaseUnavailable, SwitchUnknown) as error:
                log.warning("nobody can say what is switched off: %s", error)
            await trio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        setting = (await look(self._database, self._switch)).setting
        if setting != self._told and (self._told is not None or setting.stage):
            log.warning("%s", setting)
        self._told = setting

"""What operators have switched off for the whole installation, as far as this process knows it.

Held in memory, so that a gate asks without a round trip. Who reads the row, and who sets it, is
`hivemind.killswitch`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import trio

from hivemind.errors import SwitchedOff, SwitchUnknown

FRESH_SECONDS = 5.0
# A caller waits for this at the most before it is told that nobody can say.
PATIENCE_SECONDS = 10.0


class Stage(IntEnum):
    """How much is off; each stage includes those below it."""

    NOTHING = 0
    TOOLS = 1
    TURNS = 2
    EVERYTHING = 3

    @property
    def words(self) -> str:
        """What does not happen at this stage."""
        return _WORDS[self]


_WORDS = {
    Stage.NOTHING: "nothing is switched off",
    Stage.TOOLS: "tools that reach outside are switched off",
    Stage.TURNS: "new turns are switched off",
    Stage.EVERYTHING: "everything is switched off",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What is off, and why."""

    stage: Stage = Stage.NOTHING
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.stage.words}: {self.reason}" if self.reason else self.stage.words


class Switch:
    """Nobody can tell what is off before the first `learn`, nor long after the last: gates wait or refuse."""

    __slots__ = ("_known", "_known_until", "_learnt", "_turns")

    def __init__(self) -> None:
        self._known = Setting()
        self._known_until = float("-inf")
        self._learnt = trio.lowlevel.ParkingLot()
        self._turns: set[trio.CancelScope] = set()

    @classmethod
    def left_on(cls) -> Self:
        """One that nobody turns, for agents that run without a server."""
        switch = cls()
        switch._known_until = float("inf")
        return switch

    def learn(self, setting: Setting, at: float) -> None:
        """Take over what the row said at this time; at the last stage every turn here ends now."""
        self._known, self._known_until = setting, at + FRESH_SECONDS
        # Before those who wait go on, so that none of them gets any further.
        if setting.stage >= Stage.EVERYTHING:
            for scope in self._turns:
                scope.cancel()
        self._learnt.unpark_all()

    @property
    def setting(self) -> Setting | None:
        """What is off; None where nobody can tell."""
        return self._known if trio.current_time() < self._known_until else None

    def refuses(self, stage: Stage) -> bool:
        """Whether what this stage switches off is off, or nobody can tell."""
        setting = self.setting
        return setting is None or setting.stage >= stage

    @property
    def turns(self) -> int:
        """How many turns run here."""
        return len(self._turns)

    async def check_new_turn(self) -> None:
        """Pass where a turn may begin.

        Raises:
            SwitchedOff: it may not.
            SwitchUnknown: nobody could tell for a while.
        """
        setting = self.setting
        if setting is None:
            with trio.move_on_after(PATIENCE_SECONDS):
                setting = await self.known()
            if setting is None:
                raise SwitchUnknown(retry_after_seconds=1)
        if setting.stage >= Stage.TURNS:
            raise self.refusal(setting)

    async def known(self) -> Setting:
        """What is off, as soon as that can be told; for what was accepted and has to wait."""
        while (setting := self.setting) is None:
            await self._learnt.park()
        return setting

    def refusal(self, setting: Setting | None = None) -> SwitchedOff:
        """What is told to those who wait for a turn that is not to be."""
        return SwitchedOff(f"An operator has switched this off ({setting or self._known})")

    @property
    def is_all_off(self) -> bool:
        """Whether it is known that every turn has to end."""
        setting = self.setting
        return setting is not None and setting.stage >= Stage.EVERYTHING

    def enter(self, turn: trio.CancelScope) -> None:
        """Cancel this scope when everything is switched off, until it leaves."""
        if self.is_all_off:
            turn.cancel()
        self._turns.add(turn)

    def leave(self, turn: trio.CancelScope) -> None:
        """What is over need not be ended."""
        self._turns.discard(turn)

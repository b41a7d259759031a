"""The actor that has directives carried out: it takes those that are due and sends each to its agent.

Everything that counts is in the rows, so any number of servers may run one of these on one database, and a
crash only means that somebody takes the directive again, in the same attempt.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

import trio

from hivemind.actors import Actor, ActorDeadError, ActorSystem
from hivemind.agents.directives import SCOPE, Directive, Holding, Outcome
from hivemind.agents.events import Reply
from hivemind.agents.following import answer
from hivemind.agents.messages import Interrupt, UserMessage
from hivemind.agents.profile import Profiles
from hivemind.agents.retry import UNKNOWN
from hivemind.agents.switch import Stage, Switch
from hivemind.errors import DatabaseUnavailable, HivemindError
from hivemind.persistence import Database
from hivemind.settings import DirectiveSettings

log = logging.getLogger("hivemind.agents")

ADDRESS = "/workers/directives"
# An agent that cannot even take its message this often will not.
MAX_TAKES = 20
UNKNOWN_WAIT_SECONDS = 5.0
_BUDGET_CODES = frozenset({"budget_exceeded", "approval_required"})
_ADDRESS_OF_AGENTS = "/agents"


@dataclass(frozen=True, slots=True)
class Wake:
    """There is a directive to take."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """This directive was cancelled: stop what carries it out, if that is here."""

    directive_id: UUID


def tell(system: ActorSystem, message: Wake | Cancelled) -> None:
    """Tell the dispatcher of this process; one that is down looks for itself when it is back."""
    try:
        system.at(ADDRESS).tell(message)
    except ActorDeadError:
        log.debug("nobody at %s: %s is found at the next look", ADDRESS, message)


class Dispatcher(Actor):
    """Holds at most `concurrency` directives that work; those whose agent waits for a person do not count.

    `owner` stays the same over restarts of this actor: what it held before is taken again at once.
    """

    mode = "task"
    kind: ClassVar[str] = "directives"

    def __init__(
        self,
        database: Database,
        profiles: Profiles,
        settings: DirectiveSettings,
        owner: UUID,
        switch: Switch,
    ) -> None:
        self._holding = Holding(database, owner, settings.lease_seconds)
        self._profiles = profiles
        self._settings = settings
        self._switch = switch
        self._in_hand: dict[UUID, trio.CancelScope] = {}
        self._waiting: frozenset[UUID] = frozenset()
        self._cancelled: set[UUID] = set()
        self._woken = trio.Event()
        self._taken = 0
        self._failed = 0

    def on_start(self) -> None:
        """Begin to take directives."""
        self.spawn_task(self._take_on)
        self.spawn_task(self._keep_on)

    def on_receive(self, message: object) -> None:
        """Look at once, or stop one."""
        match message:
            case Wake():
                self._woken.set()
            case Cancelled(directive_id) if directive_id in self._in_hand:
                self._in_hand[directive_id].cancel()
            case Cancelled(directive_id):
                # Perhaps it is being taken at this moment.
                self._cancelled.add(directive_id)

    async def on_stop(self) -> None:
        """Let others take at once what is not done."""
        try:
            await self._holding.let_go()
        except DatabaseUnavailable as error:
            log.warning("directives are taken again when their leases end: %s", error)

    def facts(self) -> Mapping[str, object]:
        """What is in hand, and how many there were."""
        return {
            "in_hand": len(self._in_hand),
            "waiting_for_a_person": len(self._waiting),
            "taken": self._taken,
            "failed": self._failed,
        }

    # -- taking and keeping

    async def _take_on(self) -> None:
        held = False
        while True:
            try:
                if not held:
                    await self._holding.let_go()
                    held = True
                await self._take()
            except DatabaseUnavailable as error:
                log.warning("directives wait for the database: %s", error)
            with trio.move_on_after(self._settings.poll_seconds):
                await self._woken.wait()
            self._woken = trio.Event()

    async def _take(self) -> None:
        room = self._settings.concurrency - len(self._in_hand.keys() - self._waiting)
        if room <= 0 or self._switch.refuses(Stage.TURNS):
            return
        for taken in await self._holding.take(room, self._in_hand):
            if taken.id in self._cancelled:
                continue
            self._taken += 1
            self._in_hand[taken.id] = scope = trio.CancelScope()
            self.spawn_task(self._carry_out, taken, scope)
        self._cancelled.clear()

    async def _keep_on(self) -> None:
        """Keep the leases; what somebody else has now, or was cancelled elsewhere, is stopped here."""
        while True:
            await trio.sleep(self._settings.lease_seconds / 3)
            before = set(self._in_hand)
            if not before:
                continue
            try:
                kept = await self._holding.keep(before)
            except DatabaseUnavailable as error:
                log.warning("leases of directives are not renewed: %s", error)
                continue
            for lost in before & self._in_hand.keys() - kept.keys():
                self._in_hand[lost].cancel()
            waiting = frozenset(directive_id for directive_id, waits in kept.items() if waits)
            if waiting - self._waiting:
                self._woken.set()
            self._waiting = waiting

    # -- one directive

    async def _carry_out(self, held: Directive, scope: trio.CancelScope) -> None:
        with scope:
            try:
                await self._attempt_or_fail(held)
            except DatabaseUnavailable as error:
                log.warning("directive %s is taken again when its lease ends: %s", held.id, error)
        if scope.cancelled_caught:
            self._interrupt(held)
        self._in_hand.pop(held.id, None)
        self._waiting -= {held.id}
        self._woken.set()

    async def _attempt_or_fail(self, held: Directive) -> None:
        """One that meets a defect of ours must not take the others with it, nor come back for ever."""
        try:
            await self._attempt(held)
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("directive %s cannot be carried out", held.id)
            await self._end(held, ("internal_error", "A defect: the log of the server has more"), None)

    async def _attempt(self, held: Directive) -> None:
        error: HivemindError | None = None
        try:
            message = UserMessage(
                held.text,
                await self._profiles.by_id(held.profile_id),
                caller=f"directive:{held.id}",
                opens=True,
                idempotency=(SCOPE, held.key),
                schedule_id=held.schedule_id,
                parent_id=held.parent_id,
            )
            last = await answer(self.system, self.system.at(f"{_ADDRESS_OF_AGENTS}/{held.agent_id}"), message)
        except HivemindError as raised:
            error = raised
        else:
            if isinstance(last, Reply):
                await self._answered(held, last.text, last.incomplete)
                return
            error = last.error
        await self._failed_attempt(held, error, await self._holding.outcome(held))

    async def _failed_attempt(self, held: Directive, error: HivemindError, outcome: Outcome | None) -> None:
        """What becomes of it, by what is in the database rather than by what was heard."""
        if outcome is not None and outcome.state == "answered":
            await self._answered(held, outcome.text, outcome.incomplete)
        elif outcome is not None and outcome.state != "admitted":
            failure = (outcome.code or error.code, outcome.message or error.message)
            if outcome.acted:
                await self._end(held, failure, None)
            else:
                await self._again_or_end(held, failure, None)
        elif outcome is not None or (error.code in UNKNOWN and held.takes < MAX_TAKES):
            # Admitted, or perhaps about to be: the same message is sent again a little later.
            await self._holding.let_go(held.id, UNKNOWN_WAIT_SECONDS)
        else:
            tick = "refused_budget" if error.code in _BUDGET_CODES else "refused"
            await self._again_or_end(held, (error.code, error.message), tick)

    async def _answered(self, held: Directive, text: str | None, incomplete: str | None) -> None:
        """An answer that a bound cut short is kept, and is no success."""
        failure = ("incomplete", f"The agent came to its limit ({incomplete})") if incomplete else None
        await self._holding.end(held, result=text, failure=failure)

    async def _again_or_end(self, held: Directive, failure: tuple[str, str], tick: str | None) -> None:
        seconds = held.retry.again_after(held.attempts, failure[0])
        if seconds is not None:
            await self._holding.again(held, seconds, failure)
        else:
            await self._end(held, failure, tick)

    async def _end(self, held: Directive, failure: tuple[str, str], tick: str | None) -> None:
        self._failed += 1
        log.info("directive %s failed: %s", held.id, failure[0])
        await self._holding.end(held, failure=failure, tick=tick if held.schedule_id else None)

    def _interrupt(self, held: Directive) -> None:
        """End the turn of one that is no longer ours; an agent that is not awake has none."""
        ref = self.system.whereis(f"{_ADDRESS_OF_AGENTS}/{held.agent_id}")
        if ref is not None:
            ref.tell(Interrupt())

# ruff: noqa: A002 -- an exit is what ends an actor, as in OTP
"""The actor that serves one conversation: one turn at a time, and nothing lost when it fails.

Its state is a cache of its rows. An incarnation that did not open the conversation itself claims the agent
first: that shuts out every earlier one and shows the turn that was left unfinished, which is then taken up.
"""

import logging
from collections import deque
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, ClassVar
from uuid import UUID

import trio
from uuid_utils.compat import uuid7

from hivemind.actors import Actor, Exit
from hivemind.agents import admission, journal, loop, spans, steps
from hivemind.agents.events import Event, EventLog, Failed, Known, Lost
from hivemind.agents.journal import Admitted, Claim
from hivemind.agents.lifecycle import HELD, OVER, State
from hivemind.agents.messages import Attach, Halt, Interrupt, Resume, UserMessage
from hivemind.agents.turn import NOTHING_USED, Resources, Turn
from hivemind.audit import Action, record
from hivemind.errors import (
    AgentBusy,
    AgentEnded,
    Conflict,
    DatabaseUnavailable,
    HivemindError,
    Interrupted,
    NotFound,
    Overloaded,
    PriceUnknown,
    ProviderError,
)
from hivemind.providers import ProviderMessage
from hivemind.telemetry import bound

log = logging.getLogger("hivemind.agents")

MAX_WAITING = 16
_RECOVERY_RETRY_SECONDS = 0.5
# How long the listeners of an agent that is killed wait for the end of its turn to be written.
_LAST_WORD_SECONDS = 0.05
_OVER: Mapping[str, str] = {
    "stopped": "The agent was stopped",
    "killed": "The agent was killed",
    "failed": "The agent failed too often and waits for an operator",
}


class Agent(Actor):
    """Answers `UserMessage` and `Attach` with an `EventLog` at once; the turn itself is a task of the actor.

    So the actor can always be asked, interrupted and stopped, and a crash of the turn is its own crash.
    """

    kind: ClassVar[str] = "agents"
    expected_errors: ClassVar[tuple[type[BaseException], ...]] = (HivemindError,)

    def __init__(self, agent_id: UUID, resources: Resources) -> None:
        self._id = agent_id
        self._incarnation = uuid7()
        self._resources = resources
        self._epoch: int | None = None
        self._history: list[ProviderMessage] = []
        self._log: EventLog | None = None
        self._left: Claim | None = None
        self._waiting: deque[tuple[UserMessage, EventLog]] = deque()
        self._followers: set[EventLog] = set()
        self._scope: trio.CancelScope | None = None
        self._claiming = trio.Lock()
        self._working = False
        self._parked: tuple[Turn, EventLog] | None = None
        self._turn: Turn | None = None
        self._state: State = "idle"
        self._interrupted = self._resuming = self._halting = self._killed = False

    def on_start(self) -> None:
        """Take up what the incarnation before this one left, without waiting to be asked."""
        if self.restarted:
            self._work_on()

    def on_receive(self, message: Any) -> EventLog | None:
        """Queue, refuse or interrupt as the profile says; never wait."""
        match message:
            case UserMessage():
                return self._take(message)
            case Attach():
                return self._attach(message.turn_id)
            case Interrupt():
                self._interrupt()
            case Resume():
                self._resuming = True
                self._work_on()
            case Halt():
                return self._halt(now=message.now)
        return None

    def on_exit(self, exit: Exit) -> None:
        """Tell everyone who listens: what was accepted goes on in the next incarnation or the next start."""
        last: Event = Lost()
        if not exit.abnormal:
            last = Failed(Interrupted("The server is stopping", remedy="resume the turn in a moment"))
        for events in (self._log, *self._followers, *(events for _, events in self._waiting)):
            if events is not None:
                events.append(last)

    def facts(self) -> Mapping[str, object]:
        """The epoch, the turn in hand and how many messages wait."""
        running = self._log is not None and not self._log.ended
        return {
            "epoch": self._epoch,
            "turn": str(self._log.turn_id) if running and self._log is not None else None,
            "waiting": len(self._waiting),
            "waits_for_a_person": self._parked is not None and self._state not in HELD,
            "held": self._state if self._state in HELD else None,
            "history": len(self._history),
        }

    # -- messages

    def _take(self, message: UserMessage) -> EventLog:
        if self._killed:
            raise AgentEnded(_OVER["killed"])
        busy = self._working or self._parked is not None
        if busy and message.profile.when_busy == "refuse":
            raise AgentBusy(remedy="wait for the answer, or interrupt it")
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded("Too many messages wait in this conversation", retry_after_seconds=5)
        if busy and message.profile.when_busy == "interrupt":
            self._interrupt()
        if self._state in OVER:
            self._resuming = True  # the row may say something else by now
        events = EventLog()
        self._waiting.append((message, events))
        self._work_on()
        return events

    def _interrupt(self) -> None:
        """End the turn that runs, or that waits for a person."""
        if self._scope is not None:
            # The turn may be past its last checkpoint, on its way to wait: then it ends there.
            self._scope.cancel()
            self._interrupted = True
        elif self._parked is not None or self._working or self._epoch is None:
            # On its way to wait, or being taken up, or left by an earlier incarnation: it ends there.
            self._interrupted = True
            self._work_on()

    def _halt(self, *, now: bool) -> EventLog | None:
        """Begin nothing more; the row says what follows, or this is the end."""
        running = self._log if self._log is not None and not self._log.ended else None
        self._resuming = self._halting = True
        if self._turn is not None:
            self._turn.halting = True
        if now:
            self._killed = True
            self._refuse_waiting("killed")
            if running is not None:
                self.spawn_task(self._last_word, running)
            self._interrupt()
        self._work_on()
        return running

    async def _last_word(self, events: EventLog) -> None:
        await trio.sleep(_LAST_WORD_SECONDS)
        events.append(Failed(AgentEnded(_OVER["killed"])))

    def _refuse_waiting(self, state: State) -> None:
        while self._waiting:
            _, events = self._waiting.popleft()
            events.append(Failed(AgentEnded(_OVER[state])))
            self._let_go(events)

    def _attach(self, turn_id: UUID) -> EventLog:
        current = self._log
        if current is not None and current.turn_id == turn_id:
            return current
        events = EventLog(turn_id=turn_id)
        self._followers.add(events)
        self.spawn_task(self._follow, turn_id, events)
        return events

    async def _follow(self, turn_id: UUID, events: EventLog) -> None:
        """Give a turn that is not in memory: from its row, or as it is taken up again."""
        try:
            ended = await journal.ended_turn(self._resources.database, turn_id, self._id)
            if ended is not None:
                events.append(ended)
                return
            await self._claim()
            current = self._log
            if current is None or current.turn_id != turn_id:
                ended = await journal.ended_turn(self._resources.database, turn_id, self._id)
                events.append(ended or Failed(Interrupted()))
                return
            self._work_on()
            events.epoch = current.epoch
            async with aclosing(current.batches()) as batches:
                async for _, batch in batches:
                    for event in batch:
                        events.append(event)
        except HivemindError as error:
            events.append(Failed(error))
        finally:
            self._let_go(events)

    # -- work: one turn after another

    def _work_on(self) -> None:
        if not self._working:
            self._working = True
            self.spawn_task(self._work)

    async def _work(self) -> None:
        try:
            await self._work_off(look=not self._waiting)
        finally:
            self._working = False
        if self._epoch is None or self._killed:
            # Nothing of this agent is in the database, or nothing more will be: it is forgotten after what is
            # in its mailbox.
            self.stop()

    async def _work_off(self, *, look: bool) -> None:
        """Do what there is to do; `look` for what was left first."""
        while True:
            if self._interrupted and self._parked is not None:
                opened, events = self._parked
                error = AgentEnded(_OVER["killed"]) if self._killed else Interrupted()
                await loop.end(self._resources, opened, events, "interrupted", error)
                self._parked, self._interrupted, look = None, False, False
            if self._killed:
                return
            if self._resuming or look:
                anew = self._resuming
                self._resuming = self._halting = look = False
                await self._recover(anew=anew)
                self._interrupted = self._interrupted and self._parked is not None
            if self._state in OVER:
                self._refuse_waiting(self._state)
            # A message that comes while a turn waits, or while nothing may begin, waits behind it.
            while self._waiting and self._parked is None and self._state not in HELD and not self._halting:
                message, events = self._waiting.popleft()
                await self._turn_of(message, events)
                self._interrupted = self._interrupted and self._parked is not None
            if not self._more():
                return

    def _more(self) -> bool:
        """Whether something came meanwhile that the work is not through with."""
        if self._parked is not None and self._interrupted:
            return True
        if self._parked is None and not self._halting and self._state not in HELD and self._epoch is not None:
            self._resuming = False  # the turn that was to be gone on with has ended
        return self._resuming or bool(self._waiting and self._state in OVER)

    async def _recover(self, *, anew: bool) -> None:
        """Take up what was left; the message was accepted, so a database that is away is waited for."""
        while not self._killed:
            try:
                await self._claim(anew=anew)
                anew = False
                await self._finish_left()
            except DatabaseUnavailable:
                log.warning("the database is away: %s waits to be taken up", self.address)
                if self._left is None:
                    self._epoch = None
                await trio.sleep(_RECOVERY_RETRY_SECONDS)
                continue
            except NotFound:
                log.info("%s was never admitted", self.address)
            return

    async def _turn_of(self, message: UserMessage, events: EventLog) -> None:
        """Run one turn; an expected error ends it, any other ends the actor."""
        last = events
        self._followers.add(events)
        try:
            await self._own(message)
            if self._parked is not None or self._state in HELD or self._halting:
                self._waiting.appendleft((message, events))
                return
            # From here on, so that an interrupt which comes while the message is admitted counts too.
            scope = self._scope = loop.time(message.profile)
            if self._interrupted:
                scope.cancel()
            assert self._epoch is not None
            # Whoever asks for this turn by its id waits here until the log is known by it.
            async with self._claiming:
                opened = await admission.admit(self._resources, self._id, self._epoch, self._history, message)
                if not isinstance(opened, Admitted):
                    events.epoch, events.turn_id = opened.epoch, opened.id
                    self._log = last = events
            if isinstance(opened, Admitted):
                if opened.outcome == "held":
                    self._waiting.appendleft((message, events))
                    self._resuming = self._halting = True
                else:
                    self._not_admitted(opened, events, message)
                return
            await self._answer(opened, events, scope)
            if message.given is not None and events.ended:
                # The client keeps the conversation: nobody comes back to this one.
                self._epoch = None
        except DatabaseUnavailable as error:
            # It may have been admitted all the same: find out before anything else is done.
            self._epoch = None
            last.append(Failed(error))
        except HivemindError as error:
            if message.opens:
                self._epoch = None
            last.append(Failed(error))
        finally:
            self._scope = None
            self._let_go(events)

    async def _own(self, message: UserMessage) -> None:
        """Have an epoch before anything is written, and nothing left over from the one before."""
        if self._epoch is None and message.opens and not self.restarted:
            self._epoch = 1
            return
        try:
            await self._claim()
        except NotFound:
            if not message.opens:
                raise
            # The incarnation before this one failed before it had opened the conversation.
            self._epoch = 1
        else:
            await self._finish_left()

    def _let_go(self, events: EventLog) -> None:
        """A log that has not ended stays: its listeners wait for `on_exit` to say how it goes on."""
        if events.ended:
            self._followers.discard(events)

    def _not_admitted(self, opened: Admitted, events: EventLog, message: UserMessage) -> None:
        if opened.outcome == "fenced":
            self._epoch = None
            events.append(Failed(Conflict("The conversation is being served elsewhere", remedy="try again")))
        else:
            elsewhere = opened.agent_id != self._id
            if (elsewhere and message.opens) or (not elsewhere and self._knows_not(opened.turn_id)):
                # Not opened by this message; or admitted by an incarnation that could not tell: claim it.
                self._epoch, self._resuming = None, not elsewhere
            events.append(Known(opened.turn_id, opened.agent_id))

    def _knows_not(self, turn_id: UUID) -> bool:
        return self._log is None or self._log.turn_id != turn_id

    async def _answer(self, opened: Turn, events: EventLog, scope: trio.CancelScope) -> None:
        resources = self._resources
        opened.halting = self._halting
        self._turn = opened
        span = resources.traces.turn(
            opened.id,
            f"invoke_agent {opened.profile.slug}",
            spans.turn_facts(opened),
            first=not opened.taken_up and not events.events,
            began_seconds=opened.began_seconds,
        )
        with bound(turn=opened.id, actor=self.address), span:
            try:
                await loop.answer(resources, opened, events, scope)
            finally:
                self._turn = None
            if scope.cancelled_caught and not events.ended:
                error = AgentEnded(_OVER["killed"]) if self._killed else Interrupted()
                await loop.end(resources, opened, events, "interrupted", error)
            span.note(spans.came_to(opened, events))
        if not events.ended:
            self._parked = opened, events
        elif events.events[-1].kind == "reply":
            self._history += (
                ProviderMessage("user", opened.text),
                ProviderMessage("assistant", opened.reply),
            )

    # -- taking over

    async def _claim(self, *, anew: bool = False) -> None:
        """Own the agent in an epoch of this incarnation, once; `anew`: the row says something else by now."""
        async with self._claiming:
            if anew:
                # Here and not before: who claims at this moment has read the row as it was.
                self._epoch = None
            if self._epoch is not None:
                return
            resources = self._resources
            claim = await journal.claim(
                resources.database, self._id, resources.lease_seconds, self._incarnation
            )
            profile = await resources.profiles.by_id(claim.profile_id)
            self._history = await journal.history(resources.database, self._id, profile.history_messages)
            if claim.turn_id is not None:
                self._left = claim
                # Those who listened while the turn waited for a person go on where they were.
                if self._parked is None or self._parked[0].id != claim.turn_id:
                    self._begin_log(claim.epoch, claim.turn_id)
            parked, self._parked = self._parked, None
            if parked is not None and parked[0].id != claim.turn_id:
                # Somebody else went on with it.
                ended = await journal.ended_turn(resources.database, parked[0].id, self._id)
                parked[1].append(ended or Lost())
            self._epoch, self._state = claim.epoch, claim.state

    def _begin_log(self, epoch: int, turn_id: UUID) -> None:
        """Whoever listened to something is told that it begins again; an untold log goes on."""
        log = self._log
        if log is not None and log.turn_id == turn_id and not log.events:
            log.epoch = epoch
            return
        if log is not None:
            log.append(Lost())
        self._log = EventLog(epoch, turn_id)

    async def _finish_left(self) -> None:
        """Run the turn again that a former incarnation did not end; not for ever."""
        left, events = self._left, self._log
        if left is None or left.turn_id is None or events is None:
            return
        resources = self._resources
        found = await journal.unfinished(resources.database, left.turn_id)
        if found is None:
            self._left = None
            return
        profile = await resources.profiles.by_id(left.profile_id)
        done = await steps.load(resources.database, left.turn_id)
        self._left = None
        opened = admission.take_up(
            resources, profile, self._id, left.epoch, self._history, found, done, left.attempts - 1
        )
        if left.state == "paused":
            self._parked = opened, events
        elif left.state in OVER or self._killed:
            over = "killed" if self._killed else left.state
            await loop.end(resources, opened, events, "interrupted", AgentEnded(_OVER[over]))
        elif found.is_fork:
            # Its tools were recorded ones, unless somebody watched it: nothing here goes on with it.
            error = Interrupted("The process that made this fork has ended")
            await loop.end(resources, opened, events, "interrupted", error)
        elif left.attempts > resources.max_attempts:
            failure = ProviderError(
                f"The turn was cut off {left.attempts - 1} times in one place (agents.max_attempts)"
            )
            await loop.end(resources, opened, events, "failed", failure)
        else:
            self._scope = loop.time(profile)
            if self._interrupted:
                self._scope.cancel()
            await self._answer(opened, events, self._scope)
            self._scope = None
            self._interrupted = self._interrupted and self._parked is not None


async def _left_behind(resources: Resources, agent_id: UUID, claim: Claim) -> Turn | None:
    """The turn that nobody will go on with, as it was left."""
    assert claim.turn_id is not None
    try:
        profile = await resources.profiles.by_id(claim.profile_id)
        left = await journal.unfinished(resources.database, claim.turn_id)
        if left is None:
            return None
        history = await journal.history(resources.database, agent_id, profile.history_messages)
        done = await steps.load(resources.database, claim.turn_id)
        return admission.take_up(
            resources, profile, agent_id, claim.epoch, history, left, done, claim.attempts - 1
        )
    except (NotFound, PriceUnknown) as error:
        log.warning("what the lost attempts of turn %s cost is not known: %s", claim.turn_id, error)
        return None


async def give_up(resources: Resources, agent_id: UUID, exit: Exit) -> None:
    """Mark an agent that spent its restarts, and end its turn so that nobody waits for it."""
    failure = f"{exit.reason}: {type(exit.error).__name__}" if exit.error else exit.reason
    try:
        claim = await journal.claim(resources.database, agent_id, resources.lease_seconds)
    except NotFound:
        claim = None  # it failed before it had opened its conversation: there is nothing to mark
    if claim is not None and claim.turn_id is not None:
        error = ProviderError("The agent failed too often and waits for an operator")
        left = await _left_behind(resources, agent_id, claim)
        # What its attempts can have cost since the last step that is known.
        lost = left.settled() if left else NOTHING_USED
        detail: dict[str, object] = {"error": error.code}
        if lost.cost_micros:
            detail["lost_micros"] = lost.cost_micros
        await journal.commit(
            resources.database, claim.turn_id, claim.epoch, "failed", None, lost, error, detail
        )
        if left is not None:
            loop.abandon(resources, left)
    await journal.give_up(resources.database, agent_id, failure)
    await record(resources.database, Action.AGENT_GIVEN_UP, agent_id=agent_id, detail={"exit": failure})

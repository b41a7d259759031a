"""Following a turn to its end, over restarts of its agent.

Whoever gives answers to people (HTTP, WebSocket, bots) reads them from here: a lost incarnation shows only
as the answer starting again.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from hivemind.actors import ActorDeadError, ActorFailed, ActorSystem, Address, CallTimeout, GivenUp
from hivemind.agents.events import LAST, Accepted, Event, EventLog, Failed, Known, Lost, Reply
from hivemind.agents.messages import Attach, UserMessage
from hivemind.errors import AgentUnavailable

# A restart waits for its back-off and then for the database: the mailbox keeps the question meanwhile.
CALL_TIMEOUT_SECONDS = 60.0
MAX_FOLLOWED_RESTARTS = 10
# An agent that stops just before it would take a message has not taken it.
MAX_ASKED = 3


@dataclass(frozen=True, slots=True)
class Followed:
    """An event with its place; `again` says that the answer starts anew before it."""

    epoch: int
    seq: int
    event: Event
    again: bool = False


async def follow(
    system: ActorSystem,
    agent: Address,
    message: UserMessage | Attach,
    *,
    after: tuple[int, int] | None = None,
) -> AsyncGenerator[Followed, None]:
    """Send the message and yield the events of its turn up to the last.

    `after` is the (epoch, seq) that a listener saw last: what follows it comes, or everything with `again`
    when that epoch is over.

    Raises:
        AgentUnavailable: the agent fails again and again, or was given up.
        HivemindError: what the agent refuses at once.
    """
    events = await _ask(agent, message)
    start, again = _begin(events, after)
    accepted: Accepted | None = None
    for _ in range(MAX_FOLLOWED_RESTARTS):
        async with aclosing(events.batches(start)) as batches:
            async for number, batch in batches:
                for seq, event in enumerate(batch, number):
                    if isinstance(event, Known | Lost):
                        break
                    if isinstance(event, Accepted):
                        accepted = event
                    yield Followed(events.epoch, seq, event, again)
                    again = False
                    if isinstance(event, LAST):
                        return
        agent, message = _goes_on(system, agent, message, events.events[-1], accepted)
        again = again or accepted is not None
        events = await _ask(agent, message)
        start = 0
    raise AgentUnavailable("The agent failed again and again")


async def answer(system: ActorSystem, agent: Address, message: UserMessage | Attach) -> Reply | Failed:
    """Send the message and return how its turn ends; for those who want nothing before that.

    Raises as `follow` does.
    """
    for _ in range(MAX_FOLLOWED_RESTARTS):
        events = await _ask(agent, message)
        last = await events.last()
        if isinstance(last, Reply | Failed):
            return last
        first = events.events[0]
        accepted = first if isinstance(first, Accepted) else None
        agent, message = _goes_on(system, agent, message, last, accepted)
    raise AgentUnavailable("The agent failed again and again")


def _goes_on(
    system: ActorSystem,
    agent: Address,
    message: UserMessage | Attach,
    last: Event,
    accepted: Accepted | None,
) -> tuple[Address, UserMessage | Attach]:
    """Whom to ask what, after a log that ended without an answer.

    A message that was not accepted is sent again: its idempotency key keeps it from being answered twice.
    """
    if isinstance(last, Known):
        return system.at(f"/agents/{last.agent_id}"), Attach(last.turn_id)
    return agent, message if accepted is None else Attach(accepted.turn_id)


def _begin(events: EventLog, after: tuple[int, int] | None) -> tuple[int, bool]:
    """The number to go on from, and whether the listener has to forget what it has.

    Who has seen the last event gets it once more: a stream always ends with it. A place that is not there
    yet was never given out.
    """
    if after is None:
        return 0, False
    start = after[1] + 1
    if after[0] != events.epoch:
        return 0, True
    if events.ended:
        return min(start, len(events.events) - 1), False
    return (start, False) if start <= len(events.events) else (0, True)


async def _ask(agent: Address, message: UserMessage | Attach) -> EventLog:
    """Have the agent take the message; one that has died of it is not asked again."""
    for asked in range(1, MAX_ASKED + 1):
        try:
            answer: EventLog = await agent.call(message, timeout_seconds=CALL_TIMEOUT_SECONDS)
        except (ActorFailed, GivenUp, CallTimeout) as error:
            raise AgentUnavailable(retry_after_seconds=5) from error
        except ActorDeadError as error:
            if asked == MAX_ASKED:
                raise AgentUnavailable(retry_after_seconds=5) from error
        else:
            return answer
    raise AssertionError

"""Promise: a message that comes as its agent stops is taken by the next one at that address, once."""

from uuid import UUID

import pytest
import trio
import trio.testing

from hivemind.actors import Actor, ChildSpec, Policies, RowSupervisor
from hivemind.actors.system import ActorSystem
from hivemind.agents import EventLog, Reply, Usage, answer
from hivemind.agents.messages import Attach
from hivemind.errors import AgentUnavailable

TURN = UUID(int=1)


class Answers(Actor):
    """Replies at once, and counts."""

    def __init__(self, taken):
        self.taken = taken

    def on_receive(self, message):
        if isinstance(message, Attach):
            self.taken.append(message.turn_id)
            if message.turn_id != TURN:
                raise ValueError("a defect")
            events = EventLog(1, TURN)
            events.append(Reply(TURN, TURN, "yes", Usage(0, 0, 0)))
            return events
        return None


def run(test):
    taken = []

    async def main():
        policy = {
            "restart": "transient",
            "max_restarts": 1,
            "within_seconds": 60.0,
            "backoff_initial_seconds": 0.0,
        }
        async with ActorSystem(policies=Policies.from_mapping({}, kinds=("actor", "rows"))) as system:
            rows = (lambda row: ChildSpec(row, Answers, (taken,), policy=policy),)
            await system.start(ChildSpec("agents", RowSupervisor, rows))
            await test(system, system.at("/agents/1"), taken)

    trio.run(main)


def test_a_message_behind_the_stop_of_its_agent_is_taken_by_the_next():
    async def test(system, agent, taken):
        agent.tell("wake")
        await trio.testing.wait_all_tasks_blocked()
        ref = system.whereis("/agents/1")
        ref.suspend()
        ref.stop(block=False)
        heard = []

        async def ask():
            heard.append(await answer(system, agent, Attach(TURN)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            ref.resume()
        assert heard[0].text == "yes" and taken == [TURN]

    run(test)


def test_a_message_that_its_agent_dies_of_is_not_sent_again():
    async def test(system, agent, taken):
        with pytest.raises(AgentUnavailable):
            await answer(system, agent, Attach(UUID(int=2)))
        assert taken == [UUID(int=2)]

    run(test)


def test_an_agent_that_an_operator_stopped_is_unavailable():
    async def test(system, agent, taken):
        agent.tell("wake")
        await system.stop("/agents/1")
        with pytest.raises(AgentUnavailable):
            await answer(system, agent, Attach(TURN))
        assert not taken

    run(test)

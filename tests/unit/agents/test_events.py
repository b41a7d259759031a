"""A log only grows, so a slow listener holds nobody up and a late one misses nothing."""

from uuid import UUID

import trio
import trio.testing

from hivemind.agents.events import Accepted, Delta, EventLog, Failed, Lost, Reply, Usage
from hivemind.errors import Interrupted

TURN, CONVERSATION = UUID(int=1), UUID(int=2)
REPLY = Reply(TURN, CONVERSATION, "ab", Usage(1, 2, 3))


def filled():
    log = EventLog(1, TURN)
    for event in (Accepted(TURN, CONVERSATION), Delta("a"), Delta("b"), REPLY):
        log.append(event)
    return log


async def collect(log, start=0):
    return [
        (number + place, event)
        async for number, batch in log.batches(start)
        for place, event in enumerate(batch)
    ]


def test_a_late_listener_gets_every_event_with_its_number():
    found = trio.run(collect, filled())
    assert [number for number, _ in found] == [0, 1, 2, 3]
    assert found[-1] == (3, REPLY)


def test_a_listener_goes_on_from_the_number_that_it_saw_last():
    assert [number for number, _ in trio.run(collect, filled(), 2)] == [2, 3]


def test_nothing_follows_the_last_event():
    log = filled()
    log.append(Failed(Interrupted()))
    log.append(Lost())
    assert log.events[-1] is REPLY
    assert len(log.events) == 4


def test_listeners_are_woken_one_event_at_a_time_while_they_keep_up():
    async def main():
        log = EventLog()
        batches = []

        async def listen():
            async for number, batch in log.batches():
                batches.append((number, len(batch)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            for event in (Accepted(TURN, CONVERSATION), Delta("a"), REPLY):
                await trio.testing.wait_all_tasks_blocked()
                log.append(event)
        return batches

    assert trio.run(main) == [(0, 1), (1, 1), (2, 1)]


def test_the_first_and_the_last_event_can_be_waited_for():
    async def main():
        log = EventLog()
        found = {}

        async def wait(name, question):
            found[name] = await question()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, "first", log.first)
            nursery.start_soon(wait, "last", log.last)
            await trio.testing.wait_all_tasks_blocked()
            log.append(Delta("x"))
            await trio.testing.wait_all_tasks_blocked()
            log.append(Lost())
        return found

    assert trio.run(main) == {"first": Delta("x"), "last": Lost()}

"""The places of a pool: never one too many, served in order, given up in time, none lost to a cancellation."""

import random

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from hivemind.persistence.places import Places


def test_served_in_the_order_of_coming():
    served = []

    async def wait(places, name):
        assert await places.take()
        served.append(name)
        places.give_back()

    async def main():
        places = Places(1, 10)
        assert await places.take()
        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(wait, places, name)
                await trio.testing.wait_all_tasks_blocked()
            places.give_back()

    trio.run(main, clock=MockClock())
    assert served == ["a", "b", "c"]


def test_each_gives_up_after_the_same_time_and_the_place_stays_usable():
    gave_up = []

    async def wait(places, after):
        await trio.sleep(after)
        assert not await places.take()
        gave_up.append(trio.current_time())

    async def main():
        places = Places(1, 10)
        began = trio.current_time()
        assert await places.take()
        async with trio.open_nursery() as nursery:
            for after in (0, 3, 30):
                nursery.start_soon(wait, places, after)
        assert [at - began for at in gave_up] == pytest.approx([10, 13, 40])
        places.give_back()
        assert await places.take()

    trio.run(main, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("seed", range(10))
def test_no_place_is_lost_or_made_whoever_is_cancelled_when(seed):
    dice = random.Random(seed)
    taken = most = 0

    async def use(places):
        nonlocal taken, most
        await trio.sleep(dice.random())
        with trio.move_on_after(dice.choice((0, 0.1, 0.5, 5))):
            if await places.take():
                taken += 1
                most = max(most, taken)
                try:
                    await trio.sleep(dice.random() / 4)
                finally:
                    taken -= 1
                    places.give_back()

    async def main():
        places = Places(3, 1)
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(use, places)
        assert most == 3
        for _ in range(3):
            assert await places.take()
        with trio.move_on_after(0.5) as scope:
            await places.take()
        assert scope.cancelled_caught

    trio.run(main, clock=MockClock(autojump_threshold=0))

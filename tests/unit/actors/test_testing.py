"""Promise: an actor is tested in ten lines, and the kit's own tools do what the how-to says."""

import pathlib
import re

import pytest
import trio
from actor_samples import Plain, Worker

from hivemind.actors import Actor, ChildSpec, Down
from hivemind.actors.testing import actor_test, run_alone

HOW_TO = pathlib.Path(__file__).parents[3] / "docs/how-to/test-an-actor.md"


def test_every_example_of_the_how_to_runs():
    examples = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    assert len(examples) == 2
    for source in examples:
        names = {}
        exec(compile(source, str(HOW_TO), "exec"), names)
        tests = [value for name, value in names.items() if name.startswith("test_")]
        assert len(tests) == 1
        tests[0]()
    shortest = examples[0].strip().splitlines()
    assert len([line for line in shortest if line and not line.startswith(("from", "import"))]) <= 10


def test_run_alone_runs_virtual_time():
    class Slow(Actor):
        async def on_receive(self, message):
            await trio.sleep(message)
            return trio.current_time()

    first, second = run_alone(Slow, [1000, 500])
    assert second - first == pytest.approx(500)


@actor_test
async def test_a_probe_replies_as_laid_out_and_reports_what_it_did_not_expect(kit):
    probe = kit.probe()
    probe.will_reply("one", "two")
    assert [await probe.ref.call(number) for number in range(3)] == ["one", "two", None]
    assert await probe.expect(0) == 0
    assert await probe.expect(int) == 1
    with pytest.raises(AssertionError, match="got 2"):
        await probe.expect(Down)
    with pytest.raises(trio.TooSlowError):
        await probe.expect(within_seconds=3)
    assert kit.system.now() == pytest.approx(3)
    probe.ref.tell("late")
    with pytest.raises(AssertionError, match="late"):
        await probe.expect_nothing(1)


@actor_test
async def test_the_trace_tells_the_life_of_every_actor(kit):
    await kit.supervisor(ChildSpec("w", Worker))
    kit.trace()
    await kit.crash(kit.system.whereis("/supervisor/w"))
    assert kit.trace() == [("/supervisor/w", state) for state in ("down", "starting", "up")]


def test_a_failing_assertion_comes_out_as_it_is():
    @actor_test
    async def failing(kit):
        kit.system.spawn(Plain)
        raise AssertionError("mine")

    with pytest.raises(AssertionError, match="mine"):
        failing()


def test_each_seed_is_one_run_and_repeats_its_order():
    orders = []

    @actor_test(seeds=[1, 1, 2, 3, 4])
    async def record(kit):
        order = []

        async def step(number):
            order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(step, number)
        orders.append(tuple(order))

    record()
    assert orders[0] == orders[1]
    assert len(set(orders)) > 1

"""The kill switch in memory: what is not known is not allowed, and the last stage ends what runs."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from hivemind.agents.switch import FRESH_SECONDS, PATIENCE_SECONDS, Setting, Stage, Switch
from hivemind.errors import SwitchedOff, SwitchUnknown


def run(test):
    trio.run(test, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize(("stage", "passes"), [(0, True), (1, True), (2, False), (3, False)])
def test_a_new_turn_is_let_in_below_the_second_stage(stage, passes):
    async def test():
        switch = Switch()
        switch.learn(Setting(Stage(stage), "the bill"), trio.current_time())
        if passes:
            await switch.check_new_turn()
        else:
            with pytest.raises(SwitchedOff, match="the bill"):
                await switch.check_new_turn()

    run(test)


def test_what_was_never_read_lets_nothing_in():
    async def test():
        began = trio.current_time()
        with pytest.raises(SwitchUnknown):
            await Switch().check_new_turn()
        assert trio.current_time() - began == PATIENCE_SECONDS

    run(test)


def test_what_was_read_long_ago_is_not_known_any_more():
    async def test():
        switch = Switch()
        switch.learn(Setting(), trio.current_time())
        await trio.sleep(FRESH_SECONDS)
        assert switch.setting is None and switch.refuses(Stage.TOOLS)
        with pytest.raises(SwitchUnknown):
            await switch.check_new_turn()

    run(test)


def test_who_waits_goes_on_when_it_is_known_again():
    async def test():
        switch = Switch()
        passed = []

        async def comes():
            await switch.check_new_turn()
            passed.append("new")

        async def runs():
            assert (await switch.known()).stage == Stage.TURNS
            passed.append("old")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(comes)
            await wait_all_tasks_blocked()
            switch.learn(Setting(Stage.TOOLS), trio.current_time())
        async with trio.open_nursery() as nursery:
            await trio.sleep(FRESH_SECONDS)
            nursery.start_soon(runs)
            await wait_all_tasks_blocked()
            assert passed == ["new"]
            switch.learn(Setting(Stage.TURNS), trio.current_time())
        assert passed == ["new", "old"]

    run(test)


def test_the_last_stage_ends_every_turn_that_runs_or_waits_to_know_or_begins():
    async def test():
        switch = Switch()
        ended = []

        async def waits(what):
            scope = trio.CancelScope()
            switch.enter(scope)
            with scope:
                await what()
                ended.append("went on")
            switch.leave(scope)
            ended.append(scope.cancelled_caught)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits, trio.sleep_forever)
            nursery.start_soon(waits, switch.known)
            await wait_all_tasks_blocked()
            assert switch.turns == 2
            switch.learn(Setting(Stage.EVERYTHING, "enough"), trio.current_time())
        await waits(trio.lowlevel.checkpoint)
        assert ended == [True, True, True] and switch.turns == 0

    run(test)


def test_stages_say_what_is_off_and_why():
    assert str(Setting(Stage.TURNS, "the bill")) == "new turns are switched off: the bill"
    assert str(Setting()) == "nothing is switched off"

# ruff: noqa: A002 -- an exit is what ends an actor, as in OTP
"""Promise: one message at a time, one failure rule, one way out; in both modes."""

import itertools
import logging

import pytest
import trio
import trio.testing
from actor_samples import Plain, TaskWorker, Worker, both_modes

from hivemind.actors import (
    Actor,
    ActorDeadError,
    ActorFailed,
    ActorSystem,
    CallTimeout,
    ChildSpec,
    Down,
    LinkExit,
    MailboxFull,
    Policies,
    WouldDeadlock,
)
from hivemind.actors.testing import actor_test


@both_modes
@actor_test
async def test_one_message_at_a_time_in_the_order_of_each_sender(kit, cls):
    seen, inside = [], []

    class Careful(cls):
        async def on_receive(self, message):
            inside.append(1)
            assert len(inside) == 1
            await trio.sleep(0.001)
            inside.pop()
            seen.append(message)

    ref = kit.system.spawn(Careful)
    for number in range(20):
        ref.tell(number)
    with kit.running_clock():
        await ref.call("last")
    assert seen == [*range(20), "last"]


@both_modes
@actor_test
async def test_an_expected_error_is_a_reply_and_the_actor_lives(kit, cls):
    class Strict(cls):
        expected_errors = (ValueError,)

    ref = kit.system.spawn(Strict)
    with pytest.raises(ValueError, match="boom"):
        await ref.call("boom")
    ref.tell("boom")
    assert await ref.call(1) == ("w", 1)


@both_modes
@pytest.mark.parametrize("how", ["tell", "ask"])
@actor_test
async def test_any_other_exception_ends_the_actor_for_ask_as_for_tell(kit, cls, how):
    log = []
    ref = kit.system.spawn(cls, "w", log)
    if how == "tell":
        ref.tell("boom")
    else:
        with pytest.raises(ActorFailed) as caught:
            await ref.call("boom")
        assert isinstance(caught.value.__cause__, ValueError)
        assert "boom" not in str(caught.value)
    behind = ref.ask("behind", block=False)
    await kit.settle()
    assert log == ["+w", "!w", "xw:error"]
    assert not ref.is_alive()
    with pytest.raises(ActorDeadError):
        await behind
    with pytest.raises(ActorDeadError):
        ref.tell("dead")
    with pytest.raises(ActorDeadError):
        await ref.call("dead")


@both_modes
@actor_test
async def test_system_exit_in_a_handler_ends_that_actor_only(kit, cls):
    log = []
    bad, good = kit.system.spawn(cls, "bad", log), kit.system.spawn(cls, "good", log)
    with pytest.raises(ActorFailed):
        await bad.call("exit")
    assert await good.call(1) == ("good", 1)
    assert "xbad:error" in log


@both_modes
def test_keyboard_interrupt_comes_out_of_the_system_and_everyone_still_has_a_last_word(cls):
    log = []

    class Interrupted(cls):
        async def on_receive(self, message):
            raise KeyboardInterrupt

    async def main():
        async with ActorSystem() as system:
            system.spawn(cls, "other", log)
            bad = system.spawn(Interrupted, "bad", log)
            bad.tell(1)
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    assert sum(entry.startswith("xbad") for entry in log) == 1
    assert sum(entry.startswith("xother") for entry in log) == 1


@both_modes
@actor_test
async def test_kill_cancels_the_handler_answers_everyone_and_leaves_the_last_word(kit, cls):
    log = []
    ref, other = kit.system.spawn(cls, "a", log), kit.system.spawn(cls, "b", log)
    in_hand, waiting = ref.ask("hang", block=False), ref.ask("later", block=False)
    await kit.settle()
    before = kit.system.now()
    ref.kill()
    for future in (in_hand, waiting):
        with pytest.raises(ActorDeadError):
            await future
    assert kit.system.now() == before
    assert sorted(log[:2]) == ["+a", "+b"] and log[2:] == ["xa:killed"]
    assert await other.call(1) == ("b", 1)


@both_modes
@actor_test(seeds=range(5))
async def test_a_kill_that_comes_a_moment_too_late_never_hits_the_next_actor(kit, cls):
    bystander = kit.system.spawn(cls, "b")
    for _ in range(20):
        victim = kit.system.spawn(cls, "v")
        await kit.settle()
        victim.tell(("sleep", 1))
        await kit.settle()
        kit.clock.jump(1)  # resumed but not yet run ...
        victim.kill()  # ... when the kill comes
        assert await bystander.call(("sleep", 0)) == ("b", ("sleep", 0))
        await kit.settle()
        assert bystander.is_alive()
        assert not victim.is_alive()


@both_modes
@actor_test
async def test_an_actor_can_kill_itself_from_its_own_handler(kit, cls):
    log = []

    class Suicidal(cls):
        async def on_receive(self, message):
            self.actor_ref.kill()

    ref = kit.system.spawn(Suicidal, "s", log)
    ref.tell(1)
    await kit.settle()
    assert log == ["+s", "xs:killed"]


@both_modes
@pytest.mark.parametrize("when", ["on_start", "on_stop"])
@actor_test
async def test_kill_cancels_a_hook_that_hangs(kit, cls, when):
    log = []

    async def hang(self):
        await trio.sleep_forever()

    hanging = type("Hanging", (cls,), {when: hang})
    ref = kit.system.spawn(hanging, "h", log)
    await kit.settle()
    ref._cell.stop()
    await kit.settle()
    ref.kill()
    await kit.settle()
    assert log[-1] == "xh:killed"
    assert sum(entry.startswith("x") for entry in log) == 1
    assert not ref.is_alive()


@both_modes
@actor_test
async def test_stop_overtakes_the_mail_but_pykkas_stop_is_in_order(kit, cls):
    one, other = kit.system.spawn(cls), kit.system.spawn(cls)
    for ref in (one, other):
        ref.tell(("sleep", 1))
    await kit.settle()
    behind_one, behind_other = one.ask(1, block=False), other.ask(1, block=False)
    stopped = other.stop(block=False)
    one._cell.stop()
    await kit.advance(1)
    with pytest.raises(ActorDeadError):
        await behind_one
    assert await behind_other == ("w", 1)
    assert await stopped is True
    assert await other.stop(block=False) is False


@both_modes
@actor_test
async def test_terminate_stops_and_kills_at_the_deadline(kit, cls):
    log = []
    ref = kit.system.spawn(cls, "t", log)
    ref.tell("hang")
    await kit.settle()
    with kit.running_clock():
        await ref.terminate(within_seconds=3)
    assert log == ["+t", "xt:killed"]
    assert kit.system.now() == pytest.approx(3, abs=0.01)


@both_modes
@actor_test
async def test_suspend_keeps_the_mail_and_finishes_what_is_in_hand(kit, cls):
    ref = kit.system.spawn(cls)
    in_hand, behind = ref.ask(("sleep", 1), block=False), ref.ask(2, block=False)
    await kit.settle()
    ref.suspend()
    await kit.advance(5)
    assert in_hand.done
    assert not behind.done
    assert kit.state(ref.address) == "suspended"
    ref.resume()
    assert await behind == ("w", 2)
    assert kit.state(ref.address) == "up"


@both_modes
@actor_test
async def test_a_suspended_actor_can_be_stopped_and_killed(kit, cls):
    log = []
    for name, end in (("s", lambda ref: ref._cell.stop()), ("k", lambda ref: ref.kill())):
        ref = kit.system.spawn(cls, name, log)
        await kit.settle()
        ref.suspend()
        lost = ref.ask(1, block=False)
        end(ref)
        with pytest.raises(ActorDeadError):
            await lost
    assert log == ["+s", "-s", "xs:shutdown", "+k", "xk:killed"]


@both_modes
@actor_test
async def test_a_task_ends_with_its_actor_before_on_stop_and_before_the_last_word(kit, cls):
    for end in ("stop", "kill", "crash"):
        log = []

        class Busy(cls):
            async def on_start(self):
                self.spawn_task(self.work)

            async def work(self):
                try:
                    await trio.sleep_forever()
                finally:
                    self.log.append("task")  # noqa: B023

        ref = kit.system.spawn(Busy, "b", log)
        await kit.settle()
        if end == "crash":
            ref.tell("boom")
        else:
            getattr(ref._cell, end)()
        await kit.settle()
        assert (
            log
            == {
                "stop": ["task", "-b", "xb:shutdown"],
                "kill": ["task", "xb:killed"],
                "crash": ["!b", "task", "xb:error"],
            }[end]
        )


@both_modes
@actor_test
async def test_the_crash_of_a_task_is_the_crash_of_its_actor_even_while_a_handler_waits(kit, cls):
    log = []

    class Busy(cls):
        async def on_start(self):
            self.spawn_task(self.work)

        async def work(self):
            await trio.sleep(1)
            raise OSError("wire cut")

    ref = kit.system.spawn(Busy, "b", log)
    in_hand = ref.ask("hang", block=False)
    await kit.advance(1)
    with pytest.raises(ActorDeadError):
        await in_hand
    assert log == ["!b", "xb:error"]


@both_modes
@actor_test
async def test_a_restart_waits_until_the_old_tasks_are_gone(kit, cls):
    log = []

    class Busy(cls):
        async def on_start(self):
            self.log.append("+")
            self.spawn_task(self.work)

        async def work(self):
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(2)
                self.log.append("closed")

    await kit.supervisor(ChildSpec("b", Busy, ("b", log)))
    await kit.crash(kit.system.whereis("/supervisor/b"))
    assert kit.state("/supervisor/b") == "stopping"
    await kit.advance(2)
    assert log == ["+", "!b", "closed", "xb:error", "+"]


@both_modes
@actor_test
async def test_the_last_word_comes_once_per_incarnation_whatever_ends_it(kit, cls):
    log = []
    await kit.supervisor(ChildSpec("a", cls, ("a", log)), max_restarts=9)
    a = kit.system.whereis("/supervisor/a")
    await kit.crash(a)
    a.kill()
    await kit.settle()
    a.tell("stop")
    await kit.settle()
    assert [entry for entry in log if entry.startswith("x")] == ["xa:error", "xa:killed", "xa:normal"]


@both_modes
@actor_test
async def test_a_failing_last_word_does_not_stop_the_exit(kit, cls):
    class Rude(cls):
        def on_exit(self, exit):
            raise RuntimeError("rude")

    probe = kit.probe()
    ref = kit.system.spawn(Rude)
    kit.system.monitor(ref, probe.ref)
    ref.kill()
    await probe.expect(Down)
    assert not ref.is_alive()


@both_modes
@actor_test
async def test_who_fails_at_its_last_word_has_not_ended_in_order(kit, cls):
    class Rude(cls):
        def on_exit(self, exit):
            raise RuntimeError("rude")

    probe = kit.probe()
    ref = kit.system.spawn(Rude)
    kit.system.monitor(ref, probe.ref)
    ref.tell("stop")
    down = await probe.expect(Down)
    assert down.exit.reason == "error" and str(down.exit.error) == "rude"


@both_modes
@actor_test
async def test_monitors_and_links(kit, cls):
    system = kit.system
    probe = kit.probe(trap_exit=True)
    a, b, c = (system.spawn(cls, name) for name in "abc")
    await kit.settle()
    monitor = system.monitor(a, probe.ref)
    system.demonitor(system.monitor(c, probe.ref))
    system.link(a, b)
    system.link(a, probe.ref)
    system.link(a, c)
    system.unlink(a, c)
    await kit.crash(a)
    first, second = await probe.expect(), await probe.expect()
    assert {type(first), type(second)} == {Down, LinkExit}
    down = first if isinstance(first, Down) else second
    assert (down.monitor, down.exit.reason) == (monitor, "error")
    await kit.settle()
    assert not b.is_alive()
    assert c.is_alive()
    system.monitor(a, probe.ref)
    assert (await probe.expect(Down)).exit.reason == "noproc"
    c.kill()
    await probe.expect_nothing()


@both_modes
@actor_test
async def test_a_call_times_out_and_its_request_is_dropped_if_it_had_not_begun(kit, cls):
    log = []

    class Recording(cls):
        async def on_receive(self, message):
            self.log.append(message)
            return await super().on_receive(message)

    ref = kit.system.spawn(Recording, "w", log)
    ref.tell(("sleep", 60))
    await kit.settle()
    with kit.running_clock(), pytest.raises(CallTimeout):
        await ref.call("never begun")
    assert kit.system.now() == pytest.approx(5)
    await kit.advance(60)
    assert await ref.call("next") == ("w", "next")
    assert "never begun" not in log
    assert len(kit.system.timers) == 0


@both_modes
@actor_test
async def test_a_cancelled_caller_abandons_its_request(kit, cls):
    ref = kit.system.spawn(cls)
    ref.tell(("sleep", 60))
    await kit.settle()
    with kit.running_clock(), trio.move_on_after(1):
        await ref.call("stop")
    await kit.advance(60)
    assert ref.is_alive()


@both_modes
@actor_test
async def test_an_actor_that_calls_itself_is_told_at_once(kit, cls):
    class Narcissus(cls):
        async def on_receive(self, message):
            try:
                return await self.actor_ref.call("me")
            except WouldDeadlock:
                return "told"

    assert await kit.system.spawn(Narcissus).call("go") == "told"
    assert kit.system.now() == 0


@both_modes
@actor_test
async def test_a_task_of_the_actor_may_call_it(kit, cls):
    got = []

    class Busy(cls):
        async def on_start(self):
            self.spawn_task(self.work)

        async def work(self):
            got.append(await self.actor_ref.call("me"))

    kit.system.spawn(Busy)
    await kit.settle()
    assert got == [("w", "me")]


@both_modes
@actor_test(policies=Policies.from_mapping({"actor": {"mailbox_limit": 10}}))
async def test_a_full_mailbox_raises_on_tell_and_call_and_send_waits(kit, cls):
    ref = kit.system.spawn(cls)
    ref.tell(("sleep", 5))
    await kit.settle()
    for number in range(10):
        ref.tell(number)
    with pytest.raises(MailboxFull):
        ref.tell("too much")
    with pytest.raises(MailboxFull):
        await ref.call("too much")
    sent = []

    async def send():
        await ref.send("patient")
        sent.append(kit.system.now())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await kit.advance(4.9)
        assert not sent
        await kit.advance(0.1)
    assert sent == [5]
    assert kit.system.snapshot(ref.address).mailbox.high_water == 10


@both_modes
@actor_test(policies=Policies.from_mapping({"actor": {"mailbox_limit": 10}}))
async def test_senders_never_overfill_a_mailbox_and_nothing_is_lost(kit, cls):
    class Slow(cls):
        async def on_receive(self, message):
            await trio.sleep(0.001)
            self.log.append(message)

    log, peaks = [], []
    ref = kit.system.spawn(Slow, "s", log)

    async def produce(name):
        for number in range(50):
            await ref.send((name, number))
            peaks.append(len(ref.actor_inbox))

    with kit.running_clock():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce, "a")
            nursery.start_soon(produce, "b")
        await trio.sleep(1)
    assert max(peaks) <= 10
    for name in "ab":
        assert [entry[1] for entry in log if entry[0] == name] == list(range(50))


@both_modes
@actor_test(policies=Policies.from_mapping({"actor": {"mailbox_limit": 1}}))
async def test_a_sender_that_waits_for_a_dying_actor_is_told(kit, cls):
    ref = kit.system.spawn(cls)
    ref.tell("hang")
    await kit.settle()
    ref.tell("fills")
    told = []

    async def send():
        try:
            await ref.send("waits")
        except ActorDeadError:
            told.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await kit.settle()
        ref.kill()
    assert told == [True]


@actor_test
async def test_a_helped_call_runs_at_once_and_keeps_the_order(kit):
    log = []
    ref = kit.system.spawn(Plain, log)
    ref.tell(1)
    ref.tell(2)
    assert await ref.call(3) == 3
    assert log == [1, 2, 3]
    assert await ref.call(4) == 4


@actor_test
async def test_a_failure_in_a_helped_call_takes_the_ordinary_path(kit):
    await kit.supervisor(ChildSpec("p", Plain))
    ref = kit.system.whereis("/supervisor/p")
    with pytest.raises(ActorFailed):
        await ref.call("boom")
    assert await ref.call(1) == 1
    ref.tell(1)
    with pytest.raises(ActorFailed):
        await ref.call("boom")
    assert await ref.call(1) == 1
    assert kit.system.snapshot("/supervisor/p").restarts == 2


@pytest.mark.parametrize("helping", [True, False])
def test_a_plain_handler_may_return_a_coroutine(helping):
    class Table(Actor):
        def on_receive(self, message):
            return self.slowly(message)

        async def slowly(self, message):
            await trio.sleep(1)
            return message

    async def main():
        async with ActorSystem(helping=helping) as system:
            ref = system.spawn(Table)
            return [await ref.call(number) for number in range(3)]

    assert trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)) == [0, 1, 2]


@actor_test
async def test_helped_calls_in_a_loop_still_let_others_run(kit):
    ref = kit.system.spawn(Plain)
    ticks = []

    async def tick():
        while True:
            ticks.append(1)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        for number in range(1000):
            await ref.call(number)
        nursery.cancel_scope.cancel()
    assert len(ticks) >= 10


@actor_test
async def test_two_actors_that_tell_each_other_for_ever_do_not_starve_the_loop(kit):
    class Player(Plain):
        peer = None

        def on_receive(self, message):
            if self.peer is not None:
                self.peer.tell(message)

    one, other = kit.system.spawn(Player), kit.system.spawn(Player)
    one._actor_weakref().peer, other._actor_weakref().peer = other, one
    one.tell("ball")
    for _ in range(100):
        await trio.lowlevel.checkpoint()
    one._actor_weakref().peer = None


@pytest.mark.parametrize("cls", [Worker, TaskWorker, Plain])
def test_a_handler_that_blocks_the_loop_is_logged_with_its_address(cls, caplog):
    now = [0.0]

    class Slow(cls):
        if cls is Plain:

            def on_receive(self, message):
                now[0] += 0.2
        else:

            async def on_receive(self, message):
                await trio.lowlevel.checkpoint()
                now[0] += 0.2

    async def main():
        async with ActorSystem(stopwatch=lambda: now[0]) as system:
            await system.spawn(Slow, name="slow").call(1)

    caplog.set_level(logging.WARNING)
    trio.run(main)
    assert [record.getMessage() for record in caplog.records] == ["/slow blocked the loop for 200 ms"]


@both_modes
def test_leaving_the_context_stops_in_reverse_order_of_start(cls):
    log = []

    async def main():
        async with ActorSystem() as system:
            await system.start(ChildSpec("a", cls, ("a", log)), ChildSpec("b", cls, ("b", log)))
            system.spawn(cls, "c", log)
            await trio.testing.wait_all_tasks_blocked()

    trio.run(main)
    assert [entry for entry in log if entry[0] != "x"] == ["+a", "+b", "+c", "-c", "-b", "-a"]


@both_modes
def test_an_error_in_the_body_comes_out_as_it_is_after_an_orderly_stop(cls):
    log = []

    async def main():
        async with ActorSystem() as system:
            await system.start(ChildSpec("a", cls, ("a", log)))
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        trio.run(main)
    assert log == ["+a", "-a", "xa:shutdown"]


@both_modes
def test_a_cancelled_body_still_stops_its_actors_in_order(cls):
    log = []

    async def main():
        with trio.move_on_after(1):
            async with ActorSystem() as system:
                await system.start(ChildSpec("a", cls, ("a", log), {"slow_stop": 1}))
                await trio.sleep_forever()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert log == ["+a", "-a", "xa:shutdown"]


@actor_test
async def test_handled_and_dropped_are_exact_over_long_batches_with_crashes_in_them(kit):
    await kit.supervisor(ChildSpec("a", Plain), max_restarts=100)
    a = kit.system.whereis("/supervisor/a")
    for number in range(500):
        a.tell("boom" if number in {3, 70, 71, 200} else number)
    abandoned = a.ask("abandoned", block=False)
    abandoned.abandoned = True
    await kit.settle()
    shot = kit.system.snapshot("/supervisor/a")
    assert (shot.handled, shot.dropped, shot.mailbox.length, shot.mailbox.high_water) == (500, 4, 0, 501)
    assert shot.restarts == 4


def test_an_actor_alone_gives_way_after_its_time_slice():
    now = [0.0]
    handled, seen = [], []

    class Slow(Actor):
        def on_receive(self, message):
            handled.append(message)
            now[0] += 0.0003

    async def main():
        async with ActorSystem(stopwatch=lambda: now[0]) as system:
            ref = system.spawn(Slow)
            for number in range(200):
                ref.tell(number)
            while len(handled) < 200:
                await trio.lowlevel.checkpoint()
                seen.append(len(handled))

    trio.run(main)
    turns = [after - before for before, after in itertools.pairwise([0, *seen])]
    assert max(turns) <= 16
    assert sum(turns) == 200


@actor_test
async def test_a_plain_start_hook_may_return_a_coroutine_that_waits(kit):
    life = []

    class Late(Plain):
        def on_start(self):
            async def later():
                await trio.sleep(1)
                life.append("up")

            return later()

    await kit.rows(lambda row: ChildSpec(row, Late, policy={"max_restarts": 3}))
    waiting = kit.system.at("/rows/1").ask(1)
    await kit.settle()
    assert (kit.state("/rows/1"), waiting.done) == ("starting", False)
    await kit.advance(1)
    assert (await waiting, kit.state("/rows/1"), life) == (1, "up", ["up"])
    kit.system.at("/rows/1").tell("boom")
    await kit.advance(1)
    assert (kit.state("/rows/1"), life) == ("up", ["up", "up"])


@actor_test
async def test_an_actor_that_kills_itself_while_it_starts_does_not_come_up(kit):
    class Doomed(Plain):
        def on_start(self):
            self.actor_ref.kill()

    ref = kit.system.spawn(Doomed)
    await kit.settle()
    assert not ref.is_alive()
    assert ("/" + ref.address.strip("/"), "up") not in kit.trace()


@both_modes
@actor_test
async def test_the_error_of_a_dead_actor_is_not_kept(kit, cls):
    supervisor = await kit.supervisor(ChildSpec("a", cls), max_restarts=0)
    crashed = kit.system.whereis("/supervisor/a")
    crashed.tell("boom")
    await kit.settle()
    assert not supervisor.is_alive()
    assert crashed._cell.ending is None
    assert crashed._cell.last_exit.error == "ValueError: boom"


@both_modes
@actor_test
async def test_the_end_by_an_error_of_an_expected_kind_is_one_line_in_the_log(kit, cls, caplog):
    class Fails(cls):
        expected_errors = (OSError,)

        def on_receive(self, message):
            self.spawn_task(self.fail, message)

        async def fail(self, error):
            raise error

    for error, traced in (
        (ValueError("a defect"), True),
        (OSError("the child died"), False),
        (ExceptionGroup("", [OSError("the child died")]), False),
        (ExceptionGroup("", [OSError("the child died"), ValueError("a defect")]), True),
    ):
        caplog.clear()
        kit.system.spawn(Fails).tell(error)
        await kit.settle()
        (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert bool(record.exc_info) == traced
        assert traced or "the child died" in record.getMessage()

"""Promise: supervision as in OTP. One test for each thing that OTP's supervisor promises."""

import pytest
import trio
from actor_samples import Plain, both_modes, life, spec

from hivemind.actors import (
    ActorDeadError,
    ActorFailed,
    ActorSystem,
    ChildSpec,
    CountChildren,
    Escalated,
    Policies,
    RestartChild,
    ResumeChild,
    StartChild,
    StartFailed,
    StopChild,
    Supervisor,
    SuspendChild,
    WhichChildren,
)
from hivemind.actors.testing import actor_test
from hivemind.errors import Conflict, NotFound


@both_modes
@actor_test
async def test_one_for_one_restarts_only_the_failed_child_behind_the_same_ref(kit, cls):
    log = []
    await kit.supervisor(spec("a", log, cls), spec("b", log, cls))
    a = kit.system.whereis("/supervisor/a")
    a.tell("boom")
    a.tell("after")
    await kit.settle()
    assert life(log) == ["+a", "+b", "!a", "+a"]
    assert kit.system.whereis("/supervisor/a") is a
    assert await a.call(1) == ("a", 1)
    assert kit.system.snapshot("/supervisor/a").handled == 3


@both_modes
@actor_test
async def test_the_message_that_crashed_is_dropped_and_counted_the_rest_is_kept(kit, cls):
    await kit.supervisor(spec("a", [], cls))
    a = kit.system.whereis("/supervisor/a")
    crashed, kept = a.ask("boom", block=False), a.ask("kept", block=False)
    with pytest.raises(ActorFailed):
        await crashed
    assert await kept == ("a", "kept")
    assert kit.system.snapshot("/supervisor/a").dropped == 1


@both_modes
@actor_test
async def test_without_keep_mailbox_the_mail_dies_with_the_incarnation(kit, cls):
    await kit.supervisor(spec("a", [], cls, {"keep_mailbox": False}))
    a = kit.system.whereis("/supervisor/a")
    a.tell("boom")
    lost = a.ask("lost", block=False)
    with pytest.raises(ActorDeadError):
        await lost
    assert await a.call(1) == ("a", 1)


@both_modes
@actor_test
async def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order(kit, cls):
    log = []
    await kit.supervisor(*[spec(name, log, cls) for name in "abc"], strategy="one_for_all")
    del log[:]
    await kit.crash(kit.system.whereis("/supervisor/b"))
    assert life(log) == ["!b", "-c", "-a", "+a", "+b", "+c"]


@both_modes
@actor_test
async def test_rest_for_one_takes_those_started_later(kit, cls):
    log = []
    await kit.supervisor(*[spec(name, log, cls) for name in "abc"], strategy="rest_for_one")
    del log[:]
    await kit.crash(kit.system.whereis("/supervisor/b"))
    assert life(log) == ["!b", "-c", "+b", "+c"]


@both_modes
@actor_test
async def test_siblings_restarted_by_a_strategy_keep_their_ref_and_mail(kit, cls):
    log = []
    await kit.supervisor(*[spec(name, log, cls) for name in "ab"], strategy="one_for_all")
    b = kit.system.whereis("/supervisor/b")
    b.suspend()
    waiting = b.ask("kept", block=False)
    await kit.crash(kit.system.whereis("/supervisor/a"))
    assert kit.system.whereis("/supervisor/b") is b
    b.resume()
    assert await waiting == ("b", "kept")


@both_modes
@actor_test
async def test_a_temporary_sibling_is_stopped_and_forgotten_by_a_group_restart(kit, cls):
    log = []
    await kit.supervisor(
        spec("a", log, cls), spec("t", log, cls, {"restart": "temporary"}), strategy="one_for_all"
    )
    await kit.crash(kit.system.whereis("/supervisor/a"))
    assert kit.state("/supervisor/t") == "absent"
    assert kit.state("/supervisor/a") == "up"


@both_modes
@actor_test
async def test_permanent_transient_and_temporary_after_a_normal_exit(kit, cls):
    log = []
    await kit.supervisor(
        spec("p", log, cls),
        spec("t", log, cls, {"restart": "transient"}),
        spec("x", log, cls, {"restart": "temporary"}),
    )
    for name in "ptx":
        await kit.system.at(f"/supervisor/{name}").call("stop")
    await kit.settle()
    assert [kit.state(f"/supervisor/{name}") for name in "ptx"] == ["up", "down", "absent"]


@both_modes
@actor_test
async def test_permanent_transient_and_temporary_after_a_crash(kit, cls):
    log = []
    await kit.supervisor(
        spec("p", log, cls),
        spec("t", log, cls, {"restart": "transient"}),
        spec("x", log, cls, {"restart": "temporary"}),
    )
    for name in "ptx":
        await kit.crash(kit.system.whereis(f"/supervisor/{name}"))
    assert [kit.state(f"/supervisor/{name}") for name in "ptx"] == ["up", "up", "absent"]


@both_modes
@actor_test
async def test_more_restarts_than_allowed_in_the_window_end_the_supervisor(kit, cls):
    log = []
    probe = kit.probe()
    ref = await kit.supervisor(spec("a", log, cls), max_restarts=3, within_seconds=5)
    kit.system.monitor(ref, probe.ref)
    for _ in range(3):
        await kit.crash(kit.system.whereis("/supervisor/a"))
        await kit.advance(1)
    await kit.advance(3.5)  # the first two fell out of the window
    await kit.crash(kit.system.whereis("/supervisor/a"))
    assert kit.state("/supervisor/a") == "up"
    await probe.expect_nothing()
    for _ in range(2):
        await kit.crash(kit.system.whereis("/supervisor/a"))
    down = await probe.expect()
    assert isinstance(down.exit.error, Escalated)
    assert isinstance(down.exit.error.__cause__, RuntimeError)
    assert kit.state("/supervisor/a") == "absent"


@both_modes
@actor_test
async def test_the_budget_is_shared_by_static_children(kit, cls):
    ref = await kit.supervisor(*[spec(name, [], cls) for name in "abc"], max_restarts=2, within_seconds=5)
    for name in "abc":
        await kit.crash(kit.system.whereis(f"/supervisor/{name}"))
    assert not ref.is_alive()


@both_modes
@actor_test
async def test_escalation_restarts_the_inner_supervisor_with_all_its_children(kit, cls):
    log = []
    inner = ChildSpec(
        "inner", Supervisor, ([spec("a", log, cls), spec("b", log, cls)],), {}, {"max_restarts": 1}
    )
    await kit.supervisor(inner, max_restarts=2)
    a = kit.system.whereis("/supervisor/inner/a")
    await kit.crash(a)
    assert kit.system.snapshot("/supervisor/inner").restarts == 0
    await kit.crash(a)
    assert kit.system.snapshot("/supervisor/inner").restarts == 1
    assert "Escalated" in kit.system.snapshot("/supervisor/inner").last_exit.error
    assert life(log) == ["+a", "+b", "!a", "+a", "!a", "-b", "+a", "+b"]
    assert await a.call(1) == ("a", 1)  # an old ref finds the new actor


def test_an_escalation_that_reaches_the_root_ends_the_system_with_the_cause_chained():
    async def main():
        async with ActorSystem() as system:
            await system.start(
                ChildSpec("s", Supervisor, ([ChildSpec("a", Plain)],), {}, {"max_restarts": 0})
            )
            while True:
                system.at("/s/a").tell("boom")
                await trio.sleep(1)

    with pytest.raises(Escalated) as caught:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    chain, error = [], caught.value
    while error is not None:
        chain.append(type(error).__name__)
        error = error.__cause__
    assert chain[-1] == "ValueError"
    assert chain.count("Escalated") >= 2


@both_modes
@actor_test
async def test_back_off_grows_is_capped_keeps_the_mail_and_resets_after_health(kit, cls):
    log = []
    policy = {"backoff_initial_seconds": 1, "backoff_max_seconds": 5, "backoff_reset_seconds": 60}
    await kit.supervisor(spec("a", log, cls, policy), max_restarts=100, within_seconds=1000)
    a = kit.system.whereis("/supervisor/a")
    for seconds in (1, 2, 4, 5, 5):
        starts = log.count("+a")
        await kit.crash(a)
        assert kit.state("/supervisor/a") == "waiting"
        queued = a.ask("queued", block=False)
        await kit.advance(seconds - 0.01)
        assert log.count("+a") == starts
        await kit.advance(0.02)
        assert log.count("+a") == starts + 1
        assert await queued == ("a", "queued")
    await kit.advance(61)
    await kit.crash(a)
    await kit.advance(1.01)
    assert kit.state("/supervisor/a") == "up"


@both_modes
@actor_test
async def test_a_supervisor_answers_while_a_child_is_in_back_off(kit, cls):
    sup = await kit.supervisor(spec("a", [], cls, {"backoff_initial_seconds": 30}))
    await kit.crash(kit.system.whereis("/supervisor/a"))
    assert await sup.call(CountChildren()) == {"waiting": 1}
    await sup.call(StopChild("a"))
    await kit.advance(60)
    assert kit.state("/supervisor/a") == "down"


@both_modes
@actor_test
async def test_children_stop_in_reverse_order_each_with_its_deadline_and_are_killed_after_it(kit, cls):
    log = []
    sup = await kit.supervisor(
        spec("a", log, cls, {"shutdown_seconds": 2.0}),
        spec("b", log, cls, {"shutdown_seconds": 2.0}, slow_stop=1),
    )
    kit.system.whereis("/supervisor/a").tell("hang")
    await kit.settle()
    del log[:]
    sup._cell.stop()
    await kit.advance(1.01)
    assert log == ["-b", "xb:shutdown"]
    assert kit.state("/supervisor/a") == "up"  # its handler hangs: the stop waits for it
    await kit.advance(1.5)
    assert kit.state("/supervisor") == "stopping"
    await kit.advance(0.6)
    assert log == ["-b", "xb:shutdown", "xa:killed"]
    assert not sup.is_alive()


@both_modes
@actor_test
async def test_shutdown_zero_means_kill(kit, cls):
    log = []
    sup = await kit.supervisor(spec("a", log, cls, {"shutdown_seconds": 0}))
    await sup.call(StopChild("a"))
    assert log == ["+a", "xa:killed"]


@both_modes
@actor_test
async def test_a_failed_restart_is_tried_again_and_counts(kit, cls):
    log = []
    failing = [False, True, True, False]
    await kit.supervisor(spec("a", log, cls), spec("b", log, cls, fail_start=failing), max_restarts=3)
    await kit.crash(kit.system.whereis("/supervisor/b"))
    assert kit.state("/supervisor/b") == "up"
    assert kit.system.snapshot("/supervisor/b").restarts == 3
    await kit.crash(kit.system.whereis("/supervisor/a"))  # the fourth in the window
    assert kit.state("/supervisor") == "absent"


@both_modes
@actor_test
async def test_a_constructor_that_fails_in_a_restart_counts_too(kit, cls):
    calls = []

    class Fragile(cls):
        def __init__(self):
            super().__init__()
            calls.append(1)
            if 1 < len(calls) < 4:
                raise RuntimeError("init")

    await kit.supervisor(ChildSpec("f", Fragile), max_restarts=3)
    f = kit.system.whereis("/supervisor/f")
    kept = f.ask("x", block=False)
    await kit.crash(f)
    assert len(calls) == 4
    assert await f.call("y") == ("w", "y")
    assert kept.done


@both_modes
@actor_test
async def test_children_start_in_order_and_a_failed_first_start_stops_those_before_and_is_raised(kit, cls):
    log = []
    with pytest.raises(RuntimeError, match="start"):
        await kit.supervisor(spec("a", log, cls), spec("b", log, cls, fail_start=[True]), spec("c", log, cls))
    assert life(log) == ["+a", "-a"]


@both_modes
@actor_test
async def test_a_dead_supervisor_leaves_no_child(kit, cls):
    log = []
    sup = await kit.supervisor(spec("a", log, cls), spec("b", log, cls))
    kit.system.whereis("/supervisor/a").tell("hang")
    await kit.settle()
    sup.kill()
    await kit.settle()
    assert sorted(log) == ["+a", "+b", "xa:killed", "xb:killed"]
    assert kit.state("/supervisor/a") == kit.state("/supervisor/b") == "absent"


@both_modes
@actor_test
async def test_operators_stop_restart_suspend_resume_list_and_count(kit, cls):
    log = []
    sup = await kit.supervisor(spec("a", log, cls), spec("b", log, cls))
    a = kit.system.whereis("/supervisor/a")
    await sup.call(SuspendChild("a"))
    waiting = a.ask(1, block=False)
    await kit.advance(10)
    assert not waiting.done
    assert kit.state("/supervisor/a") == "suspended"
    assert kit.system.snapshot("/supervisor/a").mailbox.length == 1
    await sup.call(ResumeChild("a"))
    assert await waiting == ("a", 1)
    await sup.call(StopChild("a"))
    assert not a.is_alive()
    assert await sup.call(CountChildren()) == {"down": 1, "up": 1}
    await sup.call(RestartChild("a"))
    assert await a.call(2) == ("a", 2)
    facts = await sup.call(WhichChildren())
    assert [(fact.name, fact.state) for fact in facts] == [("a", "up"), ("b", "up")]
    with pytest.raises(NotFound):
        await sup.call(StopChild("c"))
    with pytest.raises(Conflict):
        await sup.call(StartChild(spec("b", log, cls)))
    with pytest.raises(Conflict):
        await sup.call(StartChild(spec("x/y", log, cls)))
    with pytest.raises(StartFailed):
        await sup.call(StartChild(spec("c", log, cls, fail_start=[True])))
    await sup.call(StartChild(spec("d", log, cls)))
    assert await kit.system.at("/supervisor/d").call(1) == ("d", 1)
    assert sup.is_alive()


@both_modes
@actor_test
async def test_a_child_stopped_by_an_operator_is_not_restarted(kit, cls):
    log = []
    sup = await kit.supervisor(spec("a", log, cls))
    await sup.call(StopChild("a"))
    await kit.advance(100)
    assert life(log) == ["+a", "-a"]


@both_modes
@actor_test
async def test_policy_changes_apply_to_running_supervisors(kit, cls):
    sup = await kit.supervisor(spec("a", [], cls), max_restarts=0)
    kit.system.change_policy(
        Policies.from_mapping({"/supervisor": {"max_restarts": 5}, "/supervisor/*": {"mailbox_limit": 7}})
    )
    await kit.crash(kit.system.whereis("/supervisor/a"))
    assert sup.is_alive()
    assert kit.system.snapshot("/supervisor/a").mailbox.limit == 7


@both_modes
@actor_test
async def test_an_incarnation_knows_whether_one_before_it_failed(kit, cls):
    class Curious(cls):
        async def on_receive(self, message):
            if message == "boom":
                raise ValueError(message)
            return self.restarted

    await kit.supervisor(ChildSpec("c", Curious))
    ref = kit.system.whereis("/supervisor/c")
    assert await ref.call("?") is False
    await kit.crash(ref)
    assert await ref.call("?") is True


@both_modes
@actor_test
async def test_a_supervisor_below_is_given_the_time_that_its_children_need(kit, cls):
    log = []
    slow = spec("slow", log, cls, {"shutdown_seconds": 200}, slow_stop=100)
    outer = await kit.supervisor(ChildSpec("inner", Supervisor, ([slow],)))
    outer.tell(StopChild("inner"))
    await kit.advance(99)
    assert kit.state("/supervisor/inner") == "stopping"
    await kit.advance(1)
    assert kit.state("/supervisor/inner") == "down"
    assert log == ["+slow", "-slow", "xslow:shutdown"]

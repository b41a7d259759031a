# ruff: noqa: A002 -- an exit is what ends an actor, as in OTP
"""Promise: a row lives from its first message, fails on its own account, and goes when idle."""

import pytest
import trio
from actor_samples import Row, TaskWorker, Worker, life

from hivemind.actors import (
    Actor,
    ActorDeadError,
    ActorFailed,
    Changes,
    ChildSpec,
    CountChildren,
    Down,
    GivenUp,
    Policies,
    Reconcile,
    RestartChild,
    RowSupervisor,
    StopChild,
)
from hivemind.actors.testing import actor_test
from hivemind.errors import NotFound

BUDGET = {"max_restarts": 3, "within_seconds": 60.0}


def child(row):
    if row.startswith("no"):
        raise NotFound(f"no row {row}")
    return ChildSpec(row, Row, (row,), policy=BUDGET)


@actor_test
async def test_the_first_message_starts_the_row(kit):
    await kit.rows(child)
    assert await kit.system.at("/rows/7").call("hi") == ("7", "hi")
    kit.system.at("/rows/8").tell("hi")
    await kit.system.at("/rows/9").send("hi")
    assert await kit.system.at("/rows/10").ask("hi") == ("10", "hi")
    await kit.settle()
    assert set(kit.system.snapshot("/rows").children) == {"/rows/7", "/rows/8", "/rows/9", "/rows/10"}
    with pytest.raises(NotFound):
        kit.system.at("/rows/no").tell("hi")
    with pytest.raises(ActorDeadError):
        kit.system.at("/nowhere/7").tell("hi")
    assert kit.system.whereis("/rows/11") is None
    assert kit.system.snapshot("/rows/11") is None


@actor_test
async def test_an_active_row_is_found_without_making_a_spec(kit):
    asked = []

    def counted(row):
        asked.append(row)
        return child(row)

    await kit.rows(counted)
    for _ in range(5):
        await kit.system.at("/rows/1").call("hi")
    assert asked == ["1"]


@pytest.mark.parametrize("cls", [Worker, TaskWorker], ids=["pooled", "task"])
@actor_test
async def test_rows_may_have_either_mode(kit, cls):
    await kit.rows(lambda row: ChildSpec(row, cls, (row,), policy=BUDGET))
    assert await kit.system.at("/rows/1").call("hi") == ("1", "hi")
    with pytest.raises(ActorFailed):
        await kit.system.at("/rows/1").call("boom")
    assert await kit.system.at("/rows/1").call("hi") == ("1", "hi")


@actor_test
async def test_a_row_that_spends_its_budget_is_given_up_and_its_siblings_never_notice(kit):
    given_up = []

    async def note(row, exit):
        await trio.lowlevel.checkpoint()
        given_up.append((row, type(exit.error)))

    rows = await kit.rows(child, on_give_up=note)
    bad, good = kit.system.at("/rows/bad"), kit.system.at("/rows/good")
    await good.call(1)
    for _ in range(4):
        assert not given_up
        bad.tell("boom")
        await kit.advance(1)
    assert given_up == [("bad", ValueError)]
    snapshot = kit.system.snapshot("/rows/bad")
    assert (snapshot.state, snapshot.restarts, snapshot.last_exit.error) == ("failed", 3, "ValueError: boom")
    with pytest.raises(GivenUp):
        await bad.call("hi")
    assert kit.system.snapshot("/rows/good").restarts == 0
    assert await rows.call(CountChildren()) == {"up": 1, "failed": 1}
    await rows.call(RestartChild("bad"))
    assert await bad.call("hi") == ("bad", "hi")
    assert kit.system.snapshot("/rows/bad").restarts_in_window == 0


@actor_test
async def test_a_failing_give_up_callback_is_logged_and_costs_nobody_else(kit, caplog):
    def fail(row, exit):
        raise OSError("database away")

    await kit.rows(lambda row: ChildSpec(row, Row, (row,), policy={"max_restarts": 0}), on_give_up=fail)
    await kit.system.at("/rows/good").call(1)
    kit.system.at("/rows/bad").tell("boom")
    await kit.settle()
    assert kit.state("/rows/bad") == "failed"
    assert kit.state("/rows/good") == "up"


@actor_test
async def test_only_give_ups_spend_the_supervisors_budget_and_then_it_escalates(kit):
    probe = kit.probe()
    rows = await kit.rows(
        lambda row: ChildSpec(row, Row, (row,), policy={"max_restarts": 1}),
        policy={"max_restarts": 2, "within_seconds": 10},
    )
    kit.system.monitor(rows, probe.ref)
    for row in "abcdef":
        kit.system.at(f"/rows/{row}").tell("boom")
    await kit.settle()
    await probe.expect_nothing()  # six restarts, no give-up
    for row in "abc":
        kit.system.at(f"/rows/{row}").tell("boom")
    down = await probe.expect(Down)
    assert "rows given up" in str(down.exit.error)


@actor_test
async def test_a_row_whose_start_fails_is_retried_on_its_own_budget_and_keeps_its_first_message(kit):
    failing = [True, True, False]
    await kit.rows(lambda row: ChildSpec(row, Worker, (row,), {"fail_start": failing}, BUDGET))
    assert await kit.system.at("/rows/1").call("first") == ("1", "first")
    assert kit.system.snapshot("/rows/1").restarts == 2


@actor_test
async def test_a_row_whose_constructor_fails_is_given_up_like_any_other(kit):
    class Broken(Row):
        def __init__(self, row):
            raise RuntimeError("init")

    await kit.rows(lambda row: ChildSpec(row, Broken, (row,), policy=BUDGET))
    with pytest.raises(GivenUp):
        await kit.system.at("/rows/1").call("hi")
    assert kit.state("/rows/1") == "failed"


@actor_test
async def test_back_off_of_a_row_keeps_its_mail(kit):
    await kit.rows(lambda row: ChildSpec(row, Row, (row,), policy={**BUDGET, "backoff_initial_seconds": 2}))
    row = kit.system.at("/rows/1")
    row.tell("boom")
    await kit.settle()
    assert kit.state("/rows/1") == "waiting"
    waiting = row.ask("hi")
    await kit.advance(1.9)
    assert not waiting.done
    await kit.advance(0.2)
    assert await waiting == ("1", "hi")


@actor_test(policies=Policies.from_mapping({"agents": {"passivate_after_seconds": 100}}))
async def test_an_idle_row_is_passivated_and_comes_back_with_the_next_message(kit):
    await kit.rows(child)
    row = kit.system.at("/rows/1")
    await row.call("hi")
    ref = row.ref
    for _ in range(20):
        await kit.advance(20)
        kit.system.at("/rows/busy").tell("hi")
    assert kit.state("/rows/1") == "absent"
    assert kit.state("/rows/busy") == "up"
    assert kit.trace("failed", "waiting") == []
    assert await row.call("again") == ("1", "again")
    for _ in range(10):
        await kit.advance(20)
    assert kit.state("/rows/1") == "absent"
    assert await ref.call("by the old ref") == ("1", "by the old ref")
    assert kit.system.whereis("/rows/1") is ref


@actor_test(policies=Policies.from_mapping({"actor": {"passivate_after_seconds": 10}}))
async def test_a_row_with_a_task_or_a_waiting_handler_is_not_passivated(kit):
    class Busy(Actor):
        def __init__(self, row):
            self.row = row

        async def on_receive(self, message):
            if message == "task":
                self.spawn_task(trio.sleep, 200)
            else:
                await trio.sleep(200)

    await kit.rows(lambda row: ChildSpec(row, Busy, (row,)))
    kit.system.at("/rows/task").tell("task")
    kit.system.at("/rows/handler").tell("sleep")
    for _ in range(30):
        await kit.advance(5)
    assert kit.state("/rows/task") == kit.state("/rows/handler") == "up"
    for _ in range(20):
        await kit.advance(5)
    assert kit.state("/rows/task") == kit.state("/rows/handler") == "absent"


@actor_test(policies=Policies.from_mapping({"actor": {"passivate_after_seconds": 10}}))
async def test_a_message_that_arrives_during_passivation_starts_the_row_again(kit):
    log = []
    await kit.rows(lambda row: ChildSpec(row, Worker, (row, log), {"slow_stop": 5}))
    await kit.system.at("/rows/1").call("hi")
    while kit.state("/rows/1") != "stopping":
        await kit.advance(1)
    late = kit.system.at("/rows/1").ask("late")
    await kit.advance(6)
    assert await late == ("1", "late")
    assert log == ["+1", "-1", "x1:passivated", "+1"]


@actor_test
async def test_passivation_can_be_switched_on_live(kit):
    await kit.rows(child)
    await kit.system.at("/rows/1").call("hi")
    await kit.advance(1000)
    assert kit.state("/rows/1") == "up"
    kit.system.change_policy(Policies.from_mapping({"/rows/*": {"passivate_after_seconds": 10}}))
    for _ in range(10):
        await kit.advance(5)
    assert kit.state("/rows/1") == "absent"


@actor_test
async def test_reconcile_starts_stops_and_restarts_what_changed_and_nothing_else(kit):
    log = []

    def desired(rows, version=1, changed=()):
        return {
            row: ChildSpec(row, Worker, (row, log), version=2 if row in changed else version) for row in rows
        }

    rows = await kit.rows(None)
    assert await rows.call(Reconcile(desired("abcd"))) == Changes(4, 0, 0)
    await kit.settle()
    assert await rows.call(Reconcile(desired("abcd"))) == Changes(0, 0, 0)
    del log[:]
    assert await rows.call(Reconcile(desired("bcde", changed="c"))) == Changes(1, 1, 1)
    await kit.settle()
    assert sorted(life(log)) == ["+c", "+e", "-a", "-c"]
    with pytest.raises(ActorDeadError):
        kit.system.at("/rows/a").tell("gone")


@actor_test
async def test_a_transient_row_that_ends_well_is_forgotten_and_starts_anew(kit):
    log = []
    await kit.rows(lambda row: ChildSpec(row, Worker, (row, log), policy={"restart": "transient"}))
    await kit.system.at("/rows/1").call("stop")
    await kit.settle()
    assert kit.state("/rows/1") == "absent"
    assert await kit.system.at("/rows/1").call("hi") == ("1", "hi")


@actor_test
async def test_a_row_stopped_by_an_operator_stays_down_until_restarted(kit):
    rows = await kit.rows(child)
    await kit.system.at("/rows/1").call("hi")
    await rows.call(StopChild("1"))
    assert kit.state("/rows/1") == "down"
    with pytest.raises(ActorDeadError):
        await kit.system.at("/rows/1").call("hi")
    await rows.call(RestartChild("1"))
    assert await kit.system.at("/rows/1").call("hi") == ("1", "hi")


@actor_test
async def test_rows_stop_all_at_once_under_one_deadline(kit):
    log = []
    rows = await kit.rows(
        lambda row: ChildSpec(row, Worker, (row, log), {"slow_stop": 3}, {"shutdown_seconds": 4})
    )
    for number in range(50):
        await kit.system.at(f"/rows/{number}").call("hi")
    kit.system.at("/rows/0").tell("hang")
    await kit.settle()
    with kit.running_clock():
        began = kit.system.now()
        await rows.terminate(within_seconds=60)
    assert kit.system.now() - began == pytest.approx(4)
    assert sum(entry.endswith(":shutdown") for entry in log) == 49
    assert log.count("x0:killed") == 1


@actor_test
async def test_a_restarted_row_supervisor_starts_with_no_rows_and_old_refs_find_the_new_ones(kit):
    await kit.system.start(ChildSpec("rows", RowSupervisor, (child,)))
    ref = kit.system.at("/rows/1").ref
    await ref.call("hi")
    await kit.crash(kit.system.whereis("/rows"))
    assert kit.state("/rows") == "up"
    assert kit.state("/rows/1") == "absent"
    assert await ref.call("hi") == ("1", "hi")
    assert kit.system.whereis("/rows/1") is ref


@actor_test
async def test_a_crash_storm_over_many_rows_is_survived(kit):
    rows = await kit.rows(
        lambda row: ChildSpec(row, Row, (row,), policy={**BUDGET, "backoff_initial_seconds": 1})
    )
    for number in range(500):
        kit.system.at(f"/rows/{number}").tell("boom")
    await kit.settle()
    assert await rows.call(CountChildren()) == {"waiting": 500}
    await kit.advance(1)
    assert await rows.call(CountChildren()) == {"up": 500}


class Once(Actor):
    """Stops itself after each message."""

    def on_receive(self, message):
        self.stop()
        return message


@actor_test
async def test_a_row_that_stopped_itself_is_never_missing(kit):
    await kit.rows(lambda row: ChildSpec(row, Once, policy=BUDGET | {"restart": "transient"}))
    address = kit.system.at("/rows/1")
    for _ in range(50):
        address.tell("on")
        while kit.system.whereis("/rows/1") is not None:
            await trio.lowlevel.checkpoint()
        # The supervisor has not had its turn yet, in some of the schedules.
        address.tell("again")
        await kit.settle()


@actor_test
async def test_a_row_that_an_operator_stopped_stays_down(kit):
    rows = await kit.rows(child)
    await kit.system.at("/rows/7").call("hi")
    await rows.call(StopChild("7"))
    with pytest.raises(ActorDeadError):
        kit.system.at("/rows/7").tell("hi")

"""Promise: the tree has addresses, is visible from outside, and its changes can be followed."""

import pytest
import trio
import trio.testing
from actor_samples import Plain, Worker, both_modes

from hivemind.actors import (
    Actor,
    ActorDeadError,
    ActorSystem,
    ChildSpec,
    Policies,
    RowSupervisor,
    Supervisor,
    current_system,
)
from hivemind.actors.testing import actor_test
from hivemind.errors import Conflict, NotFound


@actor_test
async def test_addresses_are_paths_and_resolve_at_send_time(kit):
    system = kit.system
    await system.start(
        ChildSpec("agents", RowSupervisor, (lambda row: ChildSpec(row, Plain),)),
        ChildSpec("workers", Supervisor, ([ChildSpec("watchdog", Plain)],)),
    )
    address = system.at("/workers/watchdog")
    assert (str(address), hash(address), address) == ("/workers/watchdog", hash("/workers/watchdog"), address)
    assert address != system.at("/workers")
    assert await address.call("hi") == "hi"
    await kit.crash(address.ref)
    assert await address.call("hi") == "hi"
    assert await system.at("/agents/1").call("hi") == "hi"
    assert system.at("/agents/1").ref.address == "/agents/1"


@actor_test
async def test_an_address_without_an_actor_says_so(kit):
    with pytest.raises(ActorDeadError, match="/nobody"):
        await kit.system.at("/nobody").call(1)
    with pytest.raises(ActorDeadError):
        kit.system.at("/nobody/here").tell(1)


@actor_test
async def test_two_actors_cannot_share_an_address_but_may_follow_each_other(kit):
    first = kit.system.spawn(Plain, name="x")
    with pytest.raises(Conflict):
        kit.system.spawn(Plain, name="x")
    await first.terminate()
    assert await kit.system.spawn(Plain, name="x").call(1) == 1
    with pytest.raises(ActorDeadError):
        await first.call(1)  # nobody restarts an unsupervised actor


@actor_test
async def test_a_constructor_that_fails_is_told_to_whoever_spawns(kit):
    class Broken(Plain):
        def __init__(self):
            raise LookupError("init")

    with pytest.raises(LookupError):
        kit.system.spawn(Broken, name="b")
    assert kit.system.snapshot("/b") is None


@both_modes
@actor_test
async def test_a_snapshot_is_read_without_asking_a_stuck_actor(kit, cls):
    class Factual(cls):
        kind = "factual"

        def facts(self):
            return {"name": self.name}

    await kit.supervisor(ChildSpec("f", Factual, ("f",), {}, {"mailbox_limit": 5}))
    ref = kit.system.whereis("/supervisor/f")
    await ref.call(1)
    await kit.crash(ref)
    ref.tell("hang")
    ref.tell("behind")
    await kit.advance(7)
    snapshot = kit.system.snapshot("/supervisor/f")
    assert (snapshot.address, snapshot.kind, snapshot.state) == ("/supervisor/f", "factual", "up")
    assert (snapshot.mailbox.length, snapshot.mailbox.limit, snapshot.mailbox.high_water) == (1, 5, 2)
    assert (snapshot.handled, snapshot.restarts, snapshot.restarts_in_window) == (2, 1, 0)
    assert (snapshot.in_hand.message, snapshot.in_hand.age_seconds) == ("str", 7)
    assert (snapshot.last_exit.reason, snapshot.last_exit.error) == (
        "error",
        "RuntimeError: crashed by the test",
    )
    assert snapshot.age_seconds == 7
    assert (snapshot.since_at - snapshot.last_exit.at).total_seconds() == 0
    assert snapshot.since_at.tzinfo is not None
    assert snapshot.facts == {"name": "f"}
    assert kit.system.snapshot("/supervisor").children == ("/supervisor/f",)
    ref.kill()


@actor_test
async def test_facts_that_fail_are_shown_as_such(kit):
    class Broken(Plain):
        def facts(self):
            raise LookupError("lost")

    ref = kit.system.spawn(Broken)
    assert kit.system.snapshot(ref.address).facts == {"facts_error": "LookupError: lost"}


@actor_test
async def test_the_tree_can_be_walked_and_is_bounded(kit):
    await kit.system.start(ChildSpec("agents", RowSupervisor, (lambda row: ChildSpec(row, Plain),)))
    for number in range(5):
        await kit.system.at(f"/agents/{number}").call(1)
    tree = kit.system.tree(limit=3)
    assert tree.snapshot.address == "/"
    agents = tree.children[0]
    assert [child.snapshot.address for child in agents.children] == ["/agents/0", "/agents/1", "/agents/2"]
    assert agents.omitted == 2
    assert kit.system.tree("/agents/4").snapshot.handled == 1
    assert kit.system.tree("/none") is None


@actor_test
async def test_state_changes_are_a_stream_and_a_slow_reader_is_told_what_it_missed(kit):
    with kit.system.events(limit=3) as changes:
        await kit.supervisor(ChildSpec("w", Worker, policy={"backoff_initial_seconds": 1}))
        await kit.crash(kit.system.whereis("/supervisor/w"))
        await kit.advance(1)
        first = await anext(changes)
        rest = [await anext(changes) for _ in range(2)]
    assert [(change.address, change.state) for change in (first, *rest)] == [
        ("/supervisor/w", "waiting"),
        ("/supervisor/w", "starting"),
        ("/supervisor/w", "up"),
    ]
    assert (first.missed, first.reason, rest[0].missed) == (7, "error", 0)
    assert not any(feed is changes for feed in kit.system.feeds)


@actor_test
async def test_a_reader_waits_for_the_next_change(kit):
    seen = []

    async def read():
        with kit.system.events() as changes:
            async for change in changes:
                seen.append(change.state)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await kit.settle()
        kit.system.spawn(Plain)
        await kit.settle()
        nursery.cancel_scope.cancel()
    assert seen == ["up"]


@actor_test(policies=Policies.from_mapping({"plain": {"mailbox_limit": 3}, "/special": {"mailbox_limit": 9}}))
async def test_policy_comes_by_kind_and_by_address(kit):
    class Limited(Plain):
        kind = "plain"

    assert kit.system.snapshot(kit.system.spawn(Limited).address).mailbox.limit == 3
    assert kit.system.snapshot(kit.system.spawn(Limited, name="special").address).mailbox.limit == 9


@actor_test
async def test_the_tree_starts_once(kit):
    await kit.system.start()
    with pytest.raises(Conflict):
        await kit.system.start()


@actor_test
async def test_the_current_system_is_known_inside_actors(kit):
    class Parent(Actor):
        def on_receive(self, message):
            assert current_system() is self.system
            return Plain.start().address

    address = await kit.system.spawn(Parent).call(1)
    assert await kit.system.at(address).call(2) == 2


def test_two_systems_live_side_by_side():
    async def main():
        async with ActorSystem() as one, ActorSystem() as other:
            assert await one.spawn(Plain, name="x").call(1) == 1
            assert await other.spawn(Plain, name="x").call(2) == 2

    trio.run(main)


def test_without_a_system_there_is_no_current_one():
    with pytest.raises(RuntimeError):
        current_system()


@both_modes
@actor_test
async def test_restart_by_address_overtakes_the_mail_keeps_it_and_spends_no_budget(kit, cls):
    system = kit.system
    supervisor = await kit.supervisor(ChildSpec("a", cls), max_restarts=0)
    in_hand = system.at("/supervisor/a").ask(("sleep", 1))
    await kit.settle()
    behind = system.at("/supervisor/a").ask(2)
    restarted = []

    async def restart():
        restarted.append(await system.restart("/supervisor/a"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(restart)
        await kit.advance(1)
    assert in_hand.done
    assert await behind == ("w", 2)
    assert restarted == [system.whereis("/supervisor/a")]
    assert kit.trace("stopping", "starting")[-2:] == [
        ("/supervisor/a", "stopping"),
        ("/supervisor/a", "starting"),
    ]
    assert supervisor.is_alive()


@both_modes
@actor_test
async def test_stop_by_address_leaves_it_down_until_a_restart(kit, cls):
    system = kit.system
    await kit.supervisor(ChildSpec("a", cls))
    await system.stop("/supervisor/a")
    await kit.advance(100)
    assert kit.state("/supervisor/a") == "down"
    with pytest.raises(ActorDeadError):
        system.at("/supervisor/a").tell(1)
    await system.restart("/supervisor/a")
    assert await system.at("/supervisor/a").call(1) == ("w", 1)


@both_modes
@actor_test
async def test_suspend_and_resume_by_address(kit, cls):
    system = kit.system
    await kit.supervisor(ChildSpec("a", cls))
    system.suspend("/supervisor/a")
    waiting = system.at("/supervisor/a").ask(1)
    await kit.advance(10)
    assert (waiting.done, kit.state("/supervisor/a")) == (False, "suspended")
    system.resume("/supervisor/a")
    assert await waiting == ("w", 1)


@actor_test
async def test_a_row_that_was_given_up_comes_back_by_a_restart(kit):
    await kit.rows(lambda row: ChildSpec(row, Plain, policy={"max_restarts": 0}), policy={"max_restarts": 9})
    kit.system.at("/rows/1").tell("boom")
    await kit.settle()
    assert kit.state("/rows/1") == "failed"
    await kit.system.restart("/rows/1")
    assert await kit.system.at("/rows/1").call(1) == 1


@actor_test
async def test_wishes_that_cannot_be_granted_say_so(kit):
    system = kit.system
    await kit.supervisor(ChildSpec("a", Plain))
    lone = system.spawn(Plain, name="lone")
    with pytest.raises(NotFound):
        await system.restart("/nobody")
    with pytest.raises(NotFound):
        await system.stop("/supervisor/b")
    with pytest.raises(Conflict):
        await system.restart("/lone")
    with pytest.raises(Conflict):
        await system.stop("/")
    with pytest.raises(Conflict):
        system.suspend("/supervisor")
    await system.stop("/supervisor/a")
    with pytest.raises(Conflict):
        system.resume("/supervisor/a")
    await system.stop("/lone")
    assert not lone.is_alive()

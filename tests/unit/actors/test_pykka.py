"""Promise: what people know from pykka holds, from any thread; and pykka's private names are still there."""

import pathlib
import re

import pykka
import pytest
import trio
from actor_samples import Plain, both_modes

import hivemind.actors
from hivemind.actors import Actor, ActorDeadError, ActorSystem, Policies, WouldDeadlock


class Counter(Actor):
    """A pykka actor as in its handbook, save for the base class."""

    expected_errors = (ArithmeticError,)

    def __init__(self):
        super().__init__()
        self.count = 0

    def add(self, number):
        self.count += number
        return self.count

    def divide(self, by):
        return self.count / by

    def on_receive(self, message):
        if message == "who":
            return self.actor_urn
        return self.add(message)


class TaskCounter(Counter):
    mode = "task"


class AsyncCounter(Counter):
    async def add(self, number):
        await trio.lowlevel.checkpoint()
        return super().add(number)


counters = pytest.mark.parametrize("cls", [Counter, TaskCounter, AsyncCounter])


def in_thread(function, **options):
    """Run a function in another thread beside a system."""

    async def main():
        async with ActorSystem(**options):
            return await trio.to_thread.run_sync(function)

    return trio.run(main)


@counters
def test_tell_ask_stop_from_another_thread(cls):
    def client():
        ref = cls.start()
        assert isinstance(ref, pykka.ActorRef)
        assert ref.actor_class is cls
        ref.tell(1)
        assert ref.ask(2) == 3
        assert ref.ask(3, block=False).get(timeout=5) == 6
        assert ref.is_alive()
        assert ref.stop() is True
        assert ref.stop() is False
        assert not ref.is_alive()
        assert ref.actor_stopped.is_set()
        with pytest.raises(pykka.ActorDeadError):
            ref.tell(1)
        with pytest.raises(pykka.ActorDeadError):
            ref.ask(1)
        return True

    assert in_thread(client)


@counters
def test_proxies_from_another_thread(cls):
    def client():
        proxy = cls.start().proxy()
        assert proxy.add(2).get() == 2
        assert proxy.count.get() == 2
        proxy.count = 10
        assert proxy.divide(4).get() == 2.5
        with pytest.raises(ZeroDivisionError):
            proxy.divide(0).get()
        assert proxy.add(1).get() == 11
        return True

    assert in_thread(client)


@counters
def test_proxies_on_the_loop_are_awaited(cls):
    async def main():
        async with ActorSystem():
            proxy = cls.start().proxy()
            return await proxy.add(2), await proxy.add(3), await proxy.count

    assert trio.run(main) == (2, 5, 5)


def test_derived_futures_are_awaitable_and_never_block_the_loop():
    async def main():
        async with ActorSystem():
            ref = AsyncCounter.start()
            one, other = ref.ask(1, block=False), ref.ask(2, block=False)
            joined = one.join(other).map(sum)
            doubled = other.map(lambda value: value * 2)
            folded = one.join(other).reduce(lambda left, right: left + right, 10)
            even = one.join(other).filter(lambda value: value % 2 == 0)
            return await joined, await doubled, await folded, await even

    assert trio.run(main) == (4, 6, 14, [])


@pytest.mark.parametrize(
    "blocking",
    [
        lambda ref: ref.ask(1),
        lambda ref: ref.ask(1, block=False).get(),
        lambda ref: ref.stop(),
        lambda ref: ref.actor_stopped.wait(1),
    ],
)
def test_a_blocking_call_on_the_loops_thread_raises_at_once(blocking):
    async def main():
        async with ActorSystem():
            ref = AsyncCounter.start()
            with pytest.raises(WouldDeadlock):
                blocking(ref)

    trio.run(main)


def test_a_future_that_is_set_already_may_be_read_on_the_loop():
    async def main():
        async with ActorSystem():
            future = Counter.start().ask(1, block=False)
            await future
            assert future.get() == 1

    trio.run(main)


def test_a_timeout_of_a_blocking_ask():
    class Deaf(Actor):
        async def on_receive(self, message):
            await trio.sleep_forever()

    def client():
        with pytest.raises(pykka.Timeout):
            Deaf.start().ask(1, timeout=0.01)
        return True

    async def main():
        async with ActorSystem() as system:
            result = await trio.to_thread.run_sync(client)
            for ref in pykka.ActorRegistry.get_by_class(Deaf):
                ref.kill()
            assert system
            return result

    assert trio.run(main)


def test_stopped_flag_can_be_waited_for_in_another_thread():
    def client():
        ref = Counter.start()
        assert ref.actor_stopped.wait(0.01) is False
        ref.stop(block=False)
        return ref.actor_stopped.wait(5)

    assert in_thread(client)


def test_the_registry_shows_our_actors_beside_pykkas_threads():
    class Threaded(pykka.ThreadingActor):
        pass

    def client():
        ours, theirs = Counter.start(), Threaded.start()
        try:
            registry = pykka.ActorRegistry
            assert {ours, theirs} <= set(registry.get_all())
            assert registry.get_by_class(Counter) == [ours]
            assert registry.get_by_class_name("Threaded") == [theirs]
            assert registry.get_by_urn(ours.actor_urn) is ours
            assert ours.ask("who") == ours.actor_urn
            registry.broadcast(5, target_class=Counter)
            assert ours.ask(0) == 5
        finally:
            theirs.stop()
        ours.stop()
        assert registry.get_all() == []
        return True

    assert in_thread(client)


def test_stop_all_from_another_thread():
    def client():
        Counter.start()
        TaskCounter.start()
        return pykka.ActorRegistry.stop_all(timeout=5)

    assert in_thread(client) == [True, True]


@both_modes
def test_no_message_of_four_threads_is_lost_or_reordered(cls):
    each = 5_000

    class Recorder(cls):
        async def on_receive(self, message):
            if message != "all":
                self.log.append(message)
            return self.log

    async def main():
        async with ActorSystem(policies=Policies.from_mapping({"actor": {"mailbox_limit": 0}})) as system:
            ref = system.spawn(Recorder)

            def produce(name):
                for number in range(each):
                    ref.tell((name, number))
                ref.ask("all")

            async with trio.open_nursery() as nursery:
                for name in range(4):
                    nursery.start_soon(trio.to_thread.run_sync, produce, name)
            return await ref.call("all")

    log = [entry for entry in trio.run(main) if type(entry) is tuple]
    assert len(log) == 4 * each
    for name in range(4):
        assert [number for who, number in log if who == name] == list(range(each))


def test_a_tell_to_a_full_mailbox_waits_in_another_thread():
    class Slow(Actor):
        def __init__(self):
            self.log = []

        async def on_receive(self, message):
            await trio.lowlevel.checkpoint()
            self.log.append(message)
            return list(self.log)

    def client():
        ref = Slow.start()
        for number in range(200):
            ref.tell(number)
        return ref.ask("end")

    log = in_thread(client, policies=Policies.from_mapping({"actor": {"mailbox_limit": 5}}))
    assert log == [*range(200), "end"]


def test_a_system_that_has_ended_answers_other_threads():
    async def main():
        async with ActorSystem() as system:
            return system.spawn(Plain)

    ref = trio.run(main)
    with pytest.raises(ActorDeadError):
        ref.tell(1)
    with pytest.raises(ActorDeadError):
        ref.ask(1)


# -- one guard for each private name that the runtime leans on


def test_envelope_has_its_two_fields():
    from pykka._envelope import Envelope

    envelope = Envelope("message", reply_to=None)
    assert (envelope.message, envelope.reply_to) == ("message", None)


def test_the_stop_message_is_there():
    from pykka.messages import _ActorStop

    assert _ActorStop() == ()


def test_handle_receive_takes_proxy_messages():
    class Target:
        value = 3

    handle = pykka.Actor._handle_receive
    assert handle(Target(), pykka.messages.ProxyGetAttr(("value",))) == 3


def test_a_proxy_reads_the_actor_through_its_weak_reference():
    import inspect

    assert "_actor_weakref()" in inspect.getsource(pykka.ActorProxy.__init__)


def test_the_registry_keeps_its_refs_in_one_list_behind_one_lock():
    assert hasattr(pykka.ActorRegistry, "_actor_refs")
    assert hasattr(pykka.ActorRegistry, "_actor_refs_lock")


def test_trio_still_keeps_the_random_source_that_the_kit_seeds():
    assert trio._core._run._r.seed(0) is None


def test_only_the_actors_package_imports_pykka():
    house = pathlib.Path(hivemind.actors.__file__).parents[1]
    offenders = [
        str(path)
        for path in house.rglob("*.py")
        if path.parent.name != "actors"
        and re.search(r"^\s*(import|from) pykka", path.read_text(), re.MULTILINE)
    ]
    assert offenders == []

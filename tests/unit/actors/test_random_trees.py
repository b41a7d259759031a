# ruff: noqa: A002 -- an exit is what ends an actor, as in OTP
"""Promise: whatever happens to a tree, in whatever order, its invariants hold.

Random trees, random crashes, kills, stops, suspensions, messages and jumps of the clock; after each step no
child lives under a dead parent, every request is answered exactly once by the end, every incarnation that
came to life had its last word once, and starts keep their order.
"""

import contextlib
import random

import pytest
import trio
import trio.testing
from actor_samples import Worker

from hivemind.actors import (
    ActorDeadError,
    ActorSystem,
    ChildSpec,
    Escalated,
    RestartChild,
    RowSupervisor,
    Supervisor,
)
from hivemind.actors.mailbox import IDLE
from hivemind.actors.testing import ActorTestKit, seed_schedule


def random_tree(rng, log, depth=0):
    children = []
    for number in range(rng.randint(1, 4)):
        name = f"n{number}"
        policy = {
            "restart": rng.choice(["permanent", "permanent", "transient", "temporary"]),
            "max_restarts": rng.choice([1, 3, 10]),
            "within_seconds": 5.0,
            "backoff_initial_seconds": rng.choice([0, 0, 0.5]),
            "keep_mailbox": rng.random() < 0.8,
        }
        kind = rng.random()
        if depth < 2 and kind < 0.35:
            options = {"strategy": rng.choice(["one_for_one", "one_for_all", "rest_for_one"])}
            children.append(ChildSpec(name, Supervisor, (random_tree(rng, log, depth + 1),), options, policy))
        elif kind < 0.5:
            cls = rng.choice([Traced, TracedTask])
            children.append(ChildSpec(name, RowSupervisor, (row_maker(cls, log, policy),), {}, policy))
        else:
            children.append(ChildSpec(name, rng.choice([Traced, TracedTask]), (name, log), {}, policy))
    return children


def row_maker(cls, log, policy):
    return lambda row: ChildSpec(row, cls, (row, log), {}, policy)


class Traced(Worker):
    lives = None

    def __init__(self, name, log):
        super().__init__(name, log)
        Traced.lives[id(self)] = [self, 0]

    async def on_start(self):
        await super().on_start()
        self.spawn_task(trio.sleep_forever)

    def on_exit(self, exit):
        Traced.lives[id(self)][1] += 1


class TracedTask(Traced):
    mode = "task"


async def play(kit, rng, log):
    system = kit.system
    await system.start(*random_tree(rng, log))
    asked = []
    for _ in range(60):
        cells = [cell for cell in system.cells.values() if cell.address != "/" and not cell.closed]
        if not cells:
            break
        cell = rng.choice(cells)
        match rng.choice(
            ["tell", "ask", "boom", "hang", "crash", "kill", "stop", "suspend", "row", "operator"]
        ):
            case "tell":
                cell.mailbox.put_late(("sleep", 0.1))
            case "ask":
                asked.append(cell.ref.ask(rng.choice([1, ("sleep", 0.3)]), block=False))
            case "boom" if isinstance(cell.actor, Traced):
                asked.append(cell.ref.ask("boom", block=False))
            case "hang" if isinstance(cell.actor, Traced):
                asked.append(cell.ref.ask("hang", block=False))
            case "crash":
                cell.crash(RuntimeError("random"))
            case "kill":
                cell.kill()
            case "stop":
                cell.stop()
            case "suspend":
                cell.suspend()
                system.timers.after(1, cell.resume)
            case "row" if isinstance(cell.actor, RowSupervisor):
                with contextlib.suppress(ActorDeadError):  # given up, or its supervisor is stopping
                    asked.append(system.at(f"{cell.address}/r{rng.randint(0, 3)}").ask(1))
            case "operator" if cell.supervisor is not None:
                asked.append(cell.supervisor.actor_ref.ask(RestartChild(cell.name), block=False))
        if rng.random() < 0.7:
            await kit.advance(rng.choice([0, 0, 0.2, 1, 7]))
            check(system)
    return asked


def check(system):
    for cell in system.cells.values():
        if cell.supervisor is not None and cell.actor is not None:
            assert cell.supervisor._cell.actor is cell.supervisor, f"{cell.address} outlived its parent"
            assert cell.supervisor.children[cell.address] is cell
        # The system has settled: who is up and busy with nothing has no mail and no signal waiting.
        if cell.state == "up" and cell.actor is not None and cell.grip is None:
            assert not cell.mailbox.queue, f"{cell.address} is stuck with {len(cell.mailbox)} messages"
            assert not cell.mailbox.signal, f"{cell.address} does not obey {cell.mailbox.signal}"
            assert cell.mailbox.state == IDLE, f"{cell.address} is up in state {cell.mailbox.state}"
    for actor, exits in Traced.lives.values():
        alive = actor._cell.actor is actor
        assert exits == (0 if alive else 1), f"{actor._cell.address}: {exits} last words, alive {alive}"


@pytest.mark.parametrize("seed", range(120))
def test_invariants_hold_in_a_random_tree(seed):
    rng = random.Random(seed)
    log, asked = [], []
    Traced.lives = {}
    clock = trio.testing.MockClock()

    async def main():
        async with ActorSystem() as system:
            try:
                asked.extend(await play(ActorTestKit(system, clock), rng, log))
            finally:
                clock.autojump_threshold = 0

    seed_schedule(seed)
    with contextlib.suppress(Escalated):  # the whole tree failed too often: an end like any other
        trio.run(main, clock=clock)
    assert all(exits == 1 for _, exits in Traced.lives.values())
    assert all(future.done for future in asked)


def test_the_model_does_see_a_missing_last_word():
    class Mute(Traced):
        def on_exit(self, exit):
            pass

    Traced.lives = {}

    async def main():
        async with ActorSystem() as system:
            ref = system.spawn(Mute, "m", [])
            await trio.testing.wait_all_tasks_blocked()
            ref.kill()
            await trio.testing.wait_all_tasks_blocked()
            check(system)

    with pytest.raises(AssertionError, match="0 last words"):
        trio.run(main)

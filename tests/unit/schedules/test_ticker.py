"""Promise: the schedules are looked at at the start of each minute, whatever one look does."""

from datetime import UTC, datetime, timedelta

import trio
from uuid_utils.compat import uuid7

from hivemind.actors import Actor, ChildSpec
from hivemind.actors.testing import actor_test
from hivemind.agents.dispatcher import Cancelled, Wake
from hivemind.errors import DatabaseUnavailable
from hivemind.schedules.ticker import Ticker
from hivemind.schedules.ticking import Fired, Sweep

START = datetime(2026, 11, 25, 11, 59, 30, tzinfo=UTC)


class Looks:
    """Stands for the database: what each look finds, and when it came."""

    def __init__(self, *results):
        self.at = []
        self.results = list(results)
        self.began = trio.current_time()

    def now(self):
        return START + timedelta(seconds=trio.current_time() - self.began)

    async def sweep(self, now):
        self.at.append((now - START).total_seconds())
        result = self.results.pop(0) if self.results else Sweep()
        if isinstance(result, Exception):
            raise result
        if isinstance(result, int):
            await trio.sleep(result)
            return Sweep()
        return result


class Listener(Actor):
    heard = []

    def on_receive(self, message):
        self.heard.append(message)


async def start(kit, looks):
    await kit.supervisor(
        ChildSpec("directives", Listener),
        ChildSpec("schedules", Ticker, (looks.sweep, looks.now)),
        name="workers",
    )


@actor_test
async def test_a_look_at_the_start_and_then_at_each_full_minute(kit):
    looks = Looks()
    await start(kit, looks)
    with kit.running_clock():
        await trio.sleep(200)
    assert looks.at == [0, 30, 90, 150]


@actor_test
async def test_a_look_that_takes_long_does_not_move_the_next_ones(kit):
    looks = Looks(0, 45, 70)
    await start(kit, looks)
    with kit.running_clock():
        await trio.sleep(300)
    assert looks.at == [0, 30, 90, 210, 270]


@actor_test
async def test_a_database_that_is_away_is_asked_again_soon(kit):
    looks = Looks(DatabaseUnavailable(), DatabaseUnavailable())
    await start(kit, looks)
    with kit.running_clock():
        await trio.sleep(40)
    assert looks.at == [0, 5, 10, 30]


@actor_test
async def test_what_was_made_wakes_the_dispatcher_and_what_gave_way_is_told_to_it(kit):
    Listener.heard.clear()
    gone = uuid7()
    looks = Looks(Sweep((Fired("skipped_overlap"),), 2), Sweep((Fired("fired", uuid7(), (gone,)),)))
    await start(kit, looks)
    await kit.settle()
    assert Listener.heard == []
    await kit.advance(30)
    assert Listener.heard == [Cancelled(gone), Wake()]
    assert kit.system.snapshot("/workers/schedules").facts == {
        "looked_at": START + timedelta(seconds=30),
        "fired": 1,
        "failures": 2,
    }

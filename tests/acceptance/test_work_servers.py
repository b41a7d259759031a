"""Promise: work that nobody waits for is done once, when servers share a database and when one is killed."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import trio

from hivemind.persistence import Database
from hivemind.watchdog import Sweep

_spec = importlib.util.spec_from_file_location(
    "process_faults", Path(__file__).with_name("test_process_faults.py")
)
faults = importlib.util.module_from_spec(_spec)
sys.modules["process_faults"] = faults
_spec.loader.exec_module(faults)
installation = faults.installation

UNENDED = "select from directives where state in ('queued', 'running')"
QUICK = {"HIVEMIND_DIRECTIVES_LEASE_SECONDS": "1", "HIVEMIND_DIRECTIVES_POLL_SECONDS": "0.1"}


def test_a_directive_of_a_killed_server_is_done_once_by_the_next(installation, new_model):
    async def main():
        gate = trio.Event()
        async with new_model().serving() as model:
            installation.calls(model)
            model.says("One, ", gate, "two.")
            async with installation.server(**QUICK) as (process, url), faults.client(url) as http:
                key = (installation.folder / "secrets" / "admin_api_key").read_text().strip()
                body = {"profile": "hello", "text": "count"}
                response = await http.post("/api/v1/directives", json=body, headers={"X-API-Key": key})
                assert response.status_code == 201, response.text
                await model.asked(1)
                process.kill()
                await process.wait()
            gate.set()
            async with installation.server(**QUICK), Database(installation.conninfo, size=1) as database:
                while await database.fetch_all(UNENDED):
                    await trio.sleep(0.05)
                (row,) = await database.fetch_all("select state, result, attempts, takes from directives")
                assert row == {"state": "done", "result": "One, two.", "attempts": 1, "takes": 2}
                assert await database.fetch_one(faults.ONCE) == faults.once(1)

    faults.run(main)


@pytest.fixture
def with_two_servers(running_server, database_url):
    """Run `await test(first, second)`: two whole servers on one database."""

    def run(test, **sections):
        async def main():
            with trio.fail_after(60):
                async with (
                    running_server(database_url, **sections) as first,
                    running_server(database_url, **sections) as second,
                ):
                    await test(first, second)

        trio.run(main)

    return run


async def give(site, text):
    response = await site.client.post(
        "/api/v1/directives",
        json={"profile": "hello", "text": text},
        headers={"X-API-Key": site.admin_key},
    )
    assert response.status_code == 201, response.text


def test_the_watchdog_of_one_server_leaves_the_turns_of_the_other_alone(with_two_servers):
    async def test(first, second):
        go_on = trio.Event()
        first.model.says("One, ", go_on, "two.")
        replies = []

        async def ask():
            replies.append(await first.say("count"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await first.model.asked()
            for site in (second, first, second):
                await site.system.at("/workers/watchdog").call(Sweep())
            await second.system.at("/workers/watchdog").call(Sweep())
            assert second.system.tree("/agents").children == ()
            go_on.set()
        assert replies[0]["reply"] == "One, two."
        (turn,) = await first.rows(
            "select t.attempts, a.epoch from turns t join agents a on a.id = t.agent_id"
        )
        assert turn == {"attempts": 1, "epoch": 1} and not second.model.requests

    with_two_servers(test)


def test_two_servers_do_each_directive_once(with_two_servers):
    async def test(first, second):
        async with trio.open_nursery() as nursery:
            for n in range(40):
                nursery.start_soon(give, (first, second)[n % 2], f"Job {n}")
        while await first.rows(UNENDED):
            await trio.sleep(0.02)
        done = await first.rows("select state, attempts, takes from directives")
        assert done == [{"state": "done", "attempts": 1, "takes": 1}] * 40
        asked = [
            request["messages"][-1]["content"] for site in (first, second) for request in site.model.requests
        ]
        assert sorted(asked) == sorted(f"Job {n}" for n in range(40))
        assert await first.value("select count(*) from turns") == 40

    with_two_servers(test, directives={"concurrency": 4, "poll_seconds": 0.05})


def test_two_servers_fire_a_due_time_once(with_two_servers):
    async def test(first, second):
        for n in range(10):
            body = {"name": f"s{n}", "cron": "* * * * *", "profile": "hello", "text": f"Tick {n}"}
            response = await first.client.post(
                "/api/v1/schedules", json=body, headers={"X-API-Key": first.admin_key}
            )
            assert response.status_code == 201
        await first.database.execute("update schedules set next_run_at = date_trunc('minute', now())")
        for site in (first, second):
            site.system.at("/workers/schedules").ref._cell.crash(RuntimeError("looks again at its restart"))
        looks = "select count(distinct schedule_id) from schedule_ticks"
        while await first.value(looks) < 10 or await first.rows(UNENDED):
            await trio.sleep(0.02)
        ticks = await first.rows(
            "select count(*) from directives d join schedule_ticks t on t.directive_id = d.id"
            " group by t.schedule_id, t.due_at"
        )
        assert {row["count"] for row in ticks} == {1}
        fired = await first.value("select count(*) from schedule_ticks where outcome = 'fired'")
        assert fired == await first.value("select count(*) from directives")

    with_two_servers(test, directives={"poll_seconds": 0.05})


def test_one_whose_agent_waits_for_a_person_takes_no_place(with_site):
    async def test(site):
        site.model.says(trio.Event(), when="Long")
        await give(site, "Long")
        await site.model.asked(1, "Long")
        await give(site, "Short")
        await site.database.execute("update agents set state = 'waiting_approval'")
        while await site.value("select state from directives where text = 'Short'") != "done":
            await trio.sleep(0.02)
        assert await site.value("select state from directives where text = 'Long'") == "running"
        assert json.dumps(list(site.model.requests)).count("Short") == 1

    with_site(test, directives={"concurrency": 1, "lease_seconds": 0.6, "poll_seconds": 0.05})

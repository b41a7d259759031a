"""Caps hold across processes, and a process that is killed leaves nothing stuck after its leases."""

import subprocess
import sys
from pathlib import Path

from hivemind.budgets import release_expired

SCRIPT = Path(__file__).with_name("turns.py")
ROOT = Path(__file__).parents[3]
LEASE_SECONDS = 0.3
OTHERS = (
    "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    " and backend_type = 'client backend'"
)
# By the database's clock.
LEASES_ARE_OVER = (
    "select pg_sleep(greatest(0, extract(epoch from max(lease_until) - clock_timestamp()))) from reservations"
)


def start(conninfo, count, lease_seconds, *more):
    return subprocess.Popen(
        [sys.executable, SCRIPT, conninfo, str(count), str(lease_seconds), *more],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def begin(*processes):
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


def test_two_hundred_turns_of_four_processes_against_a_cap_for_ten_admit_ten(on_ledger, database_url):
    async def test(ledger):
        caps = [
            await ledger.cap("profile", "*", "day", 10_000),
            await ledger.cap("install", "", "month", 50_000),
        ]
        processes = [start(database_url, 50, 60) for _ in range(4)]
        begin(*processes)
        outcomes = [line for process in processes for line in process.communicate()[0].split()]
        assert [process.returncode for process in processes] == [0] * 4
        assert outcomes.count("admitted") == 10
        assert outcomes.count("budget_exceeded") == 190
        assert [await ledger.stands(cap) for cap in caps] == [(0, 10_000)] * 2
        (row,) = await ledger.database.fetch_all("select count(*) from turns")
        assert row["count"] == 10

    on_ledger(test)


def test_a_process_killed_in_the_middle_leaves_nothing_stuck_after_its_leases(on_ledger, database_url):
    async def test(ledger):
        cap = await ledger.cap("install", "", "day", 10_000)
        process = start(database_url, 5, LEASE_SECONDS, "stay")
        begin(process)
        while process.stdout.readline().strip() != "done":
            pass
        process.kill()
        process.communicate()
        assert (await ledger.stands(cap))[0] == 0
        await ledger.database.fetch_one(LEASES_ARE_OVER)
        assert await release_expired(ledger.database) == 5
        assert await ledger.stands(cap) == (0, 0)
        await ledger.admit(10_000)

    on_ledger(test)


def test_processes_killed_while_they_admit_leave_what_is_held_and_what_is_written_equal(
    on_ledger, database_url
):
    async def test(ledger):
        cap = await ledger.cap("install", "", "day", 10**9)
        process = start(database_url, 2_000, LEASE_SECONDS)
        begin(process)
        while (await ledger.stands(cap))[1] < 20_000:
            pass  # each look is a round trip
        process.kill()
        process.communicate()
        # What was in flight ends, or is rolled back, before its connection is gone.
        while (await ledger.database.fetch_one(OTHERS))["count"]:
            pass
        (turns,) = await ledger.database.fetch_all("select count(*) from turns")
        (rows,) = await ledger.database.fetch_all("select count(*) from reservations")
        assert rows["count"] == turns["count"] >= 20
        assert await ledger.stands(cap) == (0, turns["count"] * 1_000)
        await ledger.database.fetch_one(LEASES_ARE_OVER)
        assert await release_expired(ledger.database) == turns["count"]
        assert await ledger.stands(cap) == (0, 0)

    on_ledger(test)

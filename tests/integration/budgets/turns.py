"""A process that admits turns against the caps of a database; run by `test_processes`.

    turns.py CONNINFO COUNT LEASE_SECONDS [stay]

Prints one line for each outcome; with `stay` it then waits to be killed, holding what it holds.
"""

import sys
from uuid import UUID

import trio
from uuid_utils.compat import uuid7

from hivemind.agents import journal
from hivemind.agents.journal import Admission
from hivemind.errors import BudgetExceeded
from hivemind.persistence import Database

HELLO = UUID("01980000-0000-7000-8000-000000000001")


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(conninfo, count, lease_seconds, stay):
    async with Database(conninfo, size=8, wait_seconds=60) as database:

        async def admit():
            admission = Admission(
                uuid7(), uuid7(), HELLO, "somebody", True, 1, None, "m", "question", 1_000, lease_seconds, {}
            )
            try:
                say((await journal.admit(database, admission)).outcome)
            except BudgetExceeded as error:
                say(error.code)

        await database.fetch_one("select 1")
        sys.stdin.readline()  # all processes begin at once
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(admit)
        if stay:
            say("done")
            await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:] == ["stay"])

"""Turns and caps on a real Postgres."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest
import trio
from uuid_utils.compat import uuid7

from hivemind.agents import journal
from hivemind.agents.events import Usage
from hivemind.agents.journal import Admission
from hivemind.budgets import Rule
from hivemind.budgets import caps as store
from hivemind.persistence import Database, migrate

HELLO = UUID("01980000-0000-7000-8000-000000000001")
PATIENCE_SECONDS = 60


@dataclass
class Ledger:
    """A database without caps of its own, and what tests ask of it."""

    database: Database

    async def admit(self, reserve_micros=1_000, **changes):
        """Admit one turn; the admission that was made, with the outcome."""
        values = {
            "turn_id": uuid7(),
            "agent_id": uuid7(),
            "profile_id": HELLO,
            "caller": "somebody",
            "opens": True,
            "epoch": 1,
            "idempotency": None,
            "model": "dear",
            "text": "question",
            "reserve_micros": reserve_micros,
            "lease_seconds": 60.0,
            "detail": {},
        }
        admission = Admission(**(values | changes))
        return admission, await journal.admit(self.database, admission)

    async def commit(self, admission, cost_micros, state="answered"):
        usage = Usage(10, 5, cost_micros)
        assert await journal.commit(self.database, admission.turn_id, 1, state, "reply", usage, None, {})

    async def cap(self, scope, subject, period, limit_micros, soft_share=None, on_soft="warn"):
        rule = Rule(scope, str(subject), period, limit_micros, soft_share, on_soft)
        return await store.create(self.database, rule, by="test")

    async def stands(self, cap):
        """What is spent and held in the cap's fullest window of the moment."""
        window = (await store.cap(self.database, cap.id)).window
        return window.spent_micros, window.reserved_micros

    async def actions(self):
        rows = await self.database.fetch_all("select action, detail from audit_log order by id")
        return [row["action"] for row in rows]


@pytest.fixture
def on_ledger(database_url):
    """Run `await test(ledger)`."""

    @asynccontextmanager
    async def opened():
        async with Database(database_url, size=8) as database:
            await migrate(database)
            await database.execute("delete from caps")
            yield Ledger(database)

    def run(test):
        async def main():
            with trio.fail_after(PATIENCE_SECONDS):
                async with opened() as ledger:
                    await test(ledger)

        trio.run(main)

    return run

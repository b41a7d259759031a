"""Whatever happens in whatever order and at once: what caps count is the sum of what turns hold and cost."""

import random

import pytest
import trio
from uuid_utils.compat import uuid7

from hivemind.agents import journal
from hivemind.agents.events import Usage
from hivemind.budgets import hold, release_expired
from hivemind.errors import BudgetExceeded

WORKERS = 8
STEPS = 60
LIMIT = 40_000
BALANCE = """
select w.cap_id, w.subject, c.limit_micros, w.spent_micros, w.reserved_micros,
       coalesce((select sum(r.amount_micros) from reservations r
                 where r.cap_id = w.cap_id and r.subject = w.subject), 0)::bigint as held
from cap_windows w join caps c on c.id = w.cap_id
"""


@pytest.mark.parametrize("seed", range(4))
def test_the_books_balance(on_ledger, seed):
    async def test(ledger):
        chance = random.Random(seed)
        profile = "01980000-0000-7000-8000-000000000001"
        for scope, subject in (("install", ""), ("profile", profile), ("caller", "*"), ("agent", "*")):
            for period in ("day", "month"):
                await ledger.cap(scope, subject, period, LIMIT * chance.randint(1, 4))
        top, _ = await ledger.admit(0)
        spent = 0
        outcomes = {"admitted": 0, "refused": 0}

        async def work(number):
            nonlocal spent
            own = random.Random(seed * 100 + number)
            for _ in range(STEPS):
                worst = own.randint(1, 4_000)
                try:
                    asked, _ = await ledger.admit(
                        worst,
                        caller=own.choice("abc"),
                        lease_seconds=own.choice((0.0, 60.0)),
                        parent_id=own.choice((None, top.agent_id)),
                        turn_id=uuid7(),
                    )
                except BudgetExceeded:
                    outcomes["refused"] += 1
                    continue
                outcomes["admitted"] += 1
                total = worst
                if own.random() < 0.5:
                    total = worst + own.randint(-worst, 2_000)
                    try:
                        await hold(ledger.database, asked.turn_id, 1, total, own.choice((0.0, 60.0)))
                    except BudgetExceeded:
                        total = 0
                if own.random() < 0.3:
                    await release_expired(ledger.database)
                if own.random() < 0.8:
                    cost = own.randint(0, min(total, worst) // 8)
                    state = own.choice(("answered", "failed", "interrupted"))
                    usage = Usage(1, 1, cost)
                    assert await journal.commit(
                        ledger.database, asked.turn_id, 1, state, None, usage, None, {}
                    )
                    spent += cost

        async with trio.open_nursery() as nursery:
            for number in range(WORKERS):
                nursery.start_soon(work, number)
        assert outcomes["admitted"] > 50
        assert outcomes["refused"] > 0
        rows = await ledger.database.fetch_all(BALANCE)
        for row in rows:
            assert row["reserved_micros"] == row["held"]
            assert row["spent_micros"] <= row["limit_micros"]
        (install,) = await ledger.database.fetch_all(
            "select w.spent_micros from cap_windows w join caps c on c.id = w.cap_id"
            " where c.scope = 'install' and c.period = 'day'"
        )
        assert install["spent_micros"] == spent
        (costs,) = await ledger.database.fetch_all("select sum(cost_micros)::bigint as sum from costs")
        assert costs["sum"] == spent

    on_ledger(test)

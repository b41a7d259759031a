"""Every cap that applies to a turn holds its worst case, and none that does not."""

import pytest
from uuid_utils.compat import uuid7

from hivemind.agents import journal
from hivemind.budgets import hold, release_expired
from hivemind.errors import BudgetExceeded


def test_a_turn_is_held_in_every_cap_of_the_cascade_and_booked_once_in_each(on_ledger):
    async def test(ledger):
        profile, agent, schedule = "01980000-0000-7000-8000-000000000001", uuid7(), uuid7()
        subjects = {
            "install": "",
            "profile": profile,
            "agent": agent,
            "schedule": schedule,
            "caller": "somebody",
        }
        caps = [
            await ledger.cap(scope, subject, period, 10_000)
            for scope, subject in subjects.items()
            for period in ("day", "month")
        ]
        others = [
            await ledger.cap(scope, uuid7(), "day", 10_000) for scope in ("profile", "agent", "schedule")
        ]
        others.append(await ledger.cap("caller", "somebody else", "day", 10_000))
        asked, _ = await ledger.admit(agent_id=agent, schedule_id=schedule)
        assert [await ledger.stands(cap) for cap in caps] == [(0, 1_000)] * 10
        await ledger.commit(asked, 300)
        assert [await ledger.stands(cap) for cap in caps] == [(300, 0)] * 10
        assert [await ledger.stands(cap) for cap in others] == [(0, 0)] * 4
        (cost,) = await ledger.database.fetch_all("select schedule_id, cost_micros, call from costs")
        assert cost == {"schedule_id": schedule, "cost_micros": 300, "call": 1}

    on_ledger(test)


@pytest.mark.parametrize("scope", ["install", "profile", "agent", "schedule", "caller"])
@pytest.mark.parametrize("period", ["turn", "day", "month"])
def test_any_one_cap_of_the_cascade_refuses_and_nothing_is_left(on_ledger, scope, period):
    async def test(ledger):
        profile, agent, schedule = "01980000-0000-7000-8000-000000000001", uuid7(), uuid7()
        subjects = {
            "install": "",
            "profile": profile,
            "agent": agent,
            "schedule": schedule,
            "caller": "somebody",
        }
        wide = await ledger.cap(
            "install", "", "day" if (scope, period) != ("install", "day") else "month", 10**9
        )
        tight = await ledger.cap(scope, subjects[scope], period, 999)
        with pytest.raises(BudgetExceeded, match=f"The {scope} cap for (this|one) {period}") as caught:
            await ledger.admit(agent_id=agent, schedule_id=schedule)
        assert caught.value.detail == {"cap": str(tight.id)}
        assert await ledger.stands(wide) == (0, 0)
        assert await ledger.database.fetch_all("select from turns") == []
        await ledger.admit(999, agent_id=agent, schedule_id=schedule)

    on_ledger(test)


def test_a_cap_for_everyone_counts_each_by_themselves(on_ledger):
    async def test(ledger):
        cap = await ledger.cap("caller", "*", "day", 1_500)
        await ledger.admit(caller="one")
        await ledger.admit(caller="two")
        with pytest.raises(BudgetExceeded):
            await ledger.admit(caller="one")
        await ledger.admit(500, caller="one")
        assert await ledger.stands(cap) == (0, 1_500)

    on_ledger(test)


def test_an_agent_that_works_for_another_spends_in_the_caps_of_both(on_ledger):
    async def test(ledger):
        top, _ = await ledger.admit(0)
        middle, _ = await ledger.admit(0, parent_id=top.agent_id)
        caps = [await ledger.cap("agent", asked.agent_id, "day", 1_500) for asked in (top, middle)]
        asked, _ = await ledger.admit(parent_id=middle.agent_id)
        assert [await ledger.stands(cap) for cap in caps] == [(0, 1_000)] * 2
        with pytest.raises(BudgetExceeded, match="agent cap"):
            await ledger.admit(parent_id=middle.agent_id)
        await ledger.commit(asked, 1_000)
        # Its next turn too: the chain is in its row.
        with pytest.raises(BudgetExceeded, match="agent cap"):
            await ledger.admit(agent_id=asked.agent_id, opens=False)

    on_ledger(test)


def test_what_costs_nothing_is_not_held_anywhere(on_ledger):
    async def test(ledger):
        await ledger.cap("install", "", "day", 0)
        asked, _ = await ledger.admit(0)
        assert await ledger.database.fetch_all("select from reservations") == []
        await ledger.commit(asked, 0)

    on_ledger(test)


def test_a_turn_that_goes_on_holds_what_it_cost_and_what_comes(on_ledger):
    async def test(ledger):
        day = await ledger.cap("install", "", "day", 3_000)
        await ledger.cap("profile", "*", "turn", 2_500)
        asked, _ = await ledger.admit(1_000)
        for _ in range(2):  # it may be repeated
            assert await hold(ledger.database, asked.turn_id, 1, 2_200, 60)
            assert await ledger.stands(day) == (0, 2_200)
        with pytest.raises(BudgetExceeded, match="profile cap for one turn"):
            await hold(ledger.database, asked.turn_id, 1, 2_501, 60)
        other, _ = await ledger.admit(800)
        with pytest.raises(BudgetExceeded, match="install cap for this day"):
            await hold(ledger.database, asked.turn_id, 1, 2_201, 60)
        assert await ledger.stands(day) == (0, 3_000)
        assert await hold(ledger.database, asked.turn_id, 1, 500, 60)  # less is always fine
        assert await ledger.stands(day) == (0, 1_300)
        assert not await hold(ledger.database, asked.turn_id, 2, 600, 60)  # another incarnation's
        await ledger.commit(asked, 450)
        assert not await hold(ledger.database, asked.turn_id, 1, 600, 60)
        await ledger.commit(other, 800)
        assert await ledger.stands(day) == (1_250, 0)

    on_ledger(test)


def test_a_turn_is_booked_in_the_window_in_which_it_began(on_ledger):
    async def test(ledger):
        await ledger.cap("install", "", "day", 10_000)
        asked, _ = await ledger.admit()
        # As if it had begun yesterday, and its second call came after midnight.
        await ledger.database.execute("update turns set admitted_at = admitted_at - interval '1 day'")
        await ledger.database.execute("update reservations set window_start = window_start - 1")
        await ledger.database.execute("update cap_windows set window_start = window_start - 1")
        assert await hold(ledger.database, asked.turn_id, 1, 2_000, 60)
        await ledger.commit(asked, 1_500)
        rows = await ledger.database.fetch_all("select spent_micros, reserved_micros from cap_windows")
        assert rows == [{"spent_micros": 1_500, "reserved_micros": 0}]

    on_ledger(test)


def test_what_expired_is_nobodys_reason_to_refuse(on_ledger):
    async def test(ledger):
        day = await ledger.cap("install", "", "day", 1_000)
        lost, _ = await ledger.admit(lease_seconds=0.0)
        taken, _ = await ledger.admit()  # without the watchdog
        assert await ledger.stands(day) == (0, 1_000)
        # Who comes back to the lost turn has to hold its money again.
        with pytest.raises(BudgetExceeded):
            await hold(ledger.database, lost.turn_id, 1, 1_000, 60)
        await ledger.commit(taken, 100)
        assert await hold(ledger.database, lost.turn_id, 1, 900, 60)
        await ledger.commit(lost, 200, state="failed")
        assert await ledger.stands(day) == (300, 0)
        assert await release_expired(ledger.database) == 0

    on_ledger(test)


def test_claiming_an_agent_leases_what_its_turn_holds_anew(on_ledger):
    async def test(ledger):
        day = await ledger.cap("install", "", "day", 1_000)
        asked, _ = await ledger.admit(lease_seconds=0.0)
        await journal.claim(ledger.database, asked.agent_id, 60)
        assert await release_expired(ledger.database) == 0
        assert await ledger.stands(day) == (0, 1_000)

    on_ledger(test)

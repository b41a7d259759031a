"""At its soft share a cap warns, shifts to the cheaper model, or asks a person: in the admission itself."""

import pytest

from hivemind.budgets import caps as store
from hivemind.errors import ApprovalRequired, BudgetExceeded
from hivemind.http.caps import ChangeBody, changed

SOFT = "budget:cap:soft-reached"


async def spend(ledger, micros):
    asked, admitted = await ledger.admit(micros)
    await ledger.commit(asked, micros)
    return admitted


def test_reaching_the_share_is_audited_once_a_window_and_nothing_else_happens(on_ledger):
    async def test(ledger):
        cap = await ledger.cap("install", "", "day", 10_000, 0.5, "warn")
        await spend(ledger, 4_999)
        assert SOFT not in await ledger.actions()
        await spend(ledger, 1)
        await spend(ledger, 1)
        assert (await ledger.actions()).count(SOFT) == 1
        (row,) = await ledger.database.fetch_all("select detail from audit_log where action = %s", (SOFT,))
        assert row["detail"]["cap"] == str(cap.id)
        assert row["detail"]["spent_micros"] == 5_000
        assert [cap.id for cap in await store.strained(ledger.database)] == [cap.id]
        # A higher limit may be reached again.
        await store.change(ledger.database, cap.id, 20_000, 0.5, "warn", by="test")
        assert await store.strained(ledger.database) == []
        await spend(ledger, 5_000)
        assert (await ledger.actions()).count(SOFT) == 2

    on_ledger(test)


def test_past_the_share_the_cheaper_model_takes_the_turns(on_ledger):
    async def test(ledger):
        cap = await ledger.cap("profile", "*", "day", 10_000, 0.5, "cheaper")
        wide = await ledger.cap("install", "", "month", 10**9)
        asked, admitted = await ledger.admit(5_000, cheaper=("cheap", 100))
        assert admitted.model == "dear"
        shifted, admitted = await ledger.admit(5_000, cheaper=("cheap", 100))
        assert admitted.model == "cheap"
        assert await ledger.stands(cap) == (0, 5_100)
        assert await ledger.stands(wide) == (0, 5_100)
        await ledger.commit(shifted, 60)
        rows = await ledger.database.fetch_all("select model from costs")
        assert rows == [{"model": "cheap"}]
        # Without a cheaper model it only warns; and when what was held comes back, the dear one is asked again.
        _, admitted = await ledger.admit(1_000)
        assert admitted.model == "dear"
        await ledger.commit(asked, 10)
        _, admitted = await ledger.admit(5_000, cheaper=("cheap", 100))
        assert admitted.model == "dear"

    on_ledger(test)


def test_a_cheaper_model_that_is_free_goes_on_when_nothing_is_left(on_ledger):
    async def test(ledger):
        cap = await ledger.cap("install", "", "day", 1_000, 1.0, "cheaper")
        await spend(ledger, 1_000)
        with pytest.raises(BudgetExceeded):
            await ledger.admit(1)
        asked, admitted = await ledger.admit(1, cheaper=("free", 0))
        assert admitted.model == "free"
        await ledger.commit(asked, 0)
        assert await ledger.stands(cap) == (1_000, 0)

    on_ledger(test)


def test_past_the_share_a_person_is_asked_and_their_word_holds_for_the_window(on_ledger):
    async def test(ledger):
        cap = await ledger.cap("install", "", "day", 10_000, 0.5, "ask")
        await spend(ledger, 5_000)
        with pytest.raises(ApprovalRequired, match="install cap for this day") as caught:
            await ledger.admit(1)
        assert caught.value.detail == {"cap": str(cap.id)}
        acknowledged = await store.acknowledge(ledger.database, cap.id, "", None, by="test")
        assert acknowledged.window.acknowledged_until is not None
        await ledger.admit(5_000)
        with pytest.raises(BudgetExceeded):
            await ledger.admit(1)
        assert "admin:cap:acknowledged" in await ledger.actions()

    on_ledger(test)


def test_a_turn_that_has_begun_is_not_asked_about_again(on_ledger):
    async def test(ledger):
        from hivemind.budgets import hold

        await ledger.cap("install", "", "day", 10_000, 0.1, "ask")
        asked, _ = await ledger.admit(5_000)
        assert await hold(ledger.database, asked.turn_id, 1, 9_000, 60)

    on_ledger(test)


def test_a_word_for_one_caller_is_for_that_caller(on_ledger):
    async def test(ledger):
        cap = await ledger.cap("caller", "*", "month", 10_000, 0.1, "ask")
        for caller in ("one", "two"):
            asked, _ = await ledger.admit(2_000, caller=caller)
            await ledger.commit(asked, 2_000)
        await store.acknowledge(ledger.database, cap.id, "one", None, by="test")
        await ledger.admit(caller="one")
        with pytest.raises(ApprovalRequired):
            await ledger.admit(caller="two")

    on_ledger(test)


def test_changes_are_audited_with_before_and_after(on_ledger):
    async def test(ledger):
        cap = await ledger.cap("install", "", "day", 10_000, 0.5)
        rule = changed(cap.rule, ChangeBody(limit_micros=7, soft_share=None))
        await store.change(
            ledger.database, cap.id, rule.limit_micros, rule.soft_share, rule.on_soft, by="test"
        )
        await store.delete(ledger.database, cap.id, by="test")
        rows = await ledger.database.fetch_all("select action, detail from audit_log order by id")
        assert [row["action"] for row in rows] == [
            "admin:cap:created",
            "admin:cap:changed",
            "admin:cap:deleted",
        ]
        assert rows[1]["detail"]["before"]["limit_micros"] == 10_000
        assert rows[1]["detail"]["after"]["limit_micros"] == 7
        assert rows[1]["detail"]["after"]["soft_share"] is None

    on_ledger(test)

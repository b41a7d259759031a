"""Promise: an agent that goes too far is warned, paused, killed; one that mends its ways is forgiven."""

from uuid import UUID

import pytest
import trio

from hivemind import app
from hivemind.errors import DatabaseUnavailable
from hivemind.watchdog import Sweep

# It sweeps when a test says so.
SELDOM = {"watchdog": {"sweep_seconds": 3600}}


class Keeper:
    """A site whose watchdog looks when it is told to."""

    def __init__(self, site):
        self.site = site
        self.headers = {"X-API-Key": site.admin_key}

    async def sweep(self):
        await self.site.database.execute("update watchdog set judged_at = '-infinity'")
        await self.site.system.at("/workers/watchdog").call(Sweep())

    async def external(self):
        """An agent that an outside daemon runs."""
        response = await self.site.client.post(
            "/api/v1/agents", json={"profile": "hello", "external": True}, headers=self.headers
        )
        assert response.status_code == 201, response.text
        return UUID(response.json()["agent"]["id"])

    async def falls_silent(self, *agents):
        await self.site.database.execute(
            "update agents set heartbeat_at = now() - interval '1 hour' where id = any(%s)", (list(agents),)
        )

    async def reports(self, agent):
        response = await self.site.client.post(
            f"/api/v1/agents/{agent}/heartbeat", json={"state": "running"}, headers=self.headers
        )
        assert response.status_code == 200, response.text
        return response.json()

    async def state(self, agent):
        return await self.site.value("select state from agents where id = %s", (agent,))

    async def strikes(self, agent):
        rows = await self.site.rows("select strikes from watchdog_strikes where agent_id = %s", (agent,))
        return rows[0]["strikes"] if rows else 0

    async def audited(self):
        rows = await self.site.rows(
            "select action, detail from audit_log where action like 'watchdog:agent:%%' order by id"
        )
        return [(row["action"].rpartition(":")[2], row["detail"]) for row in rows]

    def facts(self):
        return self.site.system.tree("/workers/watchdog").snapshot.facts


@pytest.fixture
def with_keeper(with_site):
    def run(test):
        async def inner(site):
            await test(site, Keeper(site))

        with_site(inner, **SELDOM)

    return run


@pytest.mark.parametrize("breach", ["runtime", "cost"])
def test_a_turn_that_goes_too_far_is_warned_about_paused_and_killed(with_keeper, breach):
    async def test(site, keeper):
        await site.profile("long", max_turn_micros=10)
        site.model.says("Well, ", trio.Event())
        answers = []

        async def ask():
            answers.append(await site.events("hi", slug="long"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await site.model.asked()
            (turn,) = await site.rows("select id, agent_id, profile_id from turns")
            agent = turn["agent_id"]
            await keeper.sweep()
            assert await keeper.strikes(agent) == 0
            if breach == "runtime":
                sql = "update turns set admitted_at = now() - interval '1 hour' where id = %s"
            else:
                sql = """insert into costs (turn_id, call, profile_id, agent_id, caller, model, input_tokens,
                                            output_tokens, cost_micros)
                         select id, 1, profile_id, agent_id, caller, model, 1, 1, 11 from turns where id = %s"""
            await site.database.execute(sql, (turn["id"],))
            await keeper.sweep()
            assert await keeper.state(agent) == "running" and not answers
            assert await keeper.audited() == [("warned", {"strikes": 1, "breaches": [breach]})]
            await keeper.sweep()
            assert await keeper.state(agent) == "paused" and not answers
            await keeper.sweep()
        assert answers[0][-1].data["error"]["code"] == "agent_ended"
        assert await keeper.state(agent) == "killed"
        assert [what for what, _ in await keeper.audited()] == ["warned", "paused", "killed"]
        _, killed = (await keeper.audited())[-1]
        assert killed["by"] == "watchdog:strikes" and "profile allows" in killed["reason"]
        await keeper.sweep()
        assert await keeper.strikes(agent) == 0
        assert {name: keeper.facts()[name] for name in ("warned", "paused", "killed", "failed")} == {
            "warned": 1,
            "paused": 1,
            "killed": 1,
            "failed": 0,
        }

    with_keeper(test)


def test_a_daemon_that_reports_again_is_forgiven(with_keeper):
    async def test(site, keeper):
        agent = await keeper.external()
        await keeper.sweep()
        assert await keeper.strikes(agent) == 0
        await keeper.falls_silent(agent)
        await keeper.sweep()
        await keeper.sweep()
        assert (await keeper.strikes(agent), await keeper.state(agent)) == (2, "paused")
        # It is told so, and stays paused until an operator says otherwise.
        assert (await keeper.reports(agent))["state"] == "paused"
        await keeper.sweep()
        await keeper.sweep()
        assert (await keeper.strikes(agent), await keeper.state(agent)) == (0, "paused")
        told = [what for what, _ in await keeper.audited()]
        assert told == ["warned", "paused", "forgiven", "forgiven"]

    with_keeper(test)


def test_a_daemon_that_stays_silent_loses_its_agent(with_keeper):
    async def test(site, keeper):
        agent, paused = await keeper.external(), await keeper.external()
        await site.client.post(f"/api/v1/agents/{paused}/pause", json={}, headers=keeper.headers)
        await keeper.falls_silent(agent, paused)
        for _ in range(3):
            await keeper.sweep()
        assert await keeper.state(agent) == "killed"
        # Whoever was paused by an operator does not have to report.
        assert await keeper.state(paused) == "paused"

    with_keeper(test)


def test_one_that_cannot_be_dealt_with_keeps_nobody_from_the_others(with_keeper):
    async def test(site, keeper):
        agents = [await keeper.external() for _ in range(3)]
        await site.database.execute(
            "create function no() returns trigger language plpgsql as $$ begin raise 'no'; end $$"
        )
        await site.database.execute(
            "create trigger no before update of state on agents for each row"
            f" when (new.id = '{agents[0]}' and new.state = 'paused') execute function no()"
        )
        await keeper.falls_silent(*agents)
        await keeper.sweep()
        await keeper.sweep()
        assert [await keeper.state(agent) for agent in agents] == ["idle", "paused", "paused"]
        assert keeper.facts()["failed"] == 1
        # It is tried again.
        await site.database.execute("drop trigger no on agents")
        await keeper.falls_silent(*agents)
        await keeper.sweep()
        assert [await keeper.state(agent) for agent in agents] == ["paused", "killed", "killed"]

    with_keeper(test)


def test_one_interval_is_judged_once_however_many_servers_there_are(running_server, database_url):
    async def main():
        with trio.fail_after(60):
            async with (
                running_server(database_url, **SELDOM) as one,
                running_server(database_url, **SELDOM) as other,
            ):
                keeper = Keeper(one)
                agent = await keeper.external()
                await keeper.falls_silent(agent)
                await keeper.sweep()
                await other.system.at("/workers/watchdog").call(Sweep())
                assert await keeper.strikes(agent) == 1

    trio.run(main)


def test_a_turn_whose_agent_was_given_up_while_the_database_was_away_is_ended_later(with_site, monkeypatch):
    tried = []

    async def fails(*_):
        tried.append(True)
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(app, "give_up", fails)

    async def test(site):
        site.model.says("Well, ", trio.Event())
        statuses = []

        async def ask():
            statuses.append((await site.post("hello")).status_code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await site.model.asked()
            agent = await site.value("select id from agents")
            site.system.at(f"/agents/{agent}").ref._cell.crash(RuntimeError("crashed by the test"))
        assert statuses == [503] and tried
        assert await site.value("select state from turns") == "admitted"
        await site.system.at("/workers/watchdog").call(Sweep())
        assert await site.value("select state from turns") == "failed"
        assert await site.value("select state from agents") == "failed"

    with_site(test, **SELDOM, supervision={"agents": {"max_restarts": 0}})


def test_health_is_recorded_and_shown_and_not_kept_for_ever(with_site):
    async def test(site):
        await site.database.execute(
            "insert into health_checks (at, status, checks) values (now() - interval '31 days', 'down', '{}')"
        )
        # The next record takes the old one away.
        while await site.rows("select 1 from health_checks where status = 'down'"):
            await trio.lowlevel.checkpoint()
        (row,) = await site.rows("select checks from health_checks order by id desc limit 1")
        assert row["checks"]["kill_switch"] == {"status": "ok"}
        assert site.system.tree("/workers/watchdog").snapshot.facts["health"] == "ok"

    with_site(test, watchdog={"health_seconds": 0.05})

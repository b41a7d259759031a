"""Promise: an operator switches tools, turns or everything off at once; it holds until it is taken back, stage by stage."""

import os
import sys

import trio

PATH = "/api/v1/kill-switch"


async def turn(site, stage, reason="the bill"):
    response = await site.client.put(
        PATH, json={"stage": stage, "reason": reason}, headers={"X-API-Key": site.admin_key}
    )
    return response.status_code, response.json()


async def code_of(site, message="hi"):
    response = await site.post(message)
    return response.status_code, response.json().get("error", {}).get("code")


def test_no_new_turns_and_the_way_back(with_site):
    async def test(site):
        await site.say("hi")
        status, said = await turn(site, 2)
        assert status == 200 and said["kill_switch"]["stage"] == 2
        response = await site.post("hi")
        assert response.status_code == 503
        error = response.json()["error"]
        assert error["code"] == "switched_off" and "the bill" in error["message"]
        assert len(site.model.requests) == 1
        health = (await site.client.get("/api/v1/health")).json()
        assert health["status"] == "degraded"
        assert "the bill" in health["checks"]["kill_switch"]["message"]
        (row,) = await site.rows("select detail from audit_log where action = 'chat:turn:refused'")
        assert row["detail"]["code"] == "switched_off"
        # One stage at a time.
        status, said = await turn(site, 0)
        assert status == 409 and said["error"]["remedy"] == "set stage 1 first"
        assert await code_of(site) == (503, "switched_off")
        assert (await turn(site, 1, "better"))[0] == 200
        await site.say("hi")
        assert (await turn(site, 0, "good"))[0] == 200
        assert (await site.client.get("/api/v1/health")).json()["checks"]["kill_switch"] == {"status": "ok"}
        rows = await site.rows(
            "select action, detail from audit_log where action like 'operator:kill-switch:%%' order by id"
        )
        assert [(r["action"].rpartition(":")[2], r["detail"]["was"], r["detail"]["stage"]) for r in rows] == [
            ("raised", 0, 2),
            ("lowered", 2, 1),
            ("lowered", 1, 0),
        ]
        assert rows[0]["detail"]["reason"] == "the bill" and rows[0]["detail"]["by"] == "operator:api_key"

    with_site(test)


def test_everything_off_ends_what_runs_and_asks_no_provider(with_site):
    async def test(site):
        never = trio.Event()
        site.model.says("Well, ", never, "more")
        answers = []

        async def ask():
            answers.append(await site.events("hi"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await site.model.asked()
            assert (await turn(site, 3, "stop it"))[0] == 200
        last = answers[0][-1]
        assert last.name == "error" and last.data["error"]["code"] == "switched_off"
        assert "stop it" in last.data["error"]["message"]
        row = await site.rows("select state, error_code from turns")
        assert row == [{"state": "interrupted", "error_code": "switched_off"}]
        assert await site.value("select coalesce(sum(amount_micros), 0) from reservations") == 0
        assert await code_of(site) == (503, "switched_off")
        health = (await site.client.get("/api/v1/health")).json()
        assert health["checks"]["provider"]["message"] == "not asked while everything is switched off"
        assert len(site.model.requests) == 1

    with_site(test)


def test_it_survives_a_restart_and_is_obeyed_before_the_first_request(running_server, database_url):
    async def main():
        with trio.fail_after(60):
            async with running_server(database_url) as site:
                await turn(site, 3)
            async with running_server(database_url) as site:
                assert await code_of(site) == (503, "switched_off")
                response = await site.client.get(PATH, headers={"X-API-Key": site.admin_key})
                assert response.json()["kill_switch"]["reason"] == "the bill"
                assert not site.model.requests

    trio.run(main)


def test_another_process_obeys_too(running_server, database_url):
    async def main():
        with trio.fail_after(60):
            async with running_server(database_url) as one, running_server(database_url) as other:
                await turn(one, 2)
                # It looks every second: whoever asks on gets the refusal without anything else being done.
                while (await code_of(other))[1] != "switched_off":
                    pass

    trio.run(main)


def test_who_cannot_read_the_switch_begins_nothing(with_site, monkeypatch):
    async def test(site):
        await site.say("hi")
        await site.database.execute("delete from kill_switch")
        monkeypatch.setattr("hivemind.agents.switch.PATIENCE_SECONDS", 0.01)
        switch = switch_of(site)
        while switch.setting is not None:
            await site.client.get("/api/v1/health")
        assert await code_of(site) == (503, "switch_unknown")
        health = (await site.client.get("/api/v1/health")).json()
        assert health["checks"]["kill_switch"]["status"] == "degraded"
        await site.database.execute("insert into kill_switch default values")
        while (await code_of(site))[0] != 200:
            pass

    monkeypatch.setattr("hivemind.agents.switch.FRESH_SECONDS", 1.5)
    with_site(test)


def switch_of(site):
    """The switch of a server in this process."""
    actor = site.system.whereis("/workers/kill-switch")
    return actor._cell.actor._switch


def test_it_needs_a_key_a_stage_and_a_reason(with_site):
    async def test(site):
        assert (await site.client.put(PATH, json={"stage": 3, "reason": "x"})).status_code == 401
        assert (await turn(site, 4))[0] == 422
        assert (await turn(site, "1"))[0] == 422
        assert (await turn(site, 1, ""))[0] == 422
        assert await site.value("select stage from kill_switch") == 0

    with_site(test)


def test_the_command_line(with_site, folders):
    async def test(site):
        async def hivemind(*arguments):
            done = await trio.run_process(
                [sys.executable, "-m", "hivemind", "kill-switch", *arguments, "--url", site.server.url],
                env={**os.environ, "HIVEMIND_DATA_SECRETS_FOLDER": str(folders["secrets_folder"])},
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
            return done.returncode, (done.stdout + done.stderr).decode()

        assert await hivemind() == (0, "Stage 0: nothing is switched off\n")
        code, said = await hivemind("2", "--reason", "the bill")
        assert code == 0
        assert said.startswith("Stage 2: new turns are switched off: the bill (operator:api_key, 20")
        code, said = await hivemind("0", "--reason", "all well")
        assert code == 3 and "set stage 1 first" in said
        code, said = await hivemind("1")
        assert code == 2 and "--reason" in said
        assert await code_of(site) == (503, "switched_off")

    with_site(test)

"""Operators act on the living tree: they see it move, restart a part, and change policy without a restart."""

import json
from contextlib import aclosing

import trio

from hivemind.outbound import HttpClient, Target

PATH = "/api/v1/actors"


def key(site):
    return {"x-api-key": site.admin_key}


async def states(site, ready):
    """Each state change as the server sends it; `ready` is set once it listens."""
    target = Target.parse(f"{site.server.url}{PATH}/events")
    headers = [(b"X-API-Key", site.admin_key.encode())]
    async with HttpClient() as client, client.call(target, headers, None, method=b"GET") as reply:
        assert reply.status == 200
        data = b""
        while chunk := await reply.read():
            *events, data = (data + chunk).split(b"\n\n")
            for event in events:
                name, _, body = event.decode().removeprefix("event: ").partition("\ndata: ")
                if name == "listening":
                    ready.set()
                elif body:
                    yield json.loads(body)


def test_a_restart_is_done_seen_and_audited(with_site):
    async def test(site):
        ready, seen = trio.Event(), []

        async def watch():
            async with aclosing(states(site, ready)) as changes:
                async for change in changes:
                    seen.append((change["address"], change["state"]))
                    if seen[-1] == ("/workers/watchdog", "up"):
                        return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await ready.wait()
            before = (await site.client.get(f"{PATH}/workers/watchdog", headers=key(site))).json()["actor"]
            done = await site.client.post(
                f"{PATH}/workers/watchdog/restart", headers=key(site), json={"reason": "a look"}
            )
            assert done.status_code == 200 and done.json()["state"] == "up"
        after = (await site.client.get(f"{PATH}/workers/watchdog", headers=key(site))).json()["actor"]
        assert after["since"] > before["since"]
        row = await site.database.fetch_one(
            "select detail from audit_log where action = 'operator:actor:restarted'"
        )
        assert row["detail"] == {"address": "/workers/watchdog", "reason": "a look", "by": "operator:api_key"}

    with_site(test)


def test_a_suspended_actor_keeps_its_mail_and_goes_on(with_site):
    async def test(site):
        reply = (await site.post("hi")).json()
        address = f"{PATH}/agents/{reply['conversation_id']}"
        assert (await site.client.post(f"{address}/suspend", headers=key(site))).json()[
            "state"
        ] == "suspended"
        more = {name: reply[name] for name in ("conversation_id", "conversation_token")}
        answered = []

        async def ask():
            answered.append((await site.post("again", **more)).status_code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            while not (await site.client.get(address, headers=key(site))).json()["actor"]["mailbox"][
                "length"
            ]:
                assert not answered
            await site.client.post(f"{address}/resume", headers=key(site))
        assert answered == [200]

    with_site(test)


def test_what_cannot_be_done_is_said(with_site):
    async def test(site):
        for path, status in (
            ("/nothing/restart", 404),
            ("/workers/suspend", 409),
            ("/edge/stop", 409),
            ("/workers/watchdog/explode", 405),
        ):
            response = await site.client.post(f"{PATH}{path}", headers=key(site))
            assert response.status_code == status, (path, response.text)
            assert response.json()["error"]["message"]
        for method, path in (
            ("POST", f"{PATH}/edge/restart"),
            ("GET", f"{PATH}/events"),
            ("PATCH", "/api/v1/supervision"),
        ):
            assert (await site.client.request(method, path)).status_code == 401

    with_site(test)


def test_policy_is_changed_live_and_shows_its_source(with_site):
    async def test(site):
        where = "/api/v1/supervision"
        asked = {"params": {"address": "/workers/watchdog"}, "headers": key(site)}
        policy = (await site.client.get(where, **asked)).json()["actor"]["policy"]
        assert policy["backoff_initial_seconds"] == {"value": 1.0, "source": "child spec"}
        before = (await site.client.get(f"{PATH}/workers/watchdog", headers=key(site))).json()["actor"]
        change = {"watchdog": {"max_restarts": 9}, "/workers/*": {"backoff_initial_seconds": 2.5}}
        assert (await site.client.patch(where, headers=key(site), json=change)).status_code == 200
        policy = (await site.client.get(where, **asked)).json()["actor"]["policy"]
        assert policy["max_restarts"] == {"value": 9, "source": "kind watchdog"}
        assert policy["backoff_initial_seconds"] == {"value": 2.5, "source": "pattern /workers/*"}
        after = (await site.client.get(f"{PATH}/workers/watchdog", headers=key(site))).json()["actor"]
        assert (after["since"], after["restarts"]) == (before["since"], before["restarts"])
        # Null takes a change back.
        await site.client.patch(
            where, headers=key(site), json={"/workers/*": {"backoff_initial_seconds": None}}
        )
        policy = (await site.client.get(where, **asked)).json()["actor"]["policy"]
        assert policy["backoff_initial_seconds"] == {"value": 1.0, "source": "child spec"}

    with_site(test)


def test_an_impossible_policy_is_refused_with_a_suggestion(with_site):
    async def test(site):
        for change, said in (
            ({"agent": {"max_restarts": 1}}, "did you mean 'agents'?"),
            ({"agents": {"max_restart": 1}}, "did you mean 'max_restarts'?"),
            ({"agents": {"max_restarts": -1}}, "from 0"),
            ({"agents": 3}, "agents"),
        ):
            response = await site.client.patch("/api/v1/supervision", headers=key(site), json=change)
            assert response.status_code == 422, change
            assert said in response.json()["error"]["message"]
        assert (await site.client.get("/api/v1/supervision", headers=key(site))).json()["changes"] == {}

    with_site(test)

"""Promise: operators see how the server is and every actor in it; nobody else sees the actors."""

import trio


def names(node):
    return [child["address"] for child in node["children"]]


def test_health_says_how_each_part_is(with_site):
    async def test(site):
        response = await site.client.get("/api/v1/health")
        assert response.status_code == 200
        body = response.json()
        assert body["status"] == "ok", body
        assert body["version"]
        assert {name: check["status"] for name, check in body["checks"].items()} == {
            "database": "ok",
            "provider": "ok",
            "disk": "ok",
            "budgets": "ok",
            "kill_switch": "ok",
        }

    with_site(test)


def test_the_tree_needs_the_key(with_site):
    async def test(site):
        wrong = ("", "x", site.admin_key[:-1], site.admin_key + "x", "é".encode())
        for path in ("/api/v1/actors", "/api/v1/actors/edge", "/api/v1/actors/nothing"):
            for headers in ({}, *({"x-api-key": key} for key in wrong)):
                response = await site.client.get(path, headers=headers)
                assert response.status_code == 401, (path, headers)
                assert response.json()["error"]["code"] == "not_authenticated"
                assert response.headers["www-authenticate"]

    with_site(test)


def test_the_tree_shows_every_actor_and_what_it_does(with_site):
    async def test(site):
        site.model.says("Slow", trio.Event())
        key = {"x-api-key": site.admin_key}
        async with site.stream("/api/v1/public/agents/chat/hello", {"message": "hi"}) as (_, events):
            accepted = (await anext(events)).data
            tree = (await site.client.get("/api/v1/actors", headers=key)).json()["tree"]
            assert names(tree) == ["/agents", "/workers", "/edge"]
            agents, workers, _ = tree["children"]
            address = f"/agents/{accepted['conversation_id']}"
            assert names(agents) == [address]
            assert names(workers) == [
                "/workers/kill-switch",
                "/workers/watchdog",
                "/workers/seal",
                "/workers/refusals",
                "/workers/directives",
                "/workers/schedules",
                "/workers/plane",
            ]
            response = await site.client.get(f"/api/v1/actors{address}", headers=key)
            actor = response.json()["actor"]
            assert actor["address"] == address
            assert actor["kind"] == "agents"
            assert actor["facts"]["turn"] == accepted["turn_id"]
            assert actor["facts"]["epoch"] == accepted["epoch"]
            assert actor["restarts"] == 0
            assert actor["mailbox"]["length"] == 0
            for field in ("state", "since", "age_seconds", "handled", "in_hand", "last_exit", "children"):
                assert field in actor

    with_site(test)


def test_a_restart_shows_in_the_tree(with_site):
    async def test(site):
        key = {"x-api-key": site.admin_key}
        assert site.system.tree("/workers/watchdog").snapshot.restarts == 0
        with site.system.events() as changes:
            site.system.whereis("/workers/watchdog").kill()
            async for change in changes:
                if (change.address, change.state) == ("/workers/watchdog", "up"):
                    break
        response = await site.client.get("/api/v1/actors/workers/watchdog", headers=key)
        assert response.json()["actor"]["restarts"] == 1
        assert response.json()["actor"]["last_exit"]["reason"] == "killed"

    with_site(test)


def test_what_is_not_there_or_asked_wrongly_is_told(with_site):
    async def test(site):
        key = {"x-api-key": site.admin_key}
        for path, status in (
            ("/api/v1/actors/nothing", 404),
            ("/api/v1/actors/agents/x", 404),
            ("/api/v1/actors?limit=0", 400),
            ("/api/v1/actors?limit=x", 400),
            ("/api/v1/actors?limit=99999999999", 400),
            ("/api/v1/actors?limit=1", 200),
        ):
            response = await site.client.get(path, headers=key)
            assert response.status_code == status, path
            assert status == 200 or response.json()["error"]["code"]

    with_site(test)

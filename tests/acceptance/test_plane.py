"""Promise: a delivery of Plane's webhook counts once, with the right signature, and as a hint only."""

import hashlib
import hmac
import importlib.util
import json
from pathlib import Path

import pytest
import trio

WEBHOOK = "/api/v1/integrations/plane/webhook"
SECRET = "plane_wh_0123456789abcdef"

_spec = importlib.util.spec_from_file_location(
    "plane_server", Path(__file__).parents[1] / "integration" / "plane" / "plane_server.py"
)
plane_server = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(plane_server)


@pytest.fixture
def with_workspace(running_server, database_url):
    """Run `await test(site, plane)`: a server that pulls from a Plane of its own, seldom."""

    def run(test, **settings):
        async def main():
            with trio.fail_after(60):
                async with plane_server.Plane().serving() as plane:
                    plane.put("p-1", "i-1", "First", "2026-11-01T08:00:00Z")
                    section = {
                        "api_key": plane_server.KEY,
                        "base_url": plane.url,
                        "workspace": "acme",
                        "projects": ("p-1",),
                        "webhook_secret": SECRET,
                    }
                    async with running_server(database_url, plane=section | settings) as site:
                        await test(site, plane)

        trio.run(main)

    return run


async def titles(site):
    return {row["title"] for row in await site.rows("select title from tasks")}


async def deliver(site, status=200, secret=SECRET, delivery_id="d-1", **data):
    body, headers = plane_server.delivery(secret, delivery_id, **data)
    response = await site.client.post(WEBHOOK, content=body, headers=headers)
    assert response.status_code == status, response.text
    return response.json()


def test_a_delivery_brings_what_plane_has_and_counts_once(with_workspace):
    async def test(site, plane):
        while "First" not in await titles(site):
            await trio.sleep(0)
        plane.put("p-1", "i-2", "Second", "2026-11-02T08:00:00Z")
        # What the delivery says of the item is not believed.
        data = {"id": "i-2", "project": "p-1", "name": "Forged"}
        assert await deliver(site, **data) == {"accepted": True}
        assert await deliver(site, **data) == {"accepted": False}
        while "Second" not in await titles(site):
            await trio.sleep(0)
        assert await titles(site) == {"First", "Second"}
        assert await deliver(site, delivery_id="d-2", event="cycle", id="c") == {"accepted": False}

    with_workspace(test)


def test_a_deletion_is_looked_at(with_workspace):
    async def test(site, plane):
        while "First" not in await titles(site):
            await trio.sleep(0)
        await deliver(site, action="delete", id="i-1", project="p-1")  # it is still there
        await deliver(site, delivery_id="d-2", id="i-1", project={"id": "p-1"})
        del plane.projects["p-1"]["i-1"]
        await deliver(site, delivery_id="d-3", action="delete", id="i-1", project="p-1")
        while await site.value("select state from tasks") != "dropped":
            await trio.sleep(0)

    with_workspace(test)


def test_what_is_not_signed_is_refused(with_workspace):
    async def test(site, plane):
        told = await deliver(site, 403, secret="wrong", id="i-1", project="p-1")
        assert told["error"]["code"] == "not_permitted"
        body, headers = plane_server.delivery(SECRET, "d-1", id="i-1", project="p-1")
        del headers["X-Plane-Signature"]
        assert (await site.client.post(WEBHOOK, content=body, headers=headers)).status_code == 403
        _, headers = plane_server.delivery(SECRET, "d-1", id="other", project="p-1")
        assert (await site.client.post(WEBHOOK, content=body, headers=headers)).status_code == 403
        assert await site.value("select count(*) from deliveries") == 0

    with_workspace(test)


@pytest.mark.parametrize(
    ("body", "delivery_id"),
    [
        (b"[]", "d-1"),
        (b"{", "d-1"),
        (b'{"event": "issue", "data": {"id": "../..", "project": "p-1"}}', "d-1"),
        (b'{"event": "issue", "data": {"id": "i-1"}}', "d-1"),
        (json.dumps({"event": "issue", "data": {"id": "i-1", "project": "p-1"}}).encode(), ""),
    ],
)
def test_what_is_no_delivery_is_refused(with_workspace, body, delivery_id):
    async def test(site, plane):
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Plane-Signature": signature, "X-Plane-Delivery": delivery_id}
        response = await site.client.post(WEBHOOK, content=body, headers=headers)
        assert response.status_code == 400, response.text

    with_workspace(test)


def test_without_a_secret_there_is_no_webhook(with_workspace):
    async def test(site, plane):
        await deliver(site, 404, id="i-1", project="p-1")

    with_workspace(test, webhook_secret=None)


def test_a_mirrored_task_is_planes_but_for_who_does_it(with_workspace):
    async def test(site, plane):
        site.model.says("Done.", when="First")
        while "First" not in await titles(site):
            await trio.sleep(0)
        headers = {"X-API-Key": site.admin_key}
        (task,) = (await site.client.get("/api/v1/tasks?source=plane", headers=headers)).json()["items"]
        path = f"/api/v1/tasks/{task['id']}"
        assert task["external_id"] == "i-1" and task["text"] == "About First"
        for change in ({"title": "Mine"}, {"state": "done"}):
            assert (await site.client.patch(path, json=change, headers=headers)).status_code == 409
        assert (await site.client.delete(path, headers=headers)).status_code == 409
        assert (await site.client.patch(path, json={"profile": "hello"}, headers=headers)).status_code == 200
        made = (await site.client.post(f"{path}/run", json={}, headers=headers)).json()["directive"]
        while await site.value("select state from directives") not in ("done", "failed"):
            await trio.sleep(0)
        assert await site.value("select result from directives") == "Done."
        assert await site.value("select state from tasks") == "open"  # Plane's to change
        assert made["task_id"] == task["id"]

    with_workspace(test)

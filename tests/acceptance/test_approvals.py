"""Promise: a call that needs a person is shown exactly, answered once, by the API or the command line, and audited."""

import json

import pytest
import trio

from hivemind import cli
from hivemind.persistence import Jsonb

API = "/api/v1/approvals"
TASK = {"title": "Paint the shed"}


class Desk:
    """What an operator asks of the API of a site."""

    def __init__(self, site):
        self.site = site
        self.headers = {"X-API-Key": site.admin_key}

    async def call(self, method, path, body=None, status=200):
        response = await self.site.client.request(method, path, json=body, headers=self.headers)
        assert response.status_code == status, response.text
        return response.json()

    async def agent(self):
        body = {"profile": "planner", "directive": "plan it"}
        return (await self.call("POST", "/api/v1/agents", body, 201))["agent"]["id"]

    async def pending(self, count=1):
        """Wait until so many wait: each look is a round trip."""
        while len(items := (await self.call("GET", f"{API}?state=pending"))["items"]) < count:
            await trio.sleep(0)
        return items

    async def until(self, agent, state):
        while (await self.call("GET", f"/api/v1/agents/{agent}"))["agent"]["state"] != state:
            await trio.sleep(0)


@pytest.fixture
def with_desk(with_site):
    def run(test, **sections):
        async def inner(site):
            await site.profile("planner", tools=Jsonb({"create_task": {"policy": "ask"}}))
            site.model.says({"create_task": TASK}, when="plan it")
            await test(site, Desk(site))

        with_site(inner, directives={"poll_seconds": 0.05}, **sections)

    return run


def test_a_call_is_shown_approved_once_and_made_once(with_desk):
    async def test(site, desk):
        agent = await desk.agent()
        (asked,) = await desk.pending()
        assert (asked["kind"], asked["tool"], asked["arguments"]) == ("call", "create_task", TASK)
        assert (asked["agent_id"], asked["profile"], asked["on_deadline"]) == (agent, "planner", "deny")
        assert asked["deadline_at"] > asked["asked_at"]
        assert await site.value("select count(*) from tasks") == 0
        await desk.until(agent, "waiting_approval")
        told = await desk.call("POST", f"{API}/{asked['id']}/approve", {"reason": "It is time."})
        assert (told["approval"]["state"], told["approval"]["answered_by"]) == (
            "approved",
            "operator:api_key",
        )
        await desk.until(agent, "done")
        assert await site.value("select title from tasks") == TASK["title"]
        for answer in ("approve", "deny"):
            refused = await desk.call("POST", f"{API}/{asked['id']}/{answer}", {}, 409)
            assert "approved by operator:api_key" in refused["error"]["message"]
        detail = await site.value("select detail from audit_log where action = 'operator:approval:approved'")
        assert (detail["by"], detail["reason"]) == ("operator:api_key", "It is time.")
        (turn,) = (await desk.call("GET", f"/api/v1/agents/{agent}"))["items"]
        (call,) = turn["steps"][0]["calls"]
        assert call["state"] == "done" and call["approvals"][0]["reason"] == "It is time."

    with_desk(test)


def test_those_that_wait_come_first_and_the_list_has_pages(with_desk):
    async def test(site, desk):
        agents = [await desk.agent() for _ in range(4)]
        waiting = await desk.pending(4)
        assert [item["deadline_at"] for item in waiting] == sorted(item["deadline_at"] for item in waiting)
        for item in waiting[:2]:
            await desk.call("POST", f"{API}/{item['id']}/deny", {})
        everything = (await desk.call("GET", API))["items"]
        assert [item["state"] for item in everything] == ["pending", "pending", "denied", "denied"]
        # Of those that were answered the newest is first.
        assert [item["id"] for item in everything[2:]] == [waiting[1]["id"], waiting[0]["id"]]
        paged, cursor = [], ""
        while cursor is not None:
            page = await desk.call("GET", f"{API}?limit=1{cursor and f'&cursor={cursor}'}")
            paged += page["items"]
            cursor = page["next_cursor"]
        assert [item["id"] for item in paged] == [item["id"] for item in everything]
        (one,) = (await desk.call("GET", f"{API}?agent_id={agents[0]}"))["items"]
        assert one["agent_id"] == agents[0]
        assert (await desk.call("GET", f"{API}/{one['id']}"))["approval"] == one
        await desk.call("GET", f"{API}/{agents[0]}", status=404)
        await desk.call("POST", f"{API}/{agents[0]}/deny", {}, 404)

    with_desk(test)


def test_an_operator_sees_the_calls_in_the_stream_and_the_public_does_not(with_desk):
    async def test(site, desk):
        made = await desk.call("POST", "/api/v1/agents", {"profile": "planner"}, 201)
        path = f"/api/v1/agents/{made['agent']['id']}/messages"
        seen = []
        async with site.stream(path, {"message": "plan it"}, desk.headers) as (_, events):
            async for event in events:
                seen.append(event)
                if event.name == "waiting":
                    (asked,) = await desk.pending()
                    assert event.data["effect_ids"] == [asked["effect_id"]]
                    await desk.call("POST", f"{API}/{asked['id']}/approve", {})
        names = [event.name for event in seen]
        assert names[:5] == ["accepted", "tool", "waiting", "tool_result", "delta"] and names[-1] == "reply"
        assert seen[1].data["arguments"] == TASK and seen[3].data["state"] == "done"

        public = []

        async def chat():
            public.extend(await site.events("plan it", slug="planner"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(chat)
            (asked,) = await desk.pending()
            await desk.call("POST", f"{API}/{asked['id']}/approve", {})
        assert {event.name for event in public} == {"accepted", "waiting", "delta", "reply"}
        (waiting,) = [event for event in public if event.name == "waiting"]
        assert waiting.data.keys() == {"epoch", "seq"}
        assert "create_task" not in str(public)

    with_desk(test)


@pytest.fixture
def hivemind(folders, monkeypatch, capsys):
    """Runs one command against a site, in a thread."""
    monkeypatch.setenv("HIVEMIND_DATA_SECRETS_FOLDER", str(folders["secrets_folder"]))

    async def run(site, *arguments, code=0):
        capsys.readouterr()
        ended = await trio.to_thread.run_sync(cli.run, [*arguments, "--url", site.server.url])
        said = capsys.readouterr()
        assert ended == code, said.err
        return said.out if code == 0 else said.err

    return run


def test_approvals_are_answered_on_the_command_line(with_desk, hivemind):
    async def test(site, desk):
        assert "Nothing waits" in await hivemind(site, "approvals", "list")
        agent = await desk.agent()
        (asked,) = await desk.pending()
        assert 'create_task({"title": "Paint the shed"})' in await hivemind(site, "approvals", "list")
        assert "denied" in await hivemind(site, "approvals", "deny", asked["id"], "--reason", "No paint.")
        assert "answered before" in await hivemind(site, "approvals", "approve", asked["id"], code=3)
        (row,) = json.loads(await hivemind(site, "approvals", "list", "--state", "all", "--json"))
        assert (row["state"], row["reason"]) == ("denied", "No paint.")
        await desk.until(agent, "done")
        shown = await hivemind(site, "agents", "show", agent)
        assert "denied: A person denied this call. No paint." in shown
        assert "call: denied by operator:api_key" in shown
        assert await site.value("select count(*) from tasks") == 0

    with_desk(test)


def test_agents_on_the_command_line(with_desk, hivemind):
    async def test(site, desk):
        site.model.says("Hello \x1b[31mthere.", when="Hi")
        assert "There are no agents." in await hivemind(site, "agents", "list")
        agent = (await hivemind(site, "agents", "spawn")).split()[0]
        assert (await hivemind(site, "agents", "message", agent, "Hi")).strip() == "Hello [31mthere."
        assert agent in await hivemind(site, "agents", "list", "--profile", "hello", "--state", "idle")
        shown = await hivemind(site, "agents", "show", agent)
        assert "> Hi" in shown and "< Hello" in shown and "answered" in shown
        for wish, state in (("pause", "paused"), ("resume", "idle"), ("stop", "stopped"), ("kill", "killed")):
            assert state in await hivemind(site, "agents", wish, agent, "--reason", "to see")
        assert "it cannot be asked to resume" in await hivemind(site, "agents", "resume", agent, code=3)
        (row,) = json.loads(await hivemind(site, "agents", "list", "--json"))
        assert row["state"] == "killed"
        outside = json.loads(await hivemind(site, "agents", "spawn", "--external", "--json"))
        assert outside["agent"]["external"] is True
        assert "no turn to interrupt" in await hivemind(
            site, "agents", "interrupt", outside["agent"]["id"], code=3
        )

    with_desk(test)


def test_a_turn_is_followed_on_the_command_line(with_desk, hivemind):
    async def test(site, desk):
        go_on = trio.Event()
        site.model.says("It is ", go_on, "on the \x1b[31mlist.", when="how is it?")
        agent = (await hivemind(site, "agents", "spawn")).split()[0]
        followed = []

        async def follow(*options):
            followed.append(await hivemind(site, "agents", "follow", agent, *options))

        async with trio.open_nursery() as nursery:
            body = {"message": "how is it?"}
            nursery.start_soon(desk.call, "POST", f"/api/v1/agents/{agent}/messages", body)
            await site.model.asked()
            nursery.start_soon(follow)
            go_on.set()
        await follow("--json")
        assert followed[0] == "It is on the [31mlist.\n"
        assert json.loads(followed[1].splitlines()[-1])["event"] == "reply"

    with_desk(test)

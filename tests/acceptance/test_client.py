"""Promise: `hivemind.client` does with a server what it says, on asyncio, on trio and without a loop."""

import asyncio

import pytest
import trio

from hivemind.client import Accepted, ApiError, AsyncHivemind, Delta, Hivemind, Reply, Reset
from hivemind.persistence import Jsonb

TASK = {"title": "Paint the shed"}


async def on_trio(work, *given):
    await work(*given)


async def on_asyncio(work, *given):
    await trio.to_thread.run_sync(lambda: asyncio.run(work(*given)))


@pytest.mark.parametrize("loop", [on_trio, on_asyncio])
def test_chat_in_either_loop(with_site, loop):
    async def work(url):
        async with AsyncHivemind(url) as hive:
            first = await hive.say("hello", "Good morning")
            assert first.text == "Hello there." and first.usage.output_tokens == 7
            async with hive.stream("hello", "And again", after=first) as events:
                heard = [event async for event in events]
            assert isinstance(heard[0], Accepted)
            assert "".join(event.text for event in heard if isinstance(event, Delta)) == "Hello there."
            assert isinstance(heard[-1], Reply)
            assert heard[-1].conversation_id == first.conversation_id
            again = [await hive.say("hello", "Once", key="k") for _ in range(2)]
            assert again[0].turn_id == again[1].turn_id

    with_site(lambda site: loop(work, site.server.url))


def test_without_a_loop(with_site):
    def work(url, key):
        with Hivemind(url, key) as hive:
            first = hive.say("hello", "Good morning")
            with hive.stream("hello", "And again", after=first) as events:
                assert [type(event) for event in events][-1] is Reply
            agent = hive.spawn("hello")
            assert hive.tell(agent.id, "Hello").agent_id == agent.id
            assert hive.agent(agent.id).usage.output_tokens == 7
            assert hive.pause(agent.id, "lunch").state == "paused"
            assert hive.resume(agent.id).state == "idle"
            assert [each.id for each in hive.agents(state="idle") if each.id == agent.id] == [agent.id]
            assert hive.kill(agent.id).state == "killed"
            job = hive.give("hello", "Say hello", key="one")
            assert hive.give("hello", "Say hello", key="one").id == job.id
            assert hive.done(job.id, every_seconds=0).result == "Hello there."
            assert [each.id for each in hive.directives(state="done")] == [job.id]
            (sum_of_all,) = hive.costs()
            assert sum_of_all.turns == 4
            assert {row.profile_slug for row in hive.costs("profile", "model")} == {"hello"}
            assert hive.request("GET", "/api/v1/health")["status"] == "ok"

    async def test(site):
        await trio.to_thread.run_sync(work, site.server.url, site.admin_key)

    with_site(test, directives={"poll_seconds": 0.05})


def test_approvals(with_site):
    async def test(site):
        await site.profile("planner", tools=Jsonb({"create_task": {"policy": "ask"}}))
        site.model.says({"create_task": TASK}, when="plan it")
        async with AsyncHivemind(site.server.url, site.admin_key) as hive:
            jobs = [await hive.give("planner", "plan it") for _ in range(2)]
            while len(waiting := await hive.approvals()) < 2:
                await trio.sleep(0)
            first, second = waiting
            assert (first.tool, first.arguments, first.state) == ("create_task", TASK, "pending")
            assert (await hive.approve(first.id, "go on")).answered_by == "operator:api_key"
            assert (await hive.deny(second.id, "not now")).reason == "not now"
            with pytest.raises(ApiError) as told:
                await hive.approve(second.id)
            assert (told.value.code, told.value.status) == ("conflict", 409)
            assert not [each for each in await hive.approvals() if each.id in (first.id, second.id)]
            assert [(await hive.done(job.id, every_seconds=0)).state for job in jobs] == ["done", "done"]

    with_site(test, directives={"poll_seconds": 0.05})


def test_refusals_are_one_exception(with_site):
    async def test(site):
        async with AsyncHivemind(site.server.url) as hive:
            for refused, code in (
                (hive.agents(), "not_authenticated"),
                (hive.say("nobody", "Hi"), "not_found"),
            ):
                with pytest.raises(ApiError) as told:
                    await refused
                assert told.value.code == code
            with pytest.raises(ApiError) as told:
                async with hive.stream("nobody", "Hi") as events:
                    async for _ in events:
                        pass
            assert (told.value.code, told.value.status) == ("not_found", 404)
        site.model.says(500, when="Break")
        async with AsyncHivemind(site.server.url) as hive:
            with pytest.raises(ApiError) as told:
                async with hive.stream("hello", "Break") as events:
                    async for event in events:
                        assert isinstance(event, Accepted)
            assert (told.value.code, told.value.status) == ("llm_unavailable", 0)
        async with AsyncHivemind("http://127.0.0.1:9") as hive:
            with pytest.raises(ApiError) as told:
                await hive.say("hello", "Hi")
            assert told.value.code == "unreachable"

    with_site(test)


def test_a_lost_connection_is_taken_up_again_and_answered_once(with_site):
    """Between client and server stands a relay that cuts the line twice: before the answer began, and in it."""

    async def test(site):
        go_on = trio.Event()
        text = "One sheep, and another one, and one more. " * 20
        site.model.says(text, go_on, "Asleep.", when="Count")
        cuts = [b"", b"event: delta"]
        target = int(site.server.url.rpartition(":")[2])

        async def relay(stream):
            async with (
                await trio.open_tcp_stream("127.0.0.1", target) as server,
                trio.open_nursery() as nursery,
            ):

                async def up():
                    async for data in stream:
                        await server.send_all(data)

                nursery.start_soon(up)
                heard = b""
                async for data in server:
                    if cuts and not cuts[0]:
                        cuts.pop(0)
                        break
                    await stream.send_all(data)
                    heard += data
                    if cuts and cuts[0] in heard:
                        cuts.pop(0)
                        go_on.set()
                        break
                nursery.cancel_scope.cancel()
                await stream.aclose()

        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(
                lambda task_status: trio.serve_tcp(relay, 0, host="127.0.0.1", task_status=task_status)
            )
            port = listeners[0].socket.getsockname()[1]
            async with (
                AsyncHivemind(f"http://127.0.0.1:{port}") as hive,
                hive.stream("hello", "Count") as events,
            ):
                heard = [event async for event in events]
            nursery.cancel_scope.cancel()
        assert cuts == []
        assert Reset() not in heard
        assert "".join(event.text for event in heard if isinstance(event, Delta)) == text + "Asleep."
        assert heard[-1].text == text + "Asleep."
        assert await site.value("select count(*) from turns") == 1

    with_site(test)

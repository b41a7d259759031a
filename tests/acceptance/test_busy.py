"""Promise: a second message while the first is answered waits, is refused or interrupts, as the profile says."""

import trio

CHAT = "/api/v1/public/agents/chat"


def known(accepted):
    return {name: accepted[name] for name in ("conversation_id", "conversation_token")}


def test_queue_answers_one_after_the_other(with_site):
    async def test(site):
        go_on = trio.Event()
        site.model.says("First", go_on, " answer", when="one")
        async with site.stream(f"{CHAT}/hello", {"message": "one"}) as (_, events):
            accepted = (await anext(events)).data
            await site.model.asked()
            replies = {}

            async def send(text):
                replies[text] = await site.say(text, **known(accepted))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, "two")
                nursery.start_soon(send, "three")
                address = f"/agents/{accepted['conversation_id']}"
                while site.system.tree(address).snapshot.facts["waiting"] < 2:
                    await trio.sleep(0.01)
                assert len(site.model.requests) == 1
                go_on.set()
            *_, last = [event async for event in events]
        assert last.data["reply"] == "First answer"
        assert replies["two"]["reply"] == replies["three"]["reply"] == "Hello there."
        told = [message["content"] for message in site.model.requests[-1]["messages"]]
        assert len(told) == 6, "the last one is told of both before it"

    with_site(test)


def test_refuse_tells_the_second_that_the_agent_is_busy(with_site):
    async def test(site):
        go_on = trio.Event()
        await site.profile("single", when_busy="refuse")
        site.model.says("First", go_on, " answer", when="one")
        async with site.stream(f"{CHAT}/single", {"message": "one"}) as (_, events):
            accepted = (await anext(events)).data
            response = await site.post("two", slug="single", **known(accepted))
            assert response.status_code == 409
            assert response.json()["error"]["code"] == "agent_busy"
            go_on.set()
            *_, last = [event async for event in events]
            assert last.data["reply"] == "First answer"
        assert (await site.say("two", slug="single", **known(accepted)))["reply"] == "Hello there."

    with_site(test)


def test_interrupt_ends_the_first_and_answers_the_second(with_site):
    async def test(site):
        await site.profile("hasty", when_busy="interrupt")
        site.model.says("First", trio.Event(), when="one")
        async with site.stream(f"{CHAT}/hasty", {"message": "one"}) as (_, events):
            accepted = (await anext(events)).data
            await site.model.asked()
            second = await site.say("two", slug="hasty", **known(accepted))
            *_, last = [event async for event in events]
        assert last.name == "error"
        assert last.data["error"]["code"] == "interrupted"
        assert second["reply"] == "Hello there."
        states = await site.rows("select state from turns order by admitted_at")
        assert [row["state"] for row in states] == ["interrupted", "answered"]

    with_site(test)


def test_more_than_may_wait_are_refused(with_site):
    async def test(site):
        go_on = trio.Event()
        site.model.says("First", go_on, when="one")
        async with site.stream(f"{CHAT}/hello", {"message": "one"}) as (_, events):
            accepted = (await anext(events)).data
            statuses = []

            async def send():
                response = await site.post("more", **known(accepted))
                statuses.append((response.status_code, response.json().get("error", {}).get("code")))
                if response.status_code != 200:
                    assert int(response.headers["retry-after"]) > 0
                    go_on.set()

            async with trio.open_nursery() as nursery:
                for _ in range(18):
                    nursery.start_soon(send)
        assert sorted(statuses) == [(200, None)] * 16 + [(503, "overloaded")] * 2

    with_site(test)

"""Promise: an answer streams as it is made, can be taken up where it broke off, and a message counts once."""

import trio

CHAT = "/api/v1/public/agents/chat/hello"


def whole(events):
    return "".join(event.data["text"] for event in events if event.name == "delta")


def test_a_stream_says_accepted_then_pieces_then_the_whole_reply(with_site):
    async def test(site):
        site.model.says("One. ", "Two. ", "Three.")
        events = await site.events("count")
        accepted, *deltas, reply = events
        assert accepted.name == "accepted"
        assert {event.name for event in deltas} == {"delta"}
        assert whole(deltas) == reply.data["reply"] == "One. Two. Three."
        for name in ("turn_id", "conversation_id", "conversation_token"):
            assert accepted.data[name] == reply.data[name]
        assert reply.name == "reply"
        assert reply.data["usage"] == {"input_tokens": 11, "output_tokens": 7, "cost_micros": 25}
        assert [event.place for event in events] == [(1, n) for n in range(len(events))]
        assert [event.id for event in events] == [f"1.{n}" for n in range(len(events))]

    with_site(test)


def test_a_piece_is_sent_before_the_next_is_made(with_site):
    async def test(site):
        go_on = trio.Event()
        # Longer than what the guards hold back.
        site.model.says("word " * 2000, go_on, "end")
        async with site.stream(CHAT, {"message": "hi"}) as (reply, events):
            assert (reply.status, reply.header(b"content-type")) == (200, "text/event-stream")
            assert (await anext(events)).name == "accepted"
            assert (await anext(events)).name == "delta"
            go_on.set()
            *_, last = [event async for event in events]
            assert last.data["reply"] == "word " * 2000 + "end"

    with_site(test)


def test_a_stream_that_broke_is_taken_up_where_it_was(with_site):
    async def test(site):
        go_on = trio.Event()
        site.model.says("word " * 2000, go_on, "end")
        async with site.stream(CHAT, {"message": "hi"}) as (_, events):
            accepted = await anext(events)
            first = await anext(events)
        epoch, seq = first.place
        async with trio.open_nursery() as nursery:
            rest = []

            async def resume():
                rest.extend(await site.resumed(accepted.data, epoch=epoch, seq=seq))

            nursery.start_soon(resume)
            go_on.set()
        assert [event.place for event in rest] == [(epoch, seq + 1 + n) for n in range(len(rest))]
        assert rest[-1].name == "reply"
        assert whole([first, *rest]) == rest[-1].data["reply"] == "word " * 2000 + "end"
        assert len(site.model.requests) == 1

    with_site(test)


def test_last_event_id_is_a_place_too(with_site):
    async def test(site):
        go_on = trio.Event()
        site.model.says("word " * 2000, go_on, "end")
        async with site.stream(CHAT, {"message": "hi"}) as (_, events):
            accepted = await anext(events)
            first = await anext(events)
        go_on.set()
        rest = await site.resumed(accepted.data, headers={"last-event-id": first.id})
        assert rest[0].place == (first.place[0], first.place[1] + 1)
        assert whole([first, *rest]) == rest[-1].data["reply"]

    with_site(test)


def test_every_place_of_an_ended_turn_can_be_resumed_from(with_site):
    async def test(site):
        site.model.says("One. ", "Two. ", "Three.")
        events = await site.events("count")
        for number, event in enumerate(events):
            epoch, seq = event.place
            rest = await site.resumed(events[0].data, epoch=epoch, seq=seq)
            assert rest == events[number + 1 :] or rest == events[-1:]
        assert await site.resumed(events[0].data) == events
        assert (await site.resumed(events[0].data, epoch=1, seq=999))[-1] == events[-1]
        other, *_, last = await site.resumed(events[0].data, epoch=77, seq=3)
        assert other.name == "reset"
        assert last == events[-1]

    with_site(test)


def test_an_ended_turn_can_be_asked_for_by_json(with_site):
    async def test(site):
        reply = await site.say("hi")
        names = ("conversation_id", "conversation_token", "turn_id")
        response = await site.client.post(f"{CHAT}/resume", json={name: reply[name] for name in names})
        assert response.json() == reply

    with_site(test)


def test_a_turn_is_not_shown_to_another_conversation(with_site):
    async def test(site):
        mine, other = await site.say("hi"), await site.say("hi")
        body = {name: other[name] for name in ("conversation_id", "conversation_token")}
        response = await site.client.post(f"{CHAT}/resume", json={**body, "turn_id": mine["turn_id"]})
        assert response.status_code == 404
        body["conversation_id"] = mine["conversation_id"]
        response = await site.client.post(f"{CHAT}/resume", json={**body, "turn_id": mine["turn_id"]})
        assert response.status_code == 403

    with_site(test)


def test_a_key_makes_a_message_count_once_in_body_and_header(with_site):
    async def test(site):
        first = await site.say("hi", idempotency_key="k-1")
        assert await site.say("hi", idempotency_key="k-1") == first
        assert await site.say("hi", headers={"idempotency-key": "k-1"}) == first
        known = {name: first[name] for name in ("conversation_id", "conversation_token")}
        second = await site.say("more", idempotency_key="k-1", **known)
        assert second["turn_id"] != first["turn_id"], "a key holds within its conversation"
        assert await site.say("more", idempotency_key="k-1", **known) == second
        assert len(site.model.requests) == 2
        assert await site.value("select count(*) from conversations") == 1

    with_site(test)


def test_a_known_key_of_a_running_turn_follows_that_turn(with_site):
    async def test(site):
        go_on = trio.Event()
        site.model.says("word " * 2000, go_on, "end")
        heard = []

        async def listen():
            heard.append(await site.events("hi", idempotency_key="k-2"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await site.model.asked()
            async with site.stream(CHAT, {"message": "hi", "idempotency_key": "k-2"}) as (_, events):
                accepted = await anext(events)
                go_on.set()
                again = [accepted, *[event async for event in events]]
        (first,) = heard
        assert again[-1] == first[-1]
        assert whole(again) == whole(first) == "word " * 2000 + "end"
        assert len(site.model.requests) == 1

    with_site(test)


def test_many_copies_of_a_first_message_are_one_turn(with_site):
    async def test(site):
        replies = []

        async def send():
            replies.append(await site.say("hi", idempotency_key="k-3"))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(send)
        assert all(reply == replies[0] for reply in replies)
        assert len(replies) == 10
        assert len(site.model.requests) == 1
        assert await site.value("select count(*) from turns") == 1

    with_site(test)


def test_a_turn_goes_on_without_its_listener(with_site):
    async def test(site):
        go_on = trio.Event()
        site.model.says("Slow", go_on, " answer")
        async with site.stream(CHAT, {"message": "hi"}) as (_, events):
            accepted = await anext(events)
        go_on.set()
        assert (await site.resumed(accepted.data))[-1].data["reply"] == "Slow answer"

    with_site(test)


def test_a_profile_may_stop_when_its_listener_leaves(with_site):
    async def test(site):
        site.model.says("Slow", trio.Event())
        await site.profile("brief", when_client_leaves="stop")
        path = "/api/v1/public/agents/chat/brief"
        async with site.stream(path, {"message": "hi"}) as (_, events):
            accepted = await anext(events)
            await site.model.asked()
        (last,) = [e for e in await site.resumed(accepted.data, slug="brief") if e.name in ("reply", "error")]
        assert last.data["error"]["code"] == "interrupted"
        assert await site.value("select state from turns") == "interrupted"

    with_site(test)


def test_a_stream_whose_provider_fails_ends_with_the_error(with_site):
    async def test(site):
        site.model.says(500)
        events = await site.events("hi")
        assert [event.name for event in events] == ["accepted", "error"]
        assert events[-1].data["error"]["code"] == "llm_unavailable"

    with_site(test)

"""Promise: a message by JSON is answered, in a conversation that only its owner can go on with."""


def test_a_message_is_answered_with_its_conversation_and_what_it_cost(with_site):
    async def test(site):
        reply = await site.say("hi")
        assert reply["reply"] == "Hello there."
        assert reply["usage"] == {"input_tokens": 11, "output_tokens": 7, "cost_micros": 25}
        assert set(reply) == {"reply", "conversation_id", "conversation_token", "turn_id", "usage"}

    with_site(test)


def test_a_conversation_goes_on_and_the_model_is_told_what_was_said(with_site):
    async def test(site):
        site.model.says("Nice to meet you.", when="I am Ada")
        first = await site.say("I am Ada")
        second = await site.say(
            "Who am I?",
            conversation_id=first["conversation_id"],
            conversation_token=first["conversation_token"],
        )
        assert second["conversation_id"] == first["conversation_id"]
        assert second["turn_id"] != first["turn_id"]
        told = [(message["role"], message["content"]) for message in site.model.requests[-1]["messages"]]
        assert told == [
            ("system", "You are a helpful AI assistant named Hivemind."),
            ("user", "I am Ada"),
            ("assistant", "Nice to meet you."),
            ("user", "Who am I?"),
        ]

    with_site(test)


def test_what_was_said_is_stored_and_audited(with_site):
    async def test(site):
        reply = await site.say("hi")
        stored = await site.rows("select role, text from messages order by id")
        assert [(row["role"], row["text"]) for row in stored] == [
            ("user", "hi"),
            ("assistant", "Hello there."),
        ]
        actions = await site.rows(
            "select action from audit_log where turn_id = %s order by id", (reply["turn_id"],)
        )
        assert [row["action"] for row in actions] == ["chat:turn:admitted", "chat:turn:answered"]
        assert await site.value("select cost_micros from costs") == 25
        assert await site.value("select state from agents") == "idle"

    with_site(test)


def test_a_conversation_outlives_the_server(running_server, database_url):
    import trio

    async def main():
        with trio.fail_after(60):
            async with running_server(database_url) as site:
                first = await site.say("I am Ada")
            async with running_server(database_url) as site:
                names = ("conversation_id", "conversation_token")
                second = await site.say("Who am I?", **{name: first[name] for name in names})
                assert second["conversation_id"] == first["conversation_id"]
                told = [message["content"] for message in site.model.requests[-1]["messages"]]
                assert told[1:] == ["I am Ada", "Hello there.", "Who am I?"]

    trio.run(main)


def test_a_wrong_or_missing_token_is_refused(with_site):
    async def test(site):
        mine = await site.say("hi")
        other = await site.say("hi")
        for token in (other["conversation_token"], "", "x", "é", mine["conversation_token"] + "A", None):
            body = {"message": "hi", "conversation_id": mine["conversation_id"]}
            if token is not None:
                body["conversation_token"] = token
            response = await site.client.post("/api/v1/public/agents/chat/hello", json=body)
            assert response.status_code == 403, token
            assert response.json()["error"]["code"] == "not_permitted"
        assert len(site.model.requests) == 2

    with_site(test)


def test_the_conversations_of_two_people_share_nothing(with_site):
    async def test(site):
        first, second = await site.say("I am Ada"), await site.say("Who am I?")
        assert first["conversation_id"] != second["conversation_id"]
        told = [message["content"] for message in site.model.requests[-1]["messages"]]
        assert told[1:] == ["Who am I?"]

    with_site(test)


def test_a_provider_that_fails_is_told_and_the_conversation_goes_on(with_site):
    async def test(site):
        site.model.says(500, when="break")
        response = await site.post("break")
        assert response.status_code == 503, response.text
        assert response.json()["error"]["code"] == "llm_unavailable"
        assert (await site.say("hi"))["reply"] == "Hello there."
        assert [row["state"] for row in await site.rows("select state from turns order by admitted_at")] == [
            "failed",
            "answered",
        ]

    with_site(test)

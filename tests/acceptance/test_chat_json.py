"""Promise: a message by JSON is answered, in a conversation that only its owner can go on with."""


def test_a_message_is_answered_with_its_conversation_and_what_it_cost(with_site):
    async def test(site):
        reply = await site.say("hi")
        assert reply["reply"] == "Hello there."
        assert reply["usage"] == {"input_tokens": 11, "output_tokens": 7, "cost_micros": 25}
        assert set(reply) == {"reply", "conversation_id", "conversation_token", "turn_id", "usage"}

    with_site(test)

"""Promise: without the provider's key the server starts all the same, says what is missing and refuses to chat."""

import logging

NO_KEY = {
    "provider": "anthropic",
    "endpoint": None,
    "model": None,
    "api_key": None,
}
WARNING = (
    "LLM startup ping FAILED; public chat and the agents' tool-call loop are degraded. "
    "Fix the HIVEMIND_LLM_* variables and restart"
)


def test_it_starts_warns_and_is_degraded(with_site, caplog):
    async def test(site):
        assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING][:1] == [WARNING]
        response = await site.client.get("/api/v1/health")
        assert response.status_code == 200
        body = response.json()
        assert body["status"] == "degraded"
        assert body["checks"]["provider"]["status"] == "degraded"
        assert "HIVEMIND_LLM_API_KEY" in body["checks"]["provider"]["message"]
        assert "HIVEMIND_LLM_API_KEY" in body["checks"]["provider"]["remedy"]
        assert body["checks"]["database"] == {"status": "ok"}

    with_site(test, llm=NO_KEY)


def test_chat_refuses_by_json_stream_and_socket_and_leaves_nothing(with_site):
    async def test(site):
        response = await site.post("hi")
        streamed = await site.post("hi", headers={"accept": "text/event-stream"})
        for refusal in (response, streamed):
            assert refusal.status_code == 503
            assert refusal.headers["content-type"] == "application/json"
            error = refusal.json()["error"]
            assert error["code"] == "llm_unavailable"
            assert "HIVEMIND_LLM_API_KEY" in error["remedy"]
        async with site.socket() as socket:
            await socket.send_message('{"type":"message","message":"hi"}')
            told = await socket.get_message()
            assert "llm_unavailable" in told and "HIVEMIND_LLM_API_KEY" in told
        for table in ("turns", "conversations", "reservations", "costs"):
            assert await site.value(f"select count(*) from {table}") == 0, table
        response = await site.post("hi", slug="nobody")
        assert response.status_code == 404

    with_site(test, llm=NO_KEY)

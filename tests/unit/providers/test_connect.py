"""What the settings come to, and how what is missing shows."""

import logging

import pytest
import trio
from pydantic import SecretStr

from hivemind.errors import ProviderUnavailable
from hivemind.outbound import HttpClient
from hivemind.providers import ProviderMessage, ProviderRequest, choose, connect, ping_at_start
from hivemind.providers.connect import patience
from hivemind.settings import LlmSettings

REQUEST = ProviderRequest("", "", (ProviderMessage("user", "hi"),), 50)
KEY = SecretStr("sk-test")


@pytest.mark.parametrize(
    ("settings", "local", "want"),
    [
        (LlmSettings(), True, "local"),
        (LlmSettings(), False, "anthropic"),
        (LlmSettings(api_key=KEY), True, "anthropic"),
        (LlmSettings(provider="ollama", api_key=KEY), True, "ollama"),
        (LlmSettings(provider="local", api_key=KEY), False, "local"),
    ],
)
def test_choice(settings, local, want):
    assert choose(settings, local=local) == want


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (LlmSettings(provider="anthropic"), "missing config: HIVEMIND_LLM_API_KEY (anthropic)"),
        (LlmSettings(provider="openai"), "missing config: HIVEMIND_LLM_API_KEY (openai)"),
        (LlmSettings(provider="openai-compat"), "missing config: HIVEMIND_LLM_ENDPOINT (openai-compat)"),
        (
            LlmSettings(provider="openai-compat", endpoint="http://localhost:1/v1"),
            "missing config: HIVEMIND_LLM_MODEL (openai-compat)",
        ),
    ],
)
def test_what_is_missing_is_named_by_call_and_ping(settings, missing, caplog):
    async def main():
        async with HttpClient() as client:
            calls = connect(settings, client)
            with pytest.raises(ProviderUnavailable) as caught:
                async for _ in calls.stream(REQUEST):
                    pass
            assert caught.value.message == missing
            assert caught.value.remedy.startswith("set HIVEMIND_LLM_")
            with caplog.at_level(logging.WARNING):
                check = await ping_at_start(calls)
            assert (check.status, check.message) == ("degraded", missing)
            record = caplog.records[-1]
            assert "LLM startup ping FAILED" in record.getMessage()
            assert "HIVEMIND_LLM_*" in record.getMessage()
            assert (record.provider, record.error) == (settings.provider, missing)
            assert calls.facts()["breaker"] == "closed"

    trio.run(main)


def test_the_local_model_that_is_not_running():
    async def main():
        async with HttpClient() as client:
            calls = connect(LlmSettings(provider="local", max_retries=0), client)
            with pytest.raises(ProviderUnavailable, match="reached"):
                async for _ in calls.stream(REQUEST):
                    pass

    trio.run(main)


def test_the_scripted_provider_answers():
    async def main():
        async with HttpClient() as client:
            calls = connect(LlmSettings(provider="scripted"), client)
            assert (await ping_at_start(calls)).status == "ok"
            assert [e async for e in calls.stream(REQUEST)]

    trio.run(main)


def test_the_scripted_provider_plays_the_recording_of_the_settings(tmp_path):
    path = tmp_path / "recording.json"
    path.write_text('[{"steps": [{"text": "As recorded."}]}]')

    async def main():
        async with HttpClient() as client:
            calls = connect(LlmSettings(provider="scripted", recording=path), client)
            events = [event async for event in calls.stream(REQUEST)]
        assert "As recorded." in str(events)

    trio.run(main)


def test_what_is_on_this_machine_is_not_paced():
    assert patience("local", LlmSettings(pace_ms=400)).pace_seconds == 0
    assert patience("anthropic", LlmSettings(pace_ms=400)).pace_seconds == 0.4
    assert patience("anthropic", LlmSettings(timeout_seconds=5)).timeout_seconds == 5

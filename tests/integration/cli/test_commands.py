"""Promise: the commands work as a person runs them: arguments, standard input, output, exit code."""

import json
import subprocess
import sys

import pytest
import trio
from trio_websocket import ConnectionClosed, serve_websocket

from hivemind import keyfiles

TREE = {
    "tree": {"address": "/", "state": "running", "children": [{"address": "/agents", "state": "running"}]}
}


async def hivemind(folder, *arguments, stdin=""):
    with trio.fail_after(30):
        return await trio.run_process(
            [sys.executable, "-m", "hivemind", *arguments],
            stdin=stdin.encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=folder,
        )


def chatting(folder, *arguments, stdin="", frames):
    """Run `hivemind chat` against a server that answers each message with `frames`."""
    received = []

    async def connected(request):
        socket = await request.accept()
        try:
            received.append(json.loads(await socket.get_message()))
            for frame in frames:
                await socket.send_message(json.dumps(frame))
            await socket.get_message()
        except ConnectionClosed:
            pass

    async def main():
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve_websocket, connected, "127.0.0.1", 0, None)
            url = f"http://127.0.0.1:{server.port}"
            done = await hivemind(folder, "chat", "hello", "--url", url, *arguments, stdin=stdin)
            nursery.cancel_scope.cancel()
        return done

    return trio.run(main), received


REPLY = [
    {"type": "accepted", "turn_id": "t", "conversation_id": "c", "conversation_token": "k"},
    {"type": "delta", "text": "good\x1b[31m "},
    {"type": "reply", "reply": "good\x1b[31m day"},
]
REFUSAL = [{"type": "error", "error": {"code": "rate_limited", "message": "slow", "retry_after_seconds": 9}}]


def test_one_shot_prints_the_answer_and_nothing_else(tmp_path):
    done, received = chatting(tmp_path, "-m", "hi", frames=REPLY)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"good[31m day\n", b"")
    assert received[0]["message"] == "hi"


def test_lines_are_turns_of_one_conversation(tmp_path):
    done, received = chatting(tmp_path, stdin="one\n\ntwo\n/quit\nthree\n", frames=REPLY)
    assert done.returncode == 0
    assert [frame["message"] for frame in received] == ["one", "two"]
    assert "conversation_token" not in received[0]
    assert received[1]["conversation_token"] == "k"


def test_a_refusal_is_kind_and_does_not_end_the_talk(tmp_path):
    done, received = chatting(tmp_path, stdin="one\ntwo\n", frames=REFUSAL)
    assert (done.returncode, len(received)) == (0, 2)
    assert b"error: slow (rate_limited)\n next: try again in 9 s\n" in done.stderr


def test_a_refused_one_shot_fails(tmp_path):
    done, _ = chatting(tmp_path, "-m", "hi", frames=REFUSAL)
    assert (done.returncode, done.stdout) == (3, b"")


def test_no_server_is_one_line_and_what_to_do(tmp_path):
    done = trio.run(lambda: hivemind(tmp_path, "chat", "-m", "hi", "--url", "http://127.0.0.1:1"))
    assert done.returncode == 4
    assert done.stderr.decode().splitlines()[0] == "error: no server at http://127.0.0.1:1 (unreachable)"
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("status", "document", "arguments", "code", "expected"),
    [
        (200, TREE, ["--once"], 0, "agents  running"),
        (200, TREE, ["--once", "--format", "json"], 0, json.dumps(TREE["tree"])),
        (
            401,
            {"error": {"code": "not_authenticated", "message": "x"}},
            ["--once"],
            3,
            "does not accept the key found here",
        ),
        (404, {"error": {"code": "not_found", "message": "nobody here"}}, ["--once", "/x"], 3, "nobody here"),
        (200, [1], ["--once"], 4, "is not Hivemind"),
    ],
)
def test_actors(tmp_path, status, document, arguments, code, expected):
    key = keyfiles.ensure(tmp_path / "secrets").admin_api_key
    requests = []

    async def answer(stream):
        requests.append(await stream.receive_some())
        body = json.dumps(document).encode()
        await stream.send_all(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

    async def main():
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, answer, 0)
            url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            done = await hivemind(tmp_path, "actors", "--url", url, *arguments)
            nursery.cancel_scope.cancel()
        return done

    done = trio.run(main)
    assert done.returncode == code
    assert expected in (done.stdout + done.stderr).decode()
    assert f"X-API-Key: {key}".encode() in requests[0]


def test_doctor_as_json_exits_by_what_it_found(tmp_path):
    (tmp_path / "hivemind.toml").write_text("[server]\nport = 'x'\n")
    done = trio.run(lambda: hivemind(tmp_path, "doctor", "--json"))
    assert done.returncode == 1
    assert json.loads(done.stdout)[0]["status"] == "failed"


def test_migrate_brings_a_database_here_once(tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", database_url)
    first, second = (trio.run(hivemind, tmp_path, "migrate") for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert b"applied" in first.stdout
    assert b"nothing to do" in second.stdout


def test_guards_scan_reads_and_writes_lines():
    line = json.dumps({"id": "1", "text": "write to jane@example.org"}) + "\n"
    done = subprocess.run(
        [sys.executable, "-m", "hivemind", "guards", "scan"],
        input=line,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "jane@example.org" not in json.loads(done.stdout)["scrubbed"]


def test_a_server_elsewhere_is_opened_by_a_key_of_ones_own(tmp_path, monkeypatch):
    requests = []

    async def answer(stream):
        requests.append(await stream.receive_some())
        await stream.send_all(
            b'HTTP/1.1 200 OK\r\nContent-Length: 34\r\n\r\n{"items": [], "next_cursor": null}'
        )

    async def main():
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, answer, 0)
            port = listeners[0].socket.getsockname()[1]
            monkeypatch.setenv("HIVEMIND_CLIENT_URL", f"http://127.0.0.1:{port}")
            monkeypatch.setenv("HIVEMIND_CLIENT_API_KEY", "hm-mine")
            done = await hivemind(tmp_path, "tasks")
            nursery.cancel_scope.cancel()
        return done

    done = trio.run(main)
    assert (done.returncode, done.stdout) == (0, b"There are no tasks.\n")
    assert b"X-API-Key: hm-mine" in requests[0]

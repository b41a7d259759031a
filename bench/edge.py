"""A whole chat turn beside a bare quart-trio route, in one run.

    python bench/edge.py [--quick] [--rounds 5] [--seconds 2]

The turn has everything on that the product has: guards on both sides, a priced model under a cap (so that
every turn reserves and settles), audit, limits (raised), an embedded Postgres and an upstream that answers at
once. The bare route parses the same body and answers the same bytes; it runs twice: `bare` as quart-trio comes,
on the hypercorn that it brings, and `ours` behind our own server, which is leaner than that. The target and
the ratios are against `ours`, the stricter of the two. Every party is a process of its own; rounds are interleaved and the figures are medians.
Processor time is the server's own (all its threads); what Postgres spends is in its own column. Every request
opens a conversation unless `--turns` says how many messages one takes.
"""

import argparse
import asyncio
import json
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

CONCURRENCY = (1, 16, 64)
TARGET = 2.5
PIECES = [
    "The capital ",
    "of France ",
    "is Paris, ",
    "a city of ",
    "two million ",
    "people on ",
    "the river ",
    "Seine.",
]
ASKED = "What is the capital of France, and what is it known for?"
PATH = "/api/v1/public/agents/chat/hello"
ONE_CALL_SECONDS = 30


# -- the upstream: one write for each request


def upstream() -> None:
    def chunk(**parts: object) -> bytes:
        return (
            b"data: "
            + json.dumps({"id": "x", "object": "chat.completion.chunk", "model": "bench", **parts}).encode()
            + b"\n\n"
        )

    body = b"".join(chunk(choices=[{"index": 0, "delta": {"content": text}}]) for text in PIECES)
    body += chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    body += chunk(choices=[], usage={"prompt_tokens": 40, "completion_tokens": 24}) + b"data: [DONE]\n\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
    answer = head % len(body) + body

    class Wire(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport, self.data = transport, b""

        def data_received(self, data: bytes) -> None:
            self.data += data
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                return
            at = self.data.lower().find(b"content-length:", 0, end)
            length = int(self.data[at + 15 : self.data.index(b"\r\n", at)]) if at > 0 else 0
            if len(self.data) >= end + 4 + length:
                self.data = self.data[end + 4 + length :]
                self.transport.write(answer)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Wire, "127.0.0.1", 0, backlog=1024)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(0, stop.set)
        ready(port=server.sockets[0].getsockname()[1])
        await stop.wait()

    asyncio.run(run())


# -- the contenders


def turn(folder: Path, upstream_port: int) -> None:
    import gc

    import trio

    from hivemind.app import running
    from hivemind.settings import LimitSettings, Settings

    plenty = 1_000_000_000
    settings = Settings.model_validate({
        "server": {"port": 0},
        "data": {"folder": folder / "data", "secrets_folder": folder / "secrets"},
        "llm": {
            "provider": "openai-compat",
            "endpoint": f"http://127.0.0.1:{upstream_port}/v1",
            "model": "bench",
            "pace_ms": 0,
        },
        "limits": dict.fromkeys((name for name in LimitSettings.model_fields if "_per_" in name), plenty),
        "budgets": {"prices": {"bench": (150_000, 600_000)}},
    })  # fmt: skip

    async def run() -> None:
        async with running(settings, lambda _: None) as server:
            lines = next((folder / "data" / "postgres").rglob("postmaster.pid")).read_text().splitlines()
            gc.freeze()  # as `hivemind serve` does
            gc.set_threshold(50_000, 50, 1_000)
            ready(port=int(server.url.rsplit(":", 1)[1]), postgres=int(lines[0]))
            await trio.lowlevel.wait_readable(0)

    trio.run(run)


def bare(server: str) -> None:
    import trio
    from hypercorn.config import Config
    from hypercorn.trio import serve as hypercorn_serve
    from quart import request
    from quart_trio import QuartTrio

    from hivemind.http.server import serve
    from hivemind.settings import ServerSettings

    app = QuartTrio("bare")
    ids = {"conversation_id": "0" * 36, "conversation_token": "0" * 32, "turn_id": "0" * 36}
    reply = {
        "reply": "".join(PIECES),
        **ids,
        "usage": {"input_tokens": 40, "output_tokens": 24, "cost_micros": 21},
    }

    def event(name: str, seq: int, data: dict) -> bytes:
        return (
            f"event: {name}\nid: 1.{seq}\ndata: {json.dumps({'epoch': 1, 'seq': seq, **data})}\n\n".encode()
        )

    @app.post(PATH)
    async def chat():
        body = await request.get_json()
        assert body["message"]
        if "text/event-stream" not in request.headers.get("accept", ""):
            return reply

        async def events():
            yield event("accepted", 0, ids)
            for seq, text in enumerate(PIECES, 1):
                yield event("delta", seq, {"text": text})
            yield event("reply", len(PIECES) + 1, reply)

        return events(), {"content-type": "text/event-stream"}

    async def behind_ours() -> None:
        async with trio.open_nursery() as nursery:
            stop = trio.Event()
            bound = await nursery.start(
                lambda task_status: serve(app, ServerSettings(port=0), stop=stop, task_status=task_status)
            )
            ready(port=bound.port)
            await trio.lowlevel.wait_readable(0)
            stop.set()

    async def behind_hypercorn() -> None:
        config = Config()
        config.bind, config.errorlog, config.keep_alive_max_requests = ["127.0.0.1:0"], None, 10**9
        # Its sockets are bound here, because that is how their port can be known.
        sockets = config.create_sockets()
        config.create_sockets = lambda: sockets  # type: ignore[method-assign]
        for bound in sockets.insecure_sockets:
            bound.listen(config.backlog)
        ready(port=sockets.insecure_sockets[0].getsockname()[1])
        await hypercorn_serve(app, config, shutdown_trigger=partial(trio.lowlevel.wait_readable, 0))

    trio.run(behind_ours if server == "ours" else behind_hypercorn)


# -- the client: closed loop, raw sockets, one connection for each caller


class Caller:
    def __init__(self, port: int, stream: bool, turns: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accept = "accept: text/event-stream\r\n" if stream else ""
        self.head = (
            f"POST {PATH} HTTP/1.1\r\nhost: x\r\n{accept}content-type: application/json\r\ncontent-length: "
        )
        self.turns, self.left, self.data, self.began = turns, 0, b"", 0.0
        self.conversation: dict[str, str] = {}

    def ask(self) -> None:
        if not self.left:
            self.left, self.conversation = self.turns, {}
        self.left -= 1
        body = json.dumps({"message": ASKED, **self.conversation})
        self.data, self.began = b"", time.perf_counter()
        self.socket.sendall(f"{self.head}{len(body)}\r\n\r\n{body}".encode())

    def read(self) -> bool:
        """Whether the answer is complete."""
        got = self.socket.recv(65_536)
        if not got:
            raise SystemExit(f"the server closed the connection after {self.data!r}")
        self.data += got
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return False
        at = self.data.find(b"content-length: ", 0, end)
        if at > 0:
            whole = len(self.data) >= end + 4 + int(self.data[at + 16 : self.data.index(b"\r\n", at)])
        else:
            whole = self.data.endswith(b"0\r\n\r\n")
        if whole and (not self.data.startswith(b"HTTP/1.1 200") or b'"reply":' not in self.data):
            raise SystemExit(f"a turn failed: {self.data!r}")
        if whole and self.left and not self.conversation:
            for name in ("conversation_id", "conversation_token"):
                start = self.data.index(f'"{name}":"'.encode()) + len(name) + 4
                self.conversation[name] = self.data[start : self.data.index(b'"', start)].decode()
        return whole


def load(port: int, callers: int, stream: bool, seconds: float, turns: int) -> None:
    poll = selectors.EpollSelector()
    everyone = [Caller(port, stream, turns) for _ in range(callers)]
    for caller in everyone:
        poll.register(caller.socket, selectors.EVENT_READ, caller)
        caller.ask()
    began, took = time.perf_counter(), []
    busy = callers
    while busy:
        found = poll.select(ONE_CALL_SECONDS)
        if not found:
            raise SystemExit(f"no answer within {ONE_CALL_SECONDS} s")
        for key, _ in found:
            if not key.data.read():
                continue
            now = time.perf_counter()
            took.append(now - key.data.began)
            if now - began < seconds:
                key.data.ask()
            else:
                busy -= 1
    elapsed = time.perf_counter() - began
    took.sort()
    at = lambda share: took[min(int(len(took) * share), len(took) - 1)] * 1e3  # noqa: E731
    print(json.dumps({"count": len(took), "seconds": elapsed, "p50": at(0.5), "p99": at(0.99)}))


# -- the run


@dataclass
class Round:
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    postgres_us: float


def ready(**facts: int) -> None:
    print(json.dumps(facts), flush=True)


def start(*role: object) -> tuple[subprocess.Popen, dict]:
    """A process of this file that ends when its stdin does."""
    process = subprocess.Popen(
        [sys.executable, __file__, *map(str, role)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{role[0]} did not start")
    return process, json.loads(line)


def stop(process: subprocess.Popen) -> None:
    process.stdin.close()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()


def cpu_seconds(pid: int, children: bool = False) -> float:
    """Processor time of all threads that a process has or had, and of its children."""
    total = time.clock_gettime(
        (~pid << 3) | 2
    )  # the clock of another process, as clock_getcpuclockid(3) makes it
    if children:
        for task in Path(f"/proc/{pid}/task").glob("[0-9]*"):
            for child in (task / "children").read_text().split():
                try:
                    total += cpu_seconds(int(child))
                except OSError:  # it has just ended
                    continue
    return total


def one(facts: dict, pid: int, callers: int, stream: bool, seconds: float, turns: int) -> Round:
    postgres = facts.get("postgres")
    cpu, other = cpu_seconds(pid), cpu_seconds(postgres, True) if postgres else 0.0
    said = subprocess.run(
        [sys.executable, __file__, "load", *map(str, (facts["port"], callers, int(stream), seconds, turns))],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    cpu, other = cpu_seconds(pid) - cpu, (cpu_seconds(postgres, True) if postgres else 0.0) - other
    figures = json.loads(said.stdout)
    count = figures["count"]
    return Round(
        count / figures["seconds"], figures["p50"], figures["p99"], cpu / count * 1e6, other / count * 1e6
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three short rounds, for a look")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one round of one contender")
    parser.add_argument("--turns", type=int, default=1, help="messages in one conversation")
    options = parser.parse_args()
    rounds, seconds = (3, 1.0) if options.quick else (options.rounds, options.seconds)
    kinds = [(stream, callers) for stream in (False, True) for callers in CONCURRENCY]
    found: dict[tuple[str, bool, int], list[Round]] = {}
    running = []
    with tempfile.TemporaryDirectory(prefix="hivemind-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # the account that root runs Postgres as has to enter it
        try:
            running.append(start("upstream"))
            running.append(start("turn", folder, running[0][1]["port"]))
            running.append(start("bare", "hypercorn"))
            running.append(start("bare", "ours"))
            contenders = {"turn": running[1], "bare": running[2], "ours": running[3]}
            for process, facts in contenders.values():  # statements prepared, caches filled
                one(facts, process.pid, 16, False, 0.5, options.turns)
            for _ in range(rounds):
                for stream, callers in kinds:
                    for contender, (process, facts) in contenders.items():
                        figures = one(facts, process.pid, callers, stream, seconds, options.turns)
                        found.setdefault((contender, stream, callers), []).append(figures)
        finally:
            for process, _ in reversed(running):
                stop(process)
    return show(found, kinds)


def show(found: dict[tuple[str, bool, int], list[Round]], kinds: list[tuple[bool, int]]) -> int:
    print(
        f"{'':<24}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'server µs':>11}{'postgres µs':>13}{'ratio':>7}"
    )
    missed = False
    for stream, callers in kinds:
        label = f"{'stream' if stream else 'json'}, {callers} at once"
        medians = {}
        for contender in ("ours", "bare", "turn"):
            rounds = found[contender, stream, callers]
            medians[contender] = [
                statistics.median(getattr(figures, field) for figures in rounds)
                for field in Round.__annotations__
            ]
            rate, p50, p99, cpu, postgres = medians[contender]
            ratio = f"{cpu / medians['ours'][3]:.2f}" if contender != "ours" else ""
            print(
                f"{label:<19}{contender:<5}{rate:>12.0f}{p50:>9.2f}{p99:>9.2f}{cpu:>11.0f}{postgres:>13.0f}{ratio:>7}"
            )
        missed = missed or medians["turn"][3] > TARGET * medians["ours"][3]
    print(
        f"\n{'MISSED' if missed else 'holds '} processor time of a turn at most {TARGET} x the bare route's behind our server (`ours`)"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["upstream"]:
            upstream()
        case ["turn", folder, port]:
            turn(Path(folder), int(port))
        case ["bare", server]:
            bare(server)
        case ["load", port, callers, stream, seconds, turns]:
            load(int(port), int(callers), stream == "1", float(seconds), int(turns))
        case _:
            sys.exit(main())

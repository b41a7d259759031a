"""The processor time of one provider call: `Calls` over `Remote` over `HttpClient`, an instant server beside it.

    python bench/calls.py [--calls 2000] [--rounds 5]

Two answers: eight pieces of text in one write, and twenty pieces in a write each. Figures are µs of this
process's processor time for each call, medians of interleaved rounds; the server is a process of its own.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time

import trio

from hivemind.outbound import HttpClient
from hivemind.providers import Calls, ProviderMessage, ProviderRequest
from hivemind.providers.openai import OpenAI
from hivemind.providers.patience import Patience
from hivemind.providers.remote import Remote

REQUEST = ProviderRequest(
    "bench", "You are a helpful assistant. Be brief.", (ProviderMessage("user", "What is it?"),), 500
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


def pieces(count: int) -> list[bytes]:
    def chunk(**parts: object) -> bytes:
        body = {"id": "x", "object": "chat.completion.chunk", "model": "bench", **parts}
        return b"data: " + json.dumps(body).encode() + b"\n\n"

    texts = [chunk(choices=[{"index": 0, "delta": {"content": f"piece {n} "}}]) for n in range(count)]
    last = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    last += chunk(choices=[], usage={"prompt_tokens": 40, "completion_tokens": 24}) + b"data: [DONE]\n\n"
    return [*texts, last]


def serve() -> None:
    whole = b"".join(pieces(8))
    writes = [HEAD + b"content-length: %d\r\n\r\n" % len(whole) + whole]
    parts = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces(20)]
    streamed = [
        HEAD + b"transfer-encoding: chunked\r\n\r\n" + parts[0],
        *parts[1:-1],
        parts[-1] + b"0\r\n\r\n",
    ]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                at = head.lower().index(b"content-length:")
                await reader.readexactly(int(head[at + 15 : head.index(b"\r\n", at)]))
                for write in streamed if b"/streamed/" in head else writes:
                    writer.write(write)
                    # A turn of the loop or more between two writes: the other side reads each by itself.
                    await asyncio.sleep(0.0003 if write is not writes[0] else 0)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(0, stop.set)
        await stop.wait()

    asyncio.run(run())


async def measure(port: int, path: str, count: int, at_once: int) -> float:
    async with HttpClient() as client:
        remote = Remote(
            OpenAI("openai-compat"), client, f"http://127.0.0.1:{port}{path}", key=None, default_model="bench"
        )
        calls = Calls(remote, Patience(pace_seconds=0))

        async def one(times: int) -> None:
            for _ in range(times):
                events = [event async for group in calls.stream(REQUEST) for event in group]
                assert len(events) > 2

        await one(20)
        begin = time.process_time()
        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(one, count // at_once)
        return (time.process_time() - begin) / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cases = [
        (name, path, at_once)
        for name, path in (("one write", ""), ("20 pieces", "/streamed"))
        for at_once in (1, 16)
    ]
    server = subprocess.Popen(
        [sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdin
    assert server.stdout
    port = int(server.stdout.readline())
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for name, path, at_once in cases:
            count = options.calls if not path else options.calls // 5
            found.setdefault((name, at_once), []).append(trio.run(measure, port, path, count, at_once))
    server.stdin.close()
    server.wait()
    print(f"{'answer':<12}{'at once':>8}{'µs/call':>10}")
    for (name, at_once), figures in found.items():
        print(f"{name:<12}{at_once:>8}{statistics.median(figures):>10.0f}")


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()

"""Many agents at once, each a tool loop of five steps, beside other runtimes in the same run.

    python bench/agents.py [--counts 100,1000,5000] [--rivals PYTHON]

A step is one call to a model that answers after 50 ms: four ask for a tool, the fifth is the answer. Hivemind
runs with everything on: guards both ways, a priced model under a cap, every step and every call of a tool
written to Postgres before and after. The rivals keep everything in memory. PYTHON is an interpreter that has
them (`pip install 'pydantic-ai-slim[openai]' openai-agents`); without it they are left out.

Every party drives its own agents in its own process; the model is a process beside it. Processor time is that of
the party's process (all threads) for each step; `database` is what Postgres spends on top. Memory is the growth
of the resident set at its peak for each running agent.
"""

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self
from uuid import UUID

COUNTS = (100, 1_000, 5_000)
STEPS = 5
LATENCY_SECONDS = 0.05
PATIENCE_SECONDS = 180
ASKED = "How warm is it in Paris?"
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CPU_MS, MEMORY_KB = 2.0, 40.0
RIVALS = ("pydantic-ai", "openai-agents")


# -- the model: asks for a tool until it has seen four results


def upstream() -> None:
    def chunk(**parts: object) -> bytes:
        body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "bench", **parts}
        return b"data: " + json.dumps(body).encode() + b"\n\n"

    usage = {"prompt_tokens": 40, "completion_tokens": 12, "total_tokens": 52}

    def answer(seen: int, stream: bool) -> bytes:
        if seen >= STEPS - 1:
            message: dict[str, object] = {"role": "assistant", "content": "It is 21 degrees in Paris."}
            why = "stop"
        else:
            # Other arguments each time: the same call again and again is what agents are stopped for.
            function = {"name": "lookup", "arguments": json.dumps({"city": f"Paris {seen}"})}
            call = {"index": 0, "id": f"call_{seen}", "type": "function", "function": function}
            message, why = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        if stream:
            body = chunk(choices=[{"index": 0, "delta": message}])
            body += chunk(choices=[{"index": 0, "delta": {}, "finish_reason": why}])
            body += chunk(choices=[], usage=usage) + b"data: [DONE]\n\n"
            kind = b"text/event-stream"
        else:
            choice = {"index": 0, "message": message, "finish_reason": why}
            whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "bench"}
            body = json.dumps({**whole, "choices": [choice], "usage": usage}).encode()
            kind = b"application/json"
        return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (
            kind,
            len(body),
            body,
        )

    answers = {(seen, stream): answer(seen, stream) for seen in range(STEPS) for stream in (False, True)}

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
            if len(self.data) < end + 4 + length:
                return
            body, self.data = self.data[end + 4 : end + 4 + length], self.data[end + 4 + length :]
            seen = body.count(b'"role":"tool"') + body.count(b'"role": "tool"')
            stream = b'"stream":true' in body or b'"stream": true' in body
            told = answers[min(seen, STEPS - 1), stream]
            asyncio.get_running_loop().call_later(LATENCY_SECONDS, self._send, told)

        def _send(self, answer: bytes) -> None:
            if not self.transport.is_closing():
                self.transport.write(answer)

    async def run() -> None:
        _allow_files()
        server = await asyncio.get_running_loop().create_server(Wire, "127.0.0.1", 0, backlog=8_192)
        stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(0, stop.set)
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await stop.wait()

    asyncio.run(run())


# -- the parties: each runs `count` agents to their end and returns how many answered


def hivemind(count: int, port: int) -> dict[str, float]:
    import trio
    from uuid_utils.compat import uuid7

    from hivemind.actors import ActorSystem, ChildSpec, Policies, RowSupervisor
    from hivemind.agents import Agent, Profiles, Reply, Resources, UserMessage, answer
    from hivemind.agents.tools import Builtin, Call, Catalogue, Outcome, Tool, Toolbox
    from hivemind.budgets import Prices
    from hivemind.guards import Guards
    from hivemind.outbound import HttpClient
    from hivemind.persistence import Database, EmbeddedPostgres, migrate
    from hivemind.providers import connect
    from hivemind.settings import LlmSettings

    async def lookup(call: Call) -> Outcome:
        return Outcome(f"It is 21 degrees in {call.arguments['city']}.")

    box = Toolbox({"lookup": Builtin(lambda _: Tool("lookup", "The weather.", TOOL, lookup))}, Catalogue())
    settings = LlmSettings.model_validate(
        {"provider": "openai-compat", "endpoint": f"http://127.0.0.1:{port}/v1", "model": "bench", "pace_ms": 0,
         "timeout_seconds": PATIENCE_SECONDS}
    )  # fmt: skip

    async def run(folder: Path) -> dict[str, float]:
        postgres = EmbeddedPostgres(folder / "postgres")
        await postgres.start(lambda _: None)
        try:
            async with (
                Database(postgres.conninfo, size=8, wait_seconds=PATIENCE_SECONDS) as database,
                HttpClient() as client,
                ActorSystem(policies=Policies.from_mapping({}, kinds=("agents", "rows"))) as system,
            ):
                await migrate(database)
                await database.execute("update caps set limit_micros = 1000000000000")
                await database.execute(
                    'update agent_profiles set tools = \'{"lookup": {"policy": "allow"}}\', max_turn_seconds = 600'
                )
                guards = Guards.load(folder / "guards")
                resources = Resources(
                    database,
                    guards,
                    connect(settings, client),
                    Prices({"bench": (150_000, 600_000)}),
                    Profiles(database),
                    box,
                    600.0,
                    5.0,
                )

                def child(name: str) -> ChildSpec:
                    return ChildSpec(name, Agent, (UUID(name), resources))

                await system.start(ChildSpec("agents", RowSupervisor, (child,)))
                profile = await resources.profiles.by_slug("hello")
                answered = 0

                async def one() -> None:
                    nonlocal answered
                    agent_id = uuid7()
                    message = UserMessage(ASKED, profile, "bench", True, ("bench", str(agent_id)))
                    last = await answer(system, system.at(f"/agents/{agent_id}"), message)
                    answered += isinstance(last, Reply) and "21 degrees" in last.text

                await one()  # statements prepared, caches filled
                gc.collect()
                gc.freeze()  # as `hivemind serve` does
                gc.set_threshold(50_000, 50, 1_000)
                answered, spent = 0, _of_children(postgres.pid)
                with _Measured() as measured:
                    async with trio.open_nursery() as nursery:
                        for _ in range(count):
                            nursery.start_soon(one)
                rows = await database.fetch_one(
                    "select (select count(*)::int from turn_steps) as steps, (select count(*)::int from effects"
                    " where state = 'done') as effects, (select count(*)::int from turns where state = 'answered')"
                    " as turns"
                )
                assert rows == {"steps": 4 * count + 4, "effects": 4 * count + 4, "turns": count + 1}, rows
                return {**measured.figures(answered), "database": _of_children(postgres.pid) - spent}
        finally:
            await postgres.stop()

    with tempfile.TemporaryDirectory(prefix="hivemind-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # the account that root runs Postgres as has to enter it
        return trio.run(run, folder)


def pydantic_ai(count: int, port: int) -> dict[str, float]:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(openai_client=_openai(port))
    agent = Agent(OpenAIChatModel("bench", provider=provider), system_prompt="You are helpful.")

    @agent.tool_plain
    async def lookup(city: str) -> str:
        """The weather."""
        return f"It is 21 degrees in {city}."

    async def one() -> bool:
        return "21 degrees" in (await agent.run(ASKED)).output

    return _gathered(one, count)


def openai_agents(count: int, port: int) -> dict[str, float]:
    from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled

    set_tracing_disabled(disabled=True)

    @function_tool
    async def lookup(city: str) -> str:
        """The weather."""
        return f"It is 21 degrees in {city}."

    model = OpenAIChatCompletionsModel(model="bench", openai_client=_openai(port))
    agent = Agent(name="bench", instructions="You are helpful.", tools=[lookup], model=model)

    async def one() -> bool:
        return "21 degrees" in (await Runner.run(agent, ASKED)).final_output

    return _gathered(one, count)


def _openai(port: int):
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    client = DefaultAsyncHttpxClient(timeout=PATIENCE_SECONDS)  # its own limits: 1,000 connections
    url = f"http://127.0.0.1:{port}/v1"
    return AsyncOpenAI(base_url=url, api_key="none", http_client=client, max_retries=0)


def _gathered(one, count: int) -> dict[str, float]:
    async def run() -> dict[str, float]:
        await one()
        gc.collect()
        with _Measured() as measured:
            results = await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)
        return {**measured.figures(sum(result is True for result in results)), "database": 0.0}

    return asyncio.run(run())


# -- measuring


class _Measured:
    """Wall and processor seconds of a block, and the peak of the resident set in it, in KB."""

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._before = self._peak = _resident_kb()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self._wall, self._cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self._peak = max(self._peak, _resident_kb())

    def figures(self, answered: int) -> dict[str, float]:
        return {"answered": answered, "wall": self._wall, "cpu": self._cpu, "kb": self._peak - self._before}


def _resident_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def _of_children(pid: int | None) -> float:
    """Processor seconds of Postgres: of the process and of those that it has."""
    assert pid is not None
    total = time.clock_gettime((~pid << 3) | 2)  # another process's clock, as clock_getcpuclockid(3) makes it
    for task in Path(f"/proc/{pid}/task").glob("[0-9]*"):
        for child in (task / "children").read_text().split():
            try:
                total += time.clock_gettime((~int(child) << 3) | 2)
            except OSError:  # it has just ended
                continue
    return total


def _allow_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# -- the run


def measure(party: str, python: str, count: int, port: int) -> dict[str, float] | None:
    """One party in a process of its own; None where it did not end in time."""
    try:
        said = subprocess.run(
            [python, "-P", __file__, party, str(count), str(port)],
            stdout=subprocess.PIPE, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    lines = said.stdout.splitlines()
    return json.loads(lines[-1]) if said.returncode == 0 and lines else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default=",".join(map(str, COUNTS)))
    parser.add_argument("--rivals", metavar="PYTHON", help="an interpreter that has the other runtimes")
    options = parser.parse_args()
    parties = [("hivemind", sys.executable)]
    if options.rivals:
        parties += [(rival, options.rivals) for rival in RIVALS]
    else:
        print("The other runtimes are left out: name an interpreter that has them by --rivals\n")
    model = subprocess.Popen(
        [sys.executable, __file__, "upstream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    missed = False
    try:
        port = json.loads(model.stdout.readline())["port"]
        print(
            f"{'':<22}{'answered':>9}{'agents/s':>10}{'wall s':>8}{'CPU ms/step':>13}{'database':>10}{'KB/agent':>10}"
        )
        for count in map(int, options.counts.split(",")):
            for party, python in parties:
                found = measure(party, python, count, port)
                label = f"{party}, {count}"
                if found is None:
                    print(f"{label:<22} did not end within {PATIENCE_SECONDS} s, or failed", flush=True)
                    missed = missed or party == "hivemind"
                    continue
                steps = count * STEPS
                cpu, database = found["cpu"] / steps * 1e3, found["database"] / steps * 1e3
                memory = found["kb"] / count
                print(
                    f"{label:<22}{found['answered']:>9.0f}{count / found['wall']:>10.0f}{found['wall']:>8.1f}"
                    f"{cpu:>13.2f}{database:>10.2f}{memory:>10.1f}",
                    flush=True,
                )
                if party == "hivemind":
                    missed = missed or found["answered"] < count or cpu > CPU_MS
                    missed = missed or (count >= 1_000 and memory > MEMORY_KB)
    finally:
        model.stdin.close()
        model.wait(10)
    verdict = "MISSED" if missed else "holds "
    print(
        f"\n{verdict} at most {CPU_MS:g} ms of processor time a step and {MEMORY_KB:g} KB an agent (from 1,000), all answered"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["upstream"]:
            upstream()
        case [("hivemind" | "pydantic-ai" | "openai-agents") as party, count, port]:
            _allow_files()
            contenders = {"hivemind": hivemind, "pydantic-ai": pydantic_ai, "openai-agents": openai_agents}
            print(json.dumps(contenders[party](int(count), int(port))))
        case _:
            sys.exit(main())

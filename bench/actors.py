"""The actor runtime beside pykka's threads, bare trio channels and Erlang, in one run.

    python bench/actors.py [--repeats 5] [--case tell]

Each contender and case is a fresh process, repeats are interleaved, the figure is the median of the
processor time per operation: on a busy machine it is steadier than the time of day. Crashes are the
exception: there it is the time from the raise to the start of the successor, in which nothing waits. Ours runs with
everything on that the product has: counters, bounded mailboxes, addresses, the failure rule, the watch for
handlers that block the loop. Erlang runs as installed; `erlang-1` is the same with one scheduler that never
spins, since the processor time of the default includes its schedulers' busy waiting.
"""

import argparse
import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COUNTS = {"tell": 300_000, "call": 100_000, "start": 100_000, "crash": 3_000, "crash-static": 3_000}
ERLANG_COUNTS = {"tell": 5_000_000, "call": 1_000_000, "start": 100_000, "crash": 20_000}
UNIT = {
    "tell": "µs per tell",
    "call": "µs per call",
    "start": "µs per start",
    "crash": "µs crash to restarted",
    "crash-static": "µs, not a row",
}
SLOW = {
    ("pykka", "start"): 2_000,
    ("pykka", "call"): 30_000,
    ("pykka", "crash"): 1_000,
    ("pykka", "crash-static"): 1_000,
}
CONTENDERS = ["hivemind", "hivemind-task", "pykka", "trio", "erlang", "erlang-1"]
# case, what is compared, how many times Erlang's figure it may be (None: an absolute limit)
TARGETS = [
    ("tell", "time", 2.0, None),
    ("call", "time", 1.5, None),
    ("start", "time", None, 6.0),
    ("start", "bytes", None, 0.8 * 1024),
    ("crash", "time", 3.0, None),
    ("crash-static", "time", 3.0, None),
]
HERE = Path(__file__).resolve().parent


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def hivemind(case: str, count: int, mode: str = "pooled") -> None:
    import logging

    import trio

    from hivemind.actors import Actor, ActorSystem, ChildSpec, Policies, RowSupervisor

    logging.disable(logging.CRITICAL)

    class Counter(Actor):
        def __init__(self) -> None:
            self.count = 0

        def on_receive(self, message: object) -> object:
            self.count += 1
            return message

    class Agent(Actor):
        kind = "agents"

        def __init__(self, row: str) -> None:
            self.row = row

        def on_receive(self, message: object) -> object:
            return message

    up = trio.Event()
    crashed_at: list[float] = []
    latencies: list[float] = []

    class Crasher(Actor):
        def on_start(self) -> None:
            if crashed_at:
                latencies.append(time.perf_counter() - crashed_at.pop())
            up.set()

        def on_receive(self, message: object) -> object:
            crashed_at.append(time.perf_counter())
            raise ValueError(message)

    Counter.mode = Crasher.mode = mode
    # A class learns from its mode whether callers may run it; here the mode is set afterwards.
    Counter.helpable = mode == "pooled"
    policies = Policies.from_mapping(
        {
            "actor": {"mailbox_limit": count + 1, "max_restarts": 100, "within_seconds": 0.0001},
            "supervisor": {"max_restarts": 100, "within_seconds": 0.0001},
        }
    )

    async def main() -> None:
        nonlocal up
        async with ActorSystem(policies=policies) as system:
            if case == "tell":
                ref = system.spawn(Counter)
                await ref.call(0)
                began = time.process_time()
                for number in range(count):
                    ref.tell(number)
                    if not number & 1023:
                        await trio.lowlevel.checkpoint()
                await ref.call(0)
                report(began, count)
            elif case == "call":
                ref = system.spawn(Counter)
                await ref.call(0)
                began = time.process_time()
                for number in range(count):
                    await ref.call(number)
                report(began, count)
            elif case == "start" and mode == "pooled":
                await system.start(
                    ChildSpec("agents", RowSupervisor, (lambda row: ChildSpec(row, Agent, (row,)),))
                )
                ids = [f"0198c0de-0000-7000-8000-{number:012d}" for number in range(count)]
                gc.collect()
                before, began = resident(), time.process_time()
                for row in ids:
                    system.resolve(f"/agents/{row}")
                took = time.process_time() - began
                # Idle means idle after work: each has handled a message.
                for number, row in enumerate(ids):
                    system.at(f"/agents/{row}").tell(1)
                    if not number & 63:
                        await trio.lowlevel.checkpoint()
                await system.at(f"/agents/{row}").call(1)
                gc.collect()
                print(took / count * 1e6, (resident() - before) / count)
            elif case == "start":
                gc.collect()
                before, began = resident(), time.process_time()
                for _ in range(count):
                    ref = system.spawn(Counter)
                await ref.call(0)
                took = time.process_time() - began
                print(took / count * 1e6, (resident() - before) / count, flush=True)
                os._exit(0)  # stopping 100,000 tasks is not what is measured
            else:
                agents = ChildSpec("agents", RowSupervisor, (lambda row: ChildSpec(row, Crasher),))
                await system.start(agents, ChildSpec("static", Crasher))
                target = system.at("/agents/1" if case == "crash" else "/static")
                target.tell("boom")
                for _ in range(count):
                    await up.wait()
                    up = trio.Event()
                    target.tell("boom")
                print(statistics.median(latencies) * 1e6)

    trio.run(main)


def pykka(case: str, count: int) -> None:
    import logging
    import threading

    import pykka as library

    logging.disable(logging.CRITICAL)
    restarted = threading.Event()

    class Counter(library.ThreadingActor):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def on_receive(self, message: object) -> object:
            self.count += 1
            return message

    crashed_at: list[float] = []
    latencies: list[float] = []

    class Crasher(library.ThreadingActor):
        def on_start(self) -> None:
            if crashed_at:
                latencies.append(time.perf_counter() - crashed_at.pop())
            refs.append(self.actor_ref)
            restarted.set()

        def on_receive(self, message: object) -> object:
            crashed_at.append(time.perf_counter())
            raise ValueError(message)

        def on_failure(self, *_: object) -> None:
            Crasher.start()

    refs: list[library.ActorRef] = []
    if case.startswith("crash"):
        Crasher.start()
        restarted.wait()
        for _ in range(count):
            restarted.clear()
            refs[-1].tell("boom")
            restarted.wait()
        print(statistics.median(latencies) * 1e6)
    elif case == "start":
        gc.collect()
        before, began = resident(), time.process_time()
        for _ in range(count):
            Counter.start()
        print((time.process_time() - began) / count * 1e6, (resident() - before) / count)
    else:
        ref = Counter.start()
        began = time.process_time()
        for number in range(count):
            ref.tell(number) if case == "tell" else ref.ask(number)
        ref.ask(0)
        report(began, count)
    library.ActorRegistry.stop_all()


def bare_trio(case: str, count: int) -> None:
    import math

    import trio

    async def counter(receive: trio.MemoryReceiveChannel) -> None:
        total = 0
        async for message, reply in receive:
            total += 1
            if reply is not None:
                reply.send_nowait(message)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            if case in ("tell", "call"):
                send, receive = trio.open_memory_channel(math.inf)
                back_send, back = trio.open_memory_channel(math.inf)
                nursery.start_soon(counter, receive)
                began = time.process_time()
                for number in range(count):
                    send.send_nowait((number, None if case == "tell" else back_send))
                    if case == "call":
                        await back.receive()
                    elif not number & 1023:
                        await trio.lowlevel.checkpoint()
                send.send_nowait((0, back_send))
                await back.receive()
                report(began, count)
            elif case == "start":
                gc.collect()
                before, began = resident(), time.process_time()
                sends = []
                for _ in range(count):
                    send, receive = trio.open_memory_channel(math.inf)
                    nursery.start_soon(counter, receive)
                    sends.append(send)
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
                print((time.process_time() - began) / count * 1e6, (resident() - before) / count, flush=True)
                os._exit(0)
            else:
                up_send, up = trio.open_memory_channel(math.inf)
                send, receive = trio.open_memory_channel(math.inf)

                async def supervise() -> None:
                    while True:
                        try:
                            async with trio.open_nursery() as child:
                                child.start_soon(crasher)
                        except* ValueError:
                            pass

                crashed_at: list[float] = []
                latencies: list[float] = []

                async def crasher() -> None:
                    if crashed_at:
                        latencies.append(time.perf_counter() - crashed_at.pop())
                    up_send.send_nowait(1)
                    message = await receive.receive()
                    crashed_at.append(time.perf_counter())
                    raise ValueError(message)

                nursery.start_soon(supervise)
                for _ in range(count):
                    await up.receive()
                    send.send_nowait("boom")
                print(statistics.median(latencies) * 1e6)
            nursery.cancel_scope.cancel()

    trio.run(main)


def report(began: float, count: int) -> None:
    print((time.process_time() - began) / count * 1e6)


def one(contender: str, case: str, beams: str) -> tuple[float, float | None] | None:
    count = SLOW.get((contender, case), COUNTS[case])
    if contender.startswith("erlang"):
        case = case.removesuffix("-static")
        count = ERLANG_COUNTS[case]
        flags = ["+S", "1:1", "+sbwt", "none"] if contender == "erlang-1" else []
        command = ["erl", "+P", "1000000", *flags, "-noshell", "-pa", beams]
        command += ["-eval", f'actors:main(["{case}", "{count}"]).']
    else:
        command = [sys.executable, __file__, "--run", contender, case, str(count)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return None
    figures = [float(figure) for figure in done.stdout.split()]
    return figures[0], figures[1] if len(figures) > 1 else None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--case", choices=COUNTS, action="append")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        contender, case, count = options.run
        if contender.startswith("hivemind"):
            hivemind(case, int(count), "task" if contender == "hivemind-task" else "pooled")
        else:
            {"pykka": pykka, "trio": bare_trio}[contender](case, int(count))
        return 0

    contenders = list(CONTENDERS)
    with tempfile.TemporaryDirectory() as beams:
        if shutil.which("erlc"):
            subprocess.run(["erlc", "-o", beams, str(HERE / "actors.erl")], check=True)
        else:
            print("Erlang is not installed (apt-get install erlang-base): its columns are left out")
            contenders = [name for name in contenders if not name.startswith("erlang")]
        cases = options.case or list(COUNTS)
        found: dict[tuple[str, str], list[tuple[float, float | None]]] = {}
        for _ in range(options.repeats):
            for case in cases:
                for contender in contenders:
                    figures = one(contender, case, beams)
                    if figures is not None:
                        found.setdefault((contender, case), []).append(figures)
    show(found, contenders, cases)
    return 0 if judge(found, cases) else 1


def median(found, contender: str, case: str, what: str) -> float | None:
    place = 0 if what == "time" else 1
    figures = [figure[place] for figure in found.get((contender, case), []) if figure[place] is not None]
    return statistics.median(figures) if figures else None


def show(found, contenders: list[str], cases: list[str]) -> None:
    rows = [(case, "time", UNIT[case]) for case in cases]
    if "start" in cases:
        rows.append(("start", "bytes", "bytes while idle"))
    print(f"{'processor time, median':<24}" + "".join(f"{name:>15}" for name in contenders))
    for case, what, label in rows:
        cells = [median(found, name, case, what) for name in contenders]
        print(
            f"{label:<24}" + "".join(f"{'-' if cell is None else format(cell, '.2f'):>15}" for cell in cells)
        )


def judge(found, cases: list[str]) -> bool:
    good = True
    print()
    for case, what, factor, limit in TARGETS:
        ours = median(found, "hivemind", case, what)
        if case not in cases or ours is None:
            continue
        if factor is not None:
            erlang = median(found, "erlang", case, what)
            if erlang is None:
                continue
            strict = median(found, "erlang-1", case, what)
            beside = f" ({ours / strict:.2f} x with one scheduler)" if strict else ""
            text = f"{case}: {ours / erlang:.2f} x Erlang{beside}, target {factor} x"
            holds = ours <= factor * erlang
        else:
            text = f"{case}: {ours:.2f} {'µs' if what == 'time' else 'bytes'}, target {limit:.2f}"
            holds = ours <= limit
        good = good and holds
        print(f"{'holds ' if holds else 'MISSED'} {text}")
    return good


if __name__ == "__main__":
    sys.exit(main())

"""The actor runtime beside pykka's threads, bare trio channels and Erlang, in one run.

    python bench/actors.py [--repeats 5] [--case tell] [--contender hivemind --contender erlang]

Every figure is processor time (user and system, all threads) divided by the number of operations: on a busy
machine it is steadier than the time of day. Each contender and case is a fresh process, the repeats are
interleaved, and a ratio is the median of the ratios of each repeat, so that both sides of it saw the same
weather; the range of the repeats is printed beside it. A crash is a whole round: the handler raises, the
supervisor decides, the successor's start hook tells itself the next message. Ours runs with everything on
that the product has: counters, bounded mailboxes, addresses, the failure rule, the watch for handlers that
block the loop, and the collector's thresholds of `hivemind serve` (for all Python contenders). Erlang runs
as installed; `erlang-1` is the same with one scheduler that never spins, since the processor time of the
default includes its schedulers' busy waiting.
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

COUNTS = {"tell": 1_000_000, "call": 200_000, "start": 100_000, "crash": 20_000, "crash-static": 20_000}
ERLANG_COUNTS = {"tell": 5_000_000, "call": 500_000, "start": 100_000, "crash": 100_000}
UNIT = {
    "tell": "µs per tell",
    "call": "µs per call",
    "start": "µs per start",
    "crash": "µs per restart, row",
    "crash-static": "µs per restart, static",
}
SLOW = {
    ("pykka", "start"): 2_000,
    ("pykka", "tell"): 100_000,
    ("pykka", "call"): 30_000,
    ("pykka", "crash"): 2_000,
    ("pykka", "crash-static"): 2_000,
    ("trio", "tell"): 100_000,
    ("trio", "call"): 50_000,
    ("hivemind-task", "call"): 50_000,
}
CONTENDERS = ["hivemind", "erlang", "erlang-1", "hivemind-task", "trio", "pykka"]
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

    left = count
    over = trio.Event()

    class Crasher(Actor):
        def on_start(self) -> None:
            nonlocal left
            if self.restarted:
                left -= 1
            if not left:
                over.set()
            elif self.restarted:
                self.actor_ref.tell("boom")

        def on_receive(self, message: object) -> object:
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
                began = time.process_time()
                system.at("/agents/1" if case == "crash" else "/static").tell("boom")
                await over.wait()
                report(began, count)

    trio.run(main)


def pykka(case: str, count: int) -> None:
    import logging
    import threading

    import pykka as library

    logging.disable(logging.CRITICAL)
    over = threading.Event()
    left = count

    class Counter(library.ThreadingActor):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def on_receive(self, message: object) -> object:
            self.count += 1
            return message

    class Crasher(library.ThreadingActor):
        def on_start(self) -> None:
            if left:
                self.actor_ref.tell("boom")
            else:
                over.set()

        def on_receive(self, message: object) -> object:
            raise ValueError(message)

        def on_failure(self, *_: object) -> None:
            nonlocal left
            left -= 1
            Crasher.start()

    if case.startswith("crash"):
        began = time.process_time()
        Crasher.start()
        over.wait()
        report(began, count)
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
                send, receive = trio.open_memory_channel(math.inf)
                over = trio.Event()
                left = count

                async def supervise() -> None:
                    while True:
                        try:
                            async with trio.open_nursery() as child:
                                child.start_soon(crasher)
                        except* ValueError:
                            pass

                async def crasher() -> None:
                    nonlocal left
                    if left:
                        send.send_nowait("boom")
                    else:
                        over.set()
                    left -= 1
                    raise ValueError(await receive.receive())

                began = time.process_time()
                nursery.start_soon(supervise)
                await over.wait()
                report(began, count)
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
    parser.add_argument("--contender", choices=CONTENDERS, action="append")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        contender, case, count = options.run
        gc.freeze()
        gc.set_threshold(50_000, 50, 1_000)
        if contender.startswith("hivemind"):
            hivemind(case, int(count), "task" if contender == "hivemind-task" else "pooled")
        else:
            {"pykka": pykka, "trio": bare_trio}[contender](case, int(count))
        return 0

    contenders = options.contender or list(CONTENDERS)
    with tempfile.TemporaryDirectory() as beams:
        if shutil.which("erlc"):
            subprocess.run(["erlc", "-o", beams, str(HERE / "actors.erl")], check=True)
        else:
            print("Erlang is not installed (apt-get install erlang-base): its columns are left out")
            contenders = [name for name in contenders if not name.startswith("erlang")]
        cases = options.case or list(COUNTS)
        found: Found = {}
        for number in range(options.repeats):
            for case in cases:
                for contender in contenders:
                    figures = one(contender, case, beams)
                    if figures is not None:
                        found.setdefault((contender, case), {})[number] = figures
    show(found, contenders, cases)
    return 0 if judge(found, cases) else 1


# (contender, case) -> number of the repeat -> microseconds, and bytes where they were measured
Found = dict[tuple[str, str], dict[int, tuple[float, float | None]]]


def repeats(found: Found, contender: str, case: str, what: str) -> dict[int, float]:
    place = 0 if what == "time" else 1
    measured = found.get((contender, case), {})
    return {number: figures[place] for number, figures in measured.items() if figures[place] is not None}


def ratios(found: Found, contender: str, case: str, what: str) -> list[float]:
    ours = repeats(found, "hivemind", case, what)
    theirs = repeats(found, contender, case, what)
    return [ours[number] / theirs[number] for number in ours if number in theirs]


def spread(figures: list[float], digits: int = 2) -> str:
    low, middle, high = min(figures), statistics.median(figures), max(figures)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def show(found: Found, contenders: list[str], cases: list[str]) -> None:
    rows = [(case, "time", UNIT[case]) for case in cases]
    if "start" in cases:
        rows.append(("start", "bytes", "bytes while idle"))
    heading = "processor time"
    print(f"{heading:<24}" + "".join(f"{name:>22}" for name in contenders) + "   median (lowest-highest)")
    for case, what, label in rows:
        cells = [list(repeats(found, name, case, what).values()) for name in contenders]
        digits = 2 if what == "time" else 0
        texts = [spread(figures, digits) if figures else "-" for figures in cells]
        print(f"{label:<24}" + "".join(f"{text:>22}" for text in texts))


def judge(found: Found, cases: list[str]) -> bool:
    good = True
    print()
    for case, what, factor, limit in TARGETS:
        ours = list(repeats(found, "hivemind", case, what).values())
        if case not in cases or not ours:
            continue
        if factor is not None:
            times = ratios(found, "erlang", case, what)
            if not times:
                continue
            strict = ratios(found, "erlang-1", case, what)
            beside = f"; {spread(strict)} x with one scheduler" if strict else ""
            text = f"{case}: {spread(times)} x Erlang, target {factor} x{beside}"
            holds = statistics.median(times) <= factor
        else:
            assert limit is not None
            text = f"{case}: {spread(ours)} {'µs' if what == 'time' else 'bytes'}, target {limit:.2f}"
            holds = statistics.median(ours) <= limit
        good = good and holds
        print(f"{'holds ' if holds else 'MISSED'} {text}")
    return good


if __name__ == "__main__":
    sys.exit(main())

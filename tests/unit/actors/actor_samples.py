# ruff: noqa: A002 -- an exit is what ends an actor, as in OTP
"""Actors that several tests use, in both modes."""

import pytest
import trio

from hivemind.actors import Actor, ChildSpec


class Worker(Actor):
    """Logs its life; obeys a few words."""

    def __init__(self, name="w", log=None, slow_stop=0, fail_start=None):
        self.name = name
        self.log = [] if log is None else log
        self.slow_stop = slow_stop
        self.fail_start = fail_start

    async def on_start(self):
        if self.fail_start and self.fail_start.pop(0):
            raise RuntimeError("start")
        self.log.append("+" + self.name)

    async def on_stop(self):
        if self.slow_stop:
            await trio.sleep(self.slow_stop)
        self.log.append("-" + self.name)

    def on_failure(self, kind, value, traceback):
        self.log.append("!" + self.name)

    def on_exit(self, exit):
        self.log.append(f"x{self.name}:{exit.reason}")

    async def on_receive(self, message):
        if message == "boom":
            raise ValueError(message)
        if message == "exit":
            raise SystemExit(3)
        if message == "hang":
            await trio.sleep_forever()
        if message == "stop":
            self.stop()
        if isinstance(message, tuple) and message[0] == "sleep":
            await trio.sleep(message[1])
        return (self.name, message)


class TaskWorker(Worker):
    mode = "task"


class Plain(Actor):
    """A plain handler: what a caller may run."""

    def __init__(self, log=None):
        self.log = [] if log is None else log

    def on_receive(self, message):
        if message == "boom":
            raise ValueError(message)
        self.log.append(message)
        return message


class Row(Actor):
    """A row that knows its id."""

    kind = "agents"

    def __init__(self, row, log=None):
        self.row = row
        self.log = [] if log is None else log

    def on_receive(self, message):
        if message == "boom":
            raise ValueError(message)
        self.log.append((self.row, message))
        return (self.row, message)


both_modes = pytest.mark.parametrize("cls", [Worker, TaskWorker], ids=["pooled", "task"])


def spec(name, log, cls=Worker, policy=None, **kwargs):
    return ChildSpec(name, cls, (name, log), kwargs, policy or {})


def life(log):
    """The log without the exits."""
    return [entry for entry in log if not entry.startswith("x")]

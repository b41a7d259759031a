"""Promise: log lines carry the context of their work, never a secret, and cannot be forged by a message."""

import io
import json
import logging

import pytest
import trio

from hivemind import telemetry
from hivemind.settings import LogSettings


@pytest.fixture
def stream():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


log = logging.getLogger("hivemind.test")


def test_text_is_one_line_with_its_facts(stream):
    telemetry.set_up(LogSettings(), stream=stream)
    log.warning("ping %s", "FAILED", extra={"provider": "anthropic", "error": "no key"})
    log.debug("not this one")
    assert stream.getvalue().endswith('WARNING test: ping FAILED provider=anthropic error="no key"\n')
    assert stream.getvalue().count("\n") == 1


def test_json_is_one_object_a_line(stream):
    telemetry.set_up(LogSettings(format="json"), stream=stream)
    with telemetry.bound(address="/agents/1", turn="t1"):
        log.info("hello\nthere", extra={"level": "forged", "odd": {1, 2}.__class__})
    line = json.loads(stream.getvalue())
    assert line["message"] == "hello\nthere"
    assert (line["address"], line["turn"], line["level"], line["logger"]) == (
        "/agents/1",
        "t1",
        "info",
        "hivemind.test",
    )
    assert stream.getvalue().count("\n") == 1


def test_context_belongs_to_its_task_and_ends_with_its_block(stream):
    telemetry.set_up(LogSettings(format="json"), stream=stream)

    async def work(turn: str) -> None:
        with telemetry.bound(turn=turn):
            await trio.lowlevel.checkpoint()
            with telemetry.bound(step=1):
                log.info(turn)
        log.info("after")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for turn in "abc":
                nursery.start_soon(work, turn)

    trio.run(main)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(line["turn"] == line["message"] for line in lines if line["message"] != "after")
    assert all("turn" not in line for line in lines if line["message"] == "after")
    assert len(lines) == 6


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_holds_a_secret(stream, form):
    secret = 'sk-"quoted"-0123456789'
    telemetry.set_up(LogSettings(format=form), secrets=[secret, ""], stream=stream)
    try:
        raise ValueError(secret)
    except ValueError:
        log.exception("calling with %s", secret, extra={"key": secret})
    assert "0123456789" not in stream.getvalue()
    assert "[hidden]" in stream.getvalue()


def test_a_message_cannot_forge_a_line(stream):
    telemetry.set_up(LogSettings(), stream=stream)
    log.info("a\n00:00:00 ERROR b\x1b[2J", extra={"slug": "x\ny"})
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()

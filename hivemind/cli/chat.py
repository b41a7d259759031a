"""`hivemind chat`: one conversation in the terminal, streamed over the WebSocket beside the public route.

`Answer` decides what each frame shows; the rest connects, resumes and listens to Ctrl-C. It holds no rule on
what an agent may be asked: the server's refusals are shown as they come.
"""

import json
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, urlsplit

import click
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)

from hivemind.cli import exits, remote, tell
from hivemind.cli.examples import example
from hivemind.cli.output import safe
from hivemind.errors import HivemindError, RemoteError, Unreachable
from hivemind.settings_load import load

Frame = Mapping[str, object]
Write = Callable[[str], None]

CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 1.0
LARGEST_FRAME_BYTES = 2**24
# A server that restarts is back within seconds; a person waits a little longer than that.
RECONNECT_WAITS_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
_LEAVING = {"/quit", "/exit", "/bye"}


@dataclass(slots=True)
class Conversation:
    """What makes the next message part of the same conversation."""

    conversation_id: str | None = None
    conversation_token: str | None = None

    def keep(self, frame: Frame) -> None:
        """Remember what the server calls the conversation."""
        if isinstance(frame.get("conversation_id"), str):
            self.conversation_id = str(frame["conversation_id"])
        if isinstance(frame.get("conversation_token"), str):
            self.conversation_token = str(frame["conversation_token"])

    def fields(self) -> dict[str, str]:
        """The fields that name it in a frame; none before the first answer."""
        if self.conversation_id is None or self.conversation_token is None:
            return {}
        return {
            "conversation_id": self.conversation_id,
            "conversation_token": self.conversation_token,
        }


@dataclass(slots=True)
class Answer:
    """One answer as far as it is known; `first` and `again` say what to send to get the rest of it."""

    message: str
    conversation: Conversation
    write: Write
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    turn_id: str | None = None
    epoch: object = None
    seq: object = None
    shown: str = ""
    error: HivemindError | None = None
    done: bool = False
    reply: Frame | None = None

    def opening(self) -> dict[str, object]:
        """The frame to send on a new connection: the message, or a resume once the turn is known.

        The message goes out under one key however often, so the server answers it once.
        """
        if self.turn_id is not None and self.conversation.fields():
            return {
                "type": "resume",
                **self.conversation.fields(),
                "turn_id": self.turn_id,
                "epoch": self.epoch,
                "seq": self.seq,
            }
        return {
            "type": "message",
            "message": self.message,
            "idempotency_key": self.key,
            **self.conversation.fields(),
        }

    def take(self, frame: Frame) -> None:
        """Show what a frame brings. An unknown type is a newer server's and is passed over."""
        if "epoch" in frame and "seq" in frame:
            self.epoch, self.seq = frame["epoch"], frame["seq"]
        match frame.get("type"):
            case "accepted":
                self.conversation.keep(frame)
                self.turn_id = str(frame["turn_id"])
            case "delta":
                text = str(frame.get("text", ""))
                self.shown += text
                self.write(text)
            case "reset":
                if self.shown:
                    self.write("\n(the answer starts again)\n")
                self.shown = ""
            case "waiting":
                click.echo("(waits for a person; the answer comes when they have decided)", err=True)
            case "reply":
                self.conversation.keep(frame)
                self.reply = {name: value for name, value in frame.items() if name != "type"}
                self._finish(str(frame.get("reply", "")))
            case "error":
                self.fail(remote.error_of(frame) or RemoteError(answered_code=""))

    def reject(self, body: bytes, base: str) -> None:
        """Take the answer to a handshake that the server refused."""
        try:
            self.fail(remote.error_of(remote.parse(body, base)) or RemoteError(answered_code=""))
        except Unreachable as error:
            self.fail(error)

    def fail(self, error: HivemindError) -> None:
        """End it without a reply."""
        self.error = error
        self.done = True

    def _finish(self, reply: str) -> None:
        # The deltas joined are the reply; where a connection lost some, the whole is shown.
        if reply.startswith(self.shown):
            self.write(reply[len(self.shown) :])
        elif reply:
            self.write(f"\n(the whole answer)\n{reply}")
        self.shown = reply
        self.done = True


@click.command(epilog=example("hivemind chat hello", 'hivemind chat hello -m "Who are you?" --json'))
@click.argument("slug", default="hello")
@click.option("--url", help="The server; by default the one of the settings.")
@click.option("--message", "-m", help="Say one thing, print the answer and leave.")
@click.option(
    "--json", "as_json", is_flag=True, help="With --message: print the reply as the server sends it."
)
def chat(slug: str, url: str | None, message: str | None, as_json: bool) -> int:
    """Talk to the agent with this SLUG. Ctrl-C interrupts an answer; at the prompt, or twice, it leaves."""
    base = remote.address(load().settings, url)
    conversation = Conversation()
    if message is not None:
        return _one_shot(base, slug, message, conversation, as_json=as_json)
    if as_json:
        raise click.UsageError("--json belongs to --message")
    if sys.stdin.isatty():
        # Gives the prompt line editing and history; not every Python is built with it.
        with suppress(ImportError):
            import readline  # noqa: F401, PLC0415
    click.echo(f"Talking to {slug} at {base}. Ctrl-C interrupts an answer, Ctrl-D leaves.", err=True)
    while (text := _prompt()) is not None:
        if not text.strip():
            continue
        answer = Answer(text, conversation, _write)
        if trio.run(hear, base, slug, answer):
            click.echo()
            return exits.INTERRUPTED
        click.echo()
        if answer.error is not None:
            tell([answer.error])
    return 0


def _one_shot(base: str, slug: str, message: str, conversation: Conversation, *, as_json: bool) -> int:
    answer = Answer(message, conversation, (lambda _: None) if as_json else _write)
    left = trio.run(hear, base, slug, answer)
    if as_json and answer.reply is not None:
        click.echo(json.dumps(answer.reply))
    elif answer.shown and not as_json:
        click.echo()
    if left:
        return exits.INTERRUPTED
    return exits.OK if answer.error is None else tell([answer.error])


def _prompt() -> str | None:
    try:
        text = input("> " if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        click.echo()
        return None
    return None if text.strip() in _LEAVING else text


def _write(text: str) -> None:
    # A model's text must not move the cursor or recolour the terminal.
    click.echo(safe(text), nl=False)


async def hear(base: str, slug: str, answer: Answer) -> bool:
    """Hear an answer to its end, over as many connections as it takes; true when the person left."""
    left = False
    connection: list[WebSocketConnection] = []

    async def listen(cancel: trio.CancelScope, signals: AsyncIterator[int]) -> None:
        nonlocal left
        pressed = 0
        async for _ in signals:
            pressed += 1
            # Without a connection nobody can be asked to stop.
            if pressed > 1 or not connection:
                left = True
                cancel.cancel()
                return
            answer.write("\n(interrupting; Ctrl-C again leaves)\n")
            with suppress(ConnectionClosed):
                await connection[0].send_message(json.dumps({"type": "interrupt"}))

    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, nursery.cancel_scope, signals)
            await _hear_out(base, slug, answer, connection)
            nursery.cancel_scope.cancel()
    return left


async def _hear_out(base: str, slug: str, answer: Answer, connection: list[WebSocketConnection]) -> None:
    waits = iter(RECONNECT_WAITS_SECONDS)
    ever_reached = False
    while not answer.done:
        before = (answer.epoch, answer.seq)
        reached = await _hear_once(base, slug, answer, connection)
        ever_reached = ever_reached or reached
        if answer.done:
            return
        if not ever_reached:
            answer.fail(Unreachable(f"no server at {base}", remedy=remote.START_IT))
            return
        if (answer.epoch, answer.seq) != before:
            waits = iter(RECONNECT_WAITS_SECONDS)
        wait = next(waits, None)
        if wait is None:
            answer.fail(
                Unreachable(
                    "the connection was lost and does not come back",
                    remedy="see whether the server runs: hivemind doctor",
                )
            )
            return
        # Spread out, so that all the clients of a restarted server do not come in one wave.
        await trio.sleep(wait * random.uniform(0.75, 1.25))  # noqa: S311


async def _hear_once(base: str, slug: str, answer: Answer, connection: list[WebSocketConnection]) -> bool:
    """Hear what one connection brings; false when none could be made."""
    parts = urlsplit(base)
    path = f"{parts.path}/api/v1/public/agents/chat/{quote(slug, safe='')}/ws"
    reached = False
    try:
        with trio.fail_after(CONNECT_SECONDS):
            stream = await _open(parts)
    except (OSError, trio.TooSlowError):
        return False
    try:
        # The stream is ours to close: trio-websocket forgets it when the other side closes first.
        async with stream, trio.open_nursery() as nursery:
            with trio.move_on_after(CONNECT_SECONDS):
                socket = await wrap_client_stream(
                    nursery, stream, parts.netloc, path, max_message_size=LARGEST_FRAME_BYTES
                )
                reached = True
            if reached:
                connection.append(socket)
                await _exchange(socket, answer, base)
            nursery.cancel_scope.cancel()
    except* ConnectionRejected as group:
        # It is raised in the reader's task, so it comes in a group.
        for error in group.exceptions:
            assert isinstance(error, ConnectionRejected)
            answer.reject(error.body or b"", base)
    finally:
        connection.clear()
    return reached


async def _exchange(socket: WebSocketConnection, answer: Answer, base: str) -> None:
    try:
        await socket.send_message(json.dumps(answer.opening()))
        while not answer.done:
            answer.take(remote.parse(await socket.get_message(), base))
        with trio.move_on_after(CLOSE_SECONDS):
            await socket.aclose()
    except Unreachable as error:
        answer.fail(error)
    except ConnectionClosed:
        pass  # The caller sees that the answer is not done, and connects again.


async def _open(parts: SplitResult) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return await trio.open_ssl_over_tcp_stream(host, parts.port or 443, https_compatible=True)
    return await trio.open_tcp_stream(host, parts.port or 80)

"""One message whose answer is streamed: what to send next, and what an event means. It does no I/O.

A connection that breaks costs nothing: before the message was accepted it is sent again with the same key,
after that the rest is asked for from the place that was seen last.
"""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx2

from hivemind.client import problem
from hivemind.client.answers import Accepted, Delta, Event, Reply, Reset, Waiting, read

WAITS_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0)
"""A server that restarts is back within seconds."""
CHAT = "/api/v1/public/agents/chat"


def message(text: str, after: Reply | None, key: str | None) -> dict[str, Any]:
    """The body of a message."""
    body: dict[str, Any] = {"message": text, "idempotency_key": key or str(uuid4())}
    if after is not None:
        body |= {
            "conversation_id": after.conversation_id,
            "conversation_token": after.conversation_token,
        }
    return body


class Asking:
    """Where a stream stands. `done` once its last event was heard, the reply or the `failure`."""

    def __init__(self, slug: str, body: dict[str, Any]) -> None:
        self._path = f"{CHAT}/{slug}"
        self._body = body
        self._accepted: Accepted | None = None
        self._place: dict[str, int] = {}
        self._broken = 0
        self.done = False
        self.failure: problem.ApiError | None = None

    @property
    def path(self) -> str:
        """Where to send the next request."""
        return self._path if self._accepted is None else f"{self._path}/resume"

    @property
    def body(self) -> dict[str, Any]:
        """What to send there."""
        if self._accepted is None:
            return self._body
        return {
            "conversation_id": self._accepted.conversation_id,
            "conversation_token": self._accepted.conversation_token,
            "turn_id": self._accepted.turn_id,
            **self._place,
        }

    def heard(self, sent: httpx2.ServerSentEvent) -> Event | None:
        """What an event says; None for what is not known, and for a failure, which is kept."""
        self._broken = 0
        data = sent.json()
        assert isinstance(data, Mapping)
        self._place = {name: data[name] for name in ("epoch", "seq") if name in data}
        match sent.event:
            case "accepted":
                self._accepted = read(Accepted, data)
                return self._accepted
            case "delta":
                return Delta(data["text"])
            case "waiting":
                return Waiting()
            case "reset":
                return Reset()
            case "reply":
                self.done = True
                return read(Reply, data)
            case "error":
                self.done = True
                self.failure = problem.of_envelope(data["error"])
        return None

    def broken(self, error: httpx2.TransportError | None) -> float:
        """How long to wait before the next request, after a connection that ended early.

        Raises:
            ApiError: this has gone on for too long.
        """
        self._broken += 1
        if self._broken > len(WAITS_SECONDS):
            raise problem.unreachable(error or httpx2.ReadError("the stream ended early")) from error
        return WAITS_SECONDS[self._broken - 1]

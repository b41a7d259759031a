"""Answers and errors as the OpenAI dialect tells them.

Which error it is, and what an answer says, is not decided here.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from hivemind import errors
from hivemind.agents import Accepted, Delta, Failed, Followed, Profile, Usage
from hivemind.agents import Reply as AgentReply
from hivemind.http import problems
from hivemind.http.request import Headers, Reply

DONE = b"data: [DONE]\n\n"
_REASONS = {"end": "stop", "length": "length", "tool": "tool_calls", "refused": "content_filter"}

# Status, type and code where the dialect has its own; any other error has its status and code here too.
_DIALECT: dict[type[errors.HivemindError], tuple[int, str, str]] = {
    errors.NotAuthenticated: (401, "invalid_request_error", "invalid_api_key"),
    errors.NotFound: (404, "invalid_request_error", "model_not_found"),
    errors.InputTooLong: (400, "invalid_request_error", "context_length_exceeded"),
    errors.InvalidFields: (400, "invalid_request_error", "invalid_fields"),
    errors.RateLimited: (429, "rate_limit_error", "rate_limit_exceeded"),
    errors.BudgetExceeded: (429, "insufficient_quota", "insufficient_quota"),
    errors.ApprovalRequired: (429, "insufficient_quota", "insufficient_quota"),
    errors.GuardRefused: (400, "invalid_request_error", "content_filter"),
    errors.GuardFailed: (503, "server_error", "guard_failed"),
}


def refusal(error: errors.HivemindError) -> Reply:
    """The reply to a request that is refused."""
    status = kind(error)[0]
    headers: Headers = [(b"content-type", b"application/json")]
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", str(math.ceil(error.retry_after_seconds)).encode()))
    if isinstance(error, errors.NotAuthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, errors.BudgetExceeded | errors.ApprovalRequired):
        # The official clients try a 429 again; money does not come back within seconds.
        headers.append((b"x-should-retry", b"false"))
    return Reply(status, orjson.dumps(error_of(error)), headers)


def error_of(error: errors.HivemindError) -> dict[str, object]:
    """The `error` object."""
    _, told, code = kind(error)
    message, param = error.message, None
    if isinstance(error, errors.InvalidFields) and error.fields:
        param = error.fields[0][0]
        message = "; ".join(f"{field}: {problem}" for field, problem in error.fields)
    if isinstance(error, errors.NotFound):
        param = "model"
    return {"error": {"message": message, "type": told, "param": param, "code": code}}


def kind(error: errors.HivemindError) -> tuple[int, str, str]:
    """Its status, type and code in the dialect."""
    for cls in type(error).__mro__:
        if cls in _DIALECT:
            return _DIALECT[cls]
        if cls in problems.STATUSES:
            break
    status = problems.status_of(error)
    return status, "server_error" if status >= 500 else "invalid_request_error", error.code


def model(profile: Profile) -> dict[str, object]:
    """A profile as a model."""
    created = int(profile.created_at.timestamp()) if profile.created_at else 0
    return {"id": profile.slug, "object": "model", "created": created, "owned_by": "hivemind"}


@dataclass(frozen=True, slots=True)
class Completion:
    """What all the parts of one answer say alike."""

    model: str
    usage_wanted: bool
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, reply: AgentReply) -> dict[str, object]:
        """The answer in one piece."""
        message: dict[str, object] = {"role": "assistant", "content": reply.text, "refusal": None}
        if reply.calls:
            message["content"] = reply.text or None
            message["tool_calls"] = _calls(reply)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(reply)}
        head = self._head(f"chatcmpl-{reply.turn_id}", "chat.completion")
        return {**head, "choices": [choice], "usage": _usage(reply.usage)}

    def chunk(self, turn: str, delta: dict[str, Any], reason: str | None = None) -> bytes:
        """A piece of it."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        body = {**self._head(turn, "chat.completion.chunk"), "choices": [choice]}
        if self.usage_wanted:
            body["usage"] = None
        return _line(body)

    def used(self, turn: str, usage: Usage) -> bytes:
        """The piece that says what it used."""
        head = self._head(turn, "chat.completion.chunk")
        return _line({**head, "choices": [], "usage": _usage(usage)})

    def _head(self, turn: str, kind: str) -> dict[str, Any]:
        return {"id": turn, "object": kind, "created": self.created, "model": self.model}


class Telling:
    """A turn as a stream of chunks. What was sent cannot be taken back.

    When the agent fails and the answer starts again, what it says anew is passed over for as long as it is
    what was said before; where it differs, the stream ends with an error.
    """

    def __init__(self, completion: Completion) -> None:
        self._completion = completion
        self._turn = ""
        self._sent: list[str] = []
        self._again: str | None = None

    def of(self, step: Followed) -> Iterator[bytes]:
        """The chunks of one event.

        Raises:
            HivemindError: there is no more of the answer.
        """
        if step.again and self._sent:
            self._sent, self._again = ["".join(self._sent)], ""
        match step.event:
            case Accepted(turn_id):
                if not self._turn:
                    self._turn = f"chatcmpl-{turn_id}"
                    yield self._completion.chunk(self._turn, {"role": "assistant", "content": ""})
            case Delta(text):
                if text := self._news(text):
                    self._sent.append(text)
                    yield self._completion.chunk(self._turn, {"content": text})
            case AgentReply():
                yield from self._last(step.event)
            case Failed(error):
                raise error

    def _news(self, text: str) -> str:
        """What of a text was not sent before."""
        if self._again is None:
            return text
        said, self._again = self._sent[0], self._again + text
        if said.startswith(self._again):
            return ""
        if not self._again.startswith(said):
            raise errors.Interrupted("The agent failed and answers anew", remedy="send the request again")
        news, self._again = self._again[len(said) :], None
        return news

    def _last(self, reply: AgentReply) -> Iterator[bytes]:
        turn = self._turn or f"chatcmpl-{reply.turn_id}"
        if not self._turn:
            yield self._completion.chunk(turn, {"role": "assistant", "content": ""})
        # Of a turn that is known, or that ended while nobody listened, only the end is told.
        sent = "".join(self._sent)
        if not reply.text.startswith(sent):
            raise errors.Interrupted("The agent failed and answers anew", remedy="send the request again")
        if len(reply.text) > len(sent):
            yield self._completion.chunk(turn, {"content": reply.text[len(sent) :]})
        if reply.calls:
            calls = [{"index": n, **call} for n, call in enumerate(_calls(reply))]
            yield self._completion.chunk(turn, {"tool_calls": calls})
        yield self._completion.chunk(turn, {}, _reason(reply))
        if self._completion.usage_wanted:
            yield self._completion.used(turn, reply.usage)
        yield DONE


def _reason(reply: AgentReply) -> str:
    return "tool_calls" if reply.calls else _REASONS[reply.stop if reply.stop != "tool" else "end"]


def _calls(reply: AgentReply) -> list[dict[str, Any]]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in reply.calls
    ]


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _line(body: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"

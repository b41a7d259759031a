"""Promise: a stream that breaks goes on where it was, and a message is never answered twice."""

import json

import httpx2
import pytest

from hivemind.client import Accepted, ApiError, Delta, Reply, Reset, Waiting
from hivemind.client.asking import WAITS_SECONDS, Asking, message

ACCEPTED = {"turn_id": "t", "conversation_id": "c", "conversation_token": "k", "epoch": 1, "seq": 0}


def sent(name, **data):
    return httpx2.ServerSentEvent(event=name, data=json.dumps(data))


def test_before_it_is_accepted_the_same_is_sent_again():
    ask = Asking("hello", message("Hi", None, None))
    first = (ask.path, dict(ask.body))
    ask.broken(None)
    assert (ask.path, ask.body) == first
    assert ask.body["idempotency_key"]


def test_after_it_was_accepted_the_rest_is_asked_for():
    ask = Asking("hello", message("Hi", None, "mine"))
    assert ask.heard(sent("accepted", **ACCEPTED)) == Accepted("t", "c", "k")
    assert ask.heard(sent("delta", text="Hel", epoch=1, seq=1)) == Delta("Hel")
    assert ask.heard(sent("waiting", epoch=1, seq=1)) == Waiting()
    ask.broken(None)
    assert ask.path.endswith("/chat/hello/resume")
    assert ask.body == ACCEPTED | {"seq": 1}
    assert ask.heard(sent("reset", epoch=2, seq=-1)) == Reset()
    assert (ask.body["epoch"], ask.body["seq"]) == (2, -1)
    usage = {"input_tokens": 1, "output_tokens": 2, "cost_micros": 3}
    reply = ask.heard(sent("reply", reply="Hello", usage=usage, epoch=2, seq=2, turn_id="t", new=1))
    assert isinstance(reply, Reply) and reply.text == "Hello" and reply.usage.cost_micros == 3
    assert ask.done


def test_an_event_that_is_not_known_is_left_out():
    assert Asking("hello", message("Hi", None, None)).heard(sent("news", epoch=1, seq=5)) is None


def test_an_error_is_kept_with_what_to_do():
    error = {"code": "budget_exceeded", "message": "No", "remedy": "raise it", "retry_after_seconds": 5}
    ask = Asking("hello", message("Hi", None, None))
    assert ask.heard(sent("error", error=error, epoch=1, seq=1)) is None
    assert ask.done
    assert (ask.failure.code, ask.failure.remedy, ask.failure.retry_after_seconds) == (
        "budget_exceeded",
        "raise it",
        5,
    )


def test_it_gives_up_after_a_while_and_an_event_gives_it_new_patience():
    ask = Asking("hello", message("Hi", None, None))
    assert [ask.broken(None) for _ in WAITS_SECONDS] == list(WAITS_SECONDS)
    ask.heard(sent("accepted", **ACCEPTED))
    assert ask.broken(None) == WAITS_SECONDS[0]
    for _ in WAITS_SECONDS[1:]:
        ask.broken(httpx2.ReadError("gone"))
    with pytest.raises(ApiError, match="gone") as told:
        ask.broken(httpx2.ReadError("gone"))
    assert told.value.code == "unreachable"

"""Promise: whatever frames arrive, the person has read the whole answer once, and a resume asks for the rest."""

import json

from hypothesis import given
from hypothesis import strategies as st

from hivemind.cli.chat import Answer, Conversation


def answer() -> tuple[Answer, list[str]]:
    written: list[str] = []
    return Answer("hi", Conversation(), written.append), written


ACCEPTED = {
    "type": "accepted",
    "epoch": 1,
    "seq": 0,
    "turn_id": "t",
    "conversation_id": "c",
    "conversation_token": "k",
}


def test_the_message_goes_out_under_one_key():
    it, _ = answer()
    first, again = it.opening(), it.opening()
    assert first == again
    assert first["message"] == "hi"
    assert first["idempotency_key"]
    assert "conversation_id" not in first


def test_once_accepted_it_resumes_after_the_last_frame_seen():
    it, _ = answer()
    it.take(ACCEPTED)
    it.take({"type": "delta", "text": "a", "epoch": 1, "seq": 3})
    assert it.opening() == {
        "type": "resume",
        "conversation_id": "c",
        "conversation_token": "k",
        "turn_id": "t",
        "epoch": 1,
        "seq": 3,
    }


def test_the_next_message_continues_the_conversation():
    it, _ = answer()
    it.take(ACCEPTED)
    following = Answer("more", it.conversation, lambda _: None)
    assert following.opening()["conversation_token"] == "k"


@given(st.lists(st.text(max_size=5), max_size=8))
def test_streamed_or_whole_the_text_is_written_once(parts):
    it, written = answer()
    for part in parts:
        it.take({"type": "delta", "text": part})
    it.take({"type": "reply", "reply": "".join(parts)})
    assert "".join(written) == "".join(parts)
    assert it.done


def test_an_answer_that_starts_again_is_read_whole():
    it, written = answer()
    for frame in (
        {"type": "delta", "text": "fir"},
        {"type": "reset"},
        {"type": "delta", "text": "second"},
        {"type": "reply", "reply": "second"},
    ):
        it.take(frame)
    assert "".join(written) == "fir\n(the answer starts again)\nsecond"


def test_deltas_that_were_lost_are_made_good_by_the_reply():
    it, written = answer()
    it.take({"type": "delta", "text": "lo"})
    it.take({"type": "reply", "reply": "hello"})
    assert "".join(written).endswith("hello")


def test_a_refusal_ends_it_with_what_to_do():
    it, _ = answer()
    it.take(
        json.loads(
            '{"type":"error","error":{"code":"rate_limited","message":"slow","retry_after_seconds":3}}'
        )
    )
    assert it.done
    assert (it.error.answered_code, it.error.message, it.error.retry_after_seconds) == (
        "rate_limited",
        "slow",
        3,
    )


def test_frames_of_a_newer_server_are_passed_over():
    it, written = answer()
    it.take({"type": "thinking", "text": "x"})
    assert not it.done
    assert written == []

"""A turn as a stream of chunks, also when its agent failed on the way; errors in the dialect."""

from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind import errors
from hivemind.agents import Accepted, Delta, Failed, Followed, Reply, Usage
from hivemind.http.openai_reply import Completion, Telling, error_of, refusal
from hivemind.providers import ToolCall

TURN = UUID(int=7)
ACCEPTED = Accepted(TURN, UUID(int=8))


def reply(text, **fields):
    return Reply(TURN, UUID(int=8), text, Usage(3, 4, 0), **fields)


def told(*steps, usage=False):
    """The chunks of these events; in a tuple, one that begins the answer anew."""
    telling = Telling(Completion("hello", usage_wanted=usage, created=1))
    lines = []
    for step in steps:
        event, again = step if isinstance(step, tuple) else (step, False)
        lines += telling.of(Followed(1, 0, event, again))
    assert all(line.startswith(b"data: ") and line.endswith(b"\n\n") for line in lines)
    assert lines[-1] == b"data: [DONE]\n\n"
    return [orjson.loads(line[6:]) for line in lines[:-1]]


def text_of(chunks):
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])


@given(st.lists(st.text(min_size=1), min_size=1), st.lists(st.integers(0, 40), max_size=4), st.data())
def test_an_answer_that_begins_anew_with_the_same_words_is_whole(pieces, ends, data):
    whole = "".join(pieces)
    steps = [ACCEPTED]
    for end in ends:
        # An incarnation that got so far, in slices of its own, and the one after it.
        cut = whole[:end]
        at = data.draw(st.integers(0, len(cut)))
        steps += [Delta(part) for part in (cut[:at], cut[at:]) if part]
        steps.append((ACCEPTED, True))
    chunks = told(*steps, *map(Delta, pieces), reply(whole))
    assert text_of(chunks) == whole
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-1] == "stop"
    assert sum("role" in chunk["choices"][0]["delta"] for chunk in chunks) == 1


@pytest.mark.parametrize("rest", [[Delta("Good bye")], [reply("Good bye")], [Delta("He"), reply("He")]])
def test_other_words_end_it(rest):
    with pytest.raises(errors.Interrupted):
        told(ACCEPTED, Delta("Hello"), (ACCEPTED, True), *rest)


def test_a_known_turn_is_told_from_its_end():
    calls = (ToolCall("call_1", "look", "{}"),)
    chunks = told(reply("Look.", calls=calls, stop="tool"), usage=True)
    assert text_of(chunks) == "Look."
    (call,) = chunks[2]["choices"][0]["delta"]["tool_calls"]
    assert call == {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "look", "arguments": "{}"},
    }
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == 7
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "stop"),
        ({"stop": "length"}, "length"),
        ({"stop": "refused"}, "content_filter"),
        ({"stop": "tool"}, "stop"),
        ({"stop": "tool", "calls": (ToolCall("c", "look", "{}"),)}, "tool_calls"),
    ],
)
def test_why_it_ends(fields, reason):
    whole = Completion("hello", usage_wanted=False).whole(reply("", **fields))
    assert whole["choices"][0]["finish_reason"] == reason


def test_a_failure_is_raised():
    with pytest.raises(errors.ProviderError):
        told(ACCEPTED, Failed(errors.ProviderError()))


def every_error(cls=errors.HivemindError):
    yield cls
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from every_error(child)


@pytest.mark.parametrize("cls", list(every_error()), ids=lambda cls: cls.__name__)
def test_every_error_can_be_told(cls):
    error = cls(answered_code="x") if cls is errors.RemoteError else cls()
    told = refusal(error)
    body = orjson.loads(told.body)["error"]
    assert body.keys() == {"message", "type", "param", "code"} and body["message"]
    assert 400 <= told.status < 600 and (body["type"] == "server_error") == (told.status >= 500)


def test_fields_and_times_are_told():
    error = errors.InvalidFields("Missing or wrong: stop", fields=(("stop", "is too long"),))
    assert error_of(error)["error"]["param"] == "stop" and "too long" in error_of(error)["error"]["message"]
    late = refusal(errors.RateLimited(retry_after_seconds=1.2))
    assert late.status == 429 and (b"retry-after", b"2") in late.headers
    assert (b"x-should-retry", b"false") in refusal(errors.BudgetExceeded()).headers

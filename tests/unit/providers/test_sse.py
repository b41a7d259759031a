"""Events come out the same however the bytes were cut, and nothing unbounded is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.providers.failures import CallFailed
from hivemind.providers.sse import Events, Lines

STREAM = (
    b': a comment\r\nevent: x\r\ndata: {"a":1}\r\n\r\n'
    b"data:no space\n\nid: 7\ndata: two\ndata: lines\n\n\n\nretry: 10\n\ndata: \xc3\xa9\n\ndata: never ended\n"
)
WANT = [b'{"a":1}', b"no space", b"two\nlines", b"\xc3\xa9"]


def cut(data, places):
    marks = sorted({0, len(data), *(p % len(data) for p in places)})
    return [data[a:b] for a, b in zip(marks, marks[1:])]


@given(st.lists(st.integers(0, 10_000)))
def test_cuts_do_not_matter(places):
    events = Events()
    assert [data for chunk in cut(STREAM, places) for data in events.feed(chunk)] == WANT


@given(st.lists(st.integers(0, 10_000)))
def test_lines_are_those_of_the_whole(places):
    lines = Lines()
    data = b"one\n\r\ntwo\r\n\nrest\r"
    assert [x for chunk in cut(data, places) for x in lines.feed(chunk)] == [b"one", b"", b"two", b""]
    assert lines.finish() == b"rest\r"
    assert lines.finish() == b""


def test_a_line_is_bounded():
    lines = Lines(max_line_bytes=100)
    assert lines.feed(b"x" * 99) == []
    with pytest.raises(CallFailed, match="more than 100"):
        lines.feed(b"xx")
    with pytest.raises(CallFailed, match="more than 100"):
        Lines(max_line_bytes=100).feed(b"ok\n" + b"x" * 101)


def test_an_event_is_bounded_too():
    events = Events(max_line_bytes=100)
    with pytest.raises(CallFailed, match="event of more"):
        for _ in range(10):
            list(events.feed(b"data: 2345678901234567890\n"))


def test_one_byte_at_a_time_is_linear():
    # 1 MB in single bytes: copying what is kept at every byte would be 500 GB of copies.
    lines = Lines(max_line_bytes=2_000_000)
    for _ in range(1_000_000):
        lines.feed(b"x")
    assert lines.feed(b"\n") == [b"x" * 1_000_000]

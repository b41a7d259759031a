"""A cursor gives back the key that it was made of, and nothing else passes for one."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.errors import InvalidRequest
from hivemind.http.paging import DEFAULT_LIMIT, MAX_LIMIT, asked, cursor, key_of

AT = datetime(2026, 11, 24, 23, 30, 1, 123456, tzinfo=UTC)
ID = UUID("0198f000-0000-7000-8000-000000000001")


@pytest.mark.parametrize(
    "key", [(0,), (2**63 - 1,), (-5, "é\n"), (AT, ID), (ID,), ("",)], ids=lambda key: str(key)
)
def test_a_key_comes_back(key):
    assert key_of(cursor(key), *(type(value) for value in key)) == key


@given(st.text())
def test_any_text_is_a_key_or_refused(text):
    try:
        (value,) = key_of(text, int)
    except InvalidRequest:
        return
    assert abs(value) < 2**63


@pytest.mark.parametrize(
    "json",
    ["[1, 2]", "[]", "1", "{}", "[true]", "[1.5]", '["1"]', "[9223372036854775808]", "[null]", "[1", "nan"],
)
def test_another_lists_cursor_is_refused(json):
    with pytest.raises(InvalidRequest):
        key_of(urlsafe_b64encode(json.encode()).decode(), int)


@pytest.mark.parametrize("text", ["2026-11-24T00:00:00", "yesterday", ""])
def test_a_time_without_zone_is_refused(text):
    with pytest.raises(InvalidRequest):
        key_of(cursor((text,)), datetime)


@pytest.mark.parametrize("limit", ["0", "-1", "x", "", "1.5", str(MAX_LIMIT + 1), "9" * 30, "٣"])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(InvalidRequest):
        asked({"limit": limit}, int)


def test_pages_join_without_gap_or_double():
    rows, seen, arguments = list(range(10)), [], {"limit": "3"}
    while True:
        page = asked(arguments, int)
        after = page.after[0] if page.after else -1
        reply = page.reply([row for row in rows if row > after][: page.fetch], lambda row: (row,), str)
        seen += reply["items"]
        if reply["next_cursor"] is None:
            break
        arguments = {"limit": "3", "cursor": reply["next_cursor"]}
    assert seen == [str(row) for row in rows]


def test_the_last_full_page_has_no_next():
    page = asked({"limit": "2"}, int)
    assert page.reply([1, 2], lambda row: (row,), str)["next_cursor"] is None
    assert asked({}, int).limit == DEFAULT_LIMIT

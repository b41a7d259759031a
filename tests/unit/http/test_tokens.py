"""Whose conversation it is: a signed token, for a time, over a change of the key."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.errors import NotPermitted, TokenExpired
from hivemind.http.tokens import Tokens

OLD, NEW = b"o" * 32, b"n" * 32
ID, OTHER = UUID(int=1), UUID(int=2)
DAY = 86_400


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


def test_a_token_is_good_for_its_conversation_until_it_expires():
    clock = Clock()
    tokens = Tokens([NEW], DAY, clock)
    token = tokens.issue(ID)
    tokens.check(ID, token)
    with pytest.raises(NotPermitted):
        tokens.check(OTHER, token)
    clock.now += DAY
    tokens.check(ID, token)
    clock.now += 1
    with pytest.raises(TokenExpired) as told:
        tokens.check(ID, token)
    assert "opens a new conversation" in told.value.remedy
    tokens.check(ID, tokens.issue(ID))


def test_an_expired_token_of_somebody_else_is_no_more_than_a_wrong_one():
    clock = Clock()
    tokens = Tokens([NEW], DAY, clock)
    token = tokens.issue(ID)
    clock.now += DAY + 1
    with pytest.raises(NotPermitted) as told:
        tokens.check(OTHER, token)
    assert told.type is NotPermitted


def test_the_key_is_exchanged_with_an_overlap():
    before, during, after = Tokens([OLD], DAY), Tokens([NEW, OLD], DAY), Tokens([NEW], DAY)
    old = before.issue(ID)
    during.check(ID, old)
    after.check(ID, during.issue(ID))
    with pytest.raises(NotPermitted):
        before.check(ID, during.issue(ID))
    with pytest.raises(NotPermitted):
        after.check(ID, old)


@pytest.mark.parametrize("token", [None, "", ".", "..", "x", "x.y", "\ud800", "é", "a" * 10_000, "\0"])
def test_nonsense_is_no_token(token):
    with pytest.raises(NotPermitted):
        Tokens([NEW], DAY).check(ID, token)


@given(st.data())
def test_a_token_that_was_changed_anywhere_is_none(data):
    tokens = Tokens([NEW], DAY)
    token = tokens.issue(ID)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."))
    changed = token[:place] + other + token[place + 1 :]
    if changed != token:
        try:
            tokens.check(ID, changed)
        except NotPermitted:
            return
        # The last letter of a base64 text carries bits that mean nothing.
        assert place == len(token) - 1

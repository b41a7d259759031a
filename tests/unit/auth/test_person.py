"""A name is spelled as accounts are, and is never another's; a text that somebody else wrote has an end."""

import pytest

from hivemind.auth.accounts import name_of
from hivemind.auth.person import MAX_CHARS, MAX_GROUPS, Person


def told(name, subject="s", groups=()):
    return Person.told("https://id.example.org", subject, name, "a" * 300, groups)


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("ada", "ada"),
        ("Ada Lovelace", "ada-lovelace"),
        ("  ADA@Example.ORG ", "ada@example.org"),
        ("\u0410\u0434\u0430", "somebody"),
        ("...", "somebody"),
        ("", "somebody"),
        ("x" * 300, "x" * 50),
        ("-ada-", "ada"),
        ("ada\x00\r\nb", "ada-b"),
    ],
)
def test_a_name_can_be_that_of_an_account(name, spelled):
    person = told(name)
    assert person.username == spelled == name_of(spelled)
    assert name_of(person.other_username) == person.other_username != spelled


def test_two_with_one_name_are_told_apart():
    assert told("ada", "1").other_username != told("ada", "2").other_username
    assert told("ada", "1").other_username == told("ada", "1").other_username


def test_what_the_provider_says_has_an_end():
    person = told("ada", groups=tuple(map(str, range(MAX_GROUPS + 1))))
    assert (len(person.email), len(person.groups)) == (MAX_CHARS, MAX_GROUPS)

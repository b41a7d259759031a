"""Greetings, thanks and the like: what a profile that answers from documents only says to them.

Pure. The words are in `small_talk.toml`; whatever is left of a message beside them is a question, and a
question is answered from documents or not at all.
"""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

_MOST_WORDS = 12
# Where a message is of several kinds, the first of these is answered: "Hi, what can you do?" asks for help.
_KINDS = ("help", "thanks", "farewell", "greeting")
_Phrases = Mapping[tuple[str, ...], str | None]


def reply_to(message: str) -> str | None:
    """What to say to small talk; None where the message asks for something."""
    words = tuple(_words(message))
    if not 0 < len(words) <= _MOST_WORDS:
        return None
    for phrases, replies in _languages():
        kinds = _kinds(words, phrases)
        for kind in _KINDS:
            if kind in kinds:
                return replies[kind]
    return None


def _kinds(words: tuple[str, ...], phrases: _Phrases) -> set[str | None]:
    """The kinds of the phrases that a message is made of; none where something is left of it."""
    found: set[str | None] = set()
    at = 0
    while at < len(words):
        for length in range(min(5, len(words) - at), 0, -1):
            if (phrase := words[at : at + length]) in phrases:
                found.add(phrases[phrase])
                at += length
                break
        else:
            return set()
    return found


def _words(text: str) -> Iterator[str]:
    letters = "".join(c if c.isalnum() else " " for c in text.casefold())
    return iter(letters.split())


@cache
def _languages() -> tuple[tuple[_Phrases, Mapping[str, str]], ...]:
    source = resources.files("hivemind.knowledge") / "small_talk.toml"
    document: dict[str, dict[str, Any]] = tomllib.loads(source.read_text(encoding="utf-8"))
    return tuple((_phrases(language), language["say"]) for language in document.values())


def _phrases(language: Mapping[str, Any]) -> dict[tuple[str, ...], str | None]:
    beside: dict[tuple[str, ...], str | None] = {tuple(_words(word)): None for word in language["any"]}
    return beside | {tuple(_words(phrase)): kind for kind in _KINDS for phrase in language[kind]}

"""Whether a phrase is spelt as people spell it, or taken apart so that no pattern of words finds it.

The phrase is found in a text of which only the letters are left (rules of the reading `letters`); here it is
looked up in the text itself, and judged by what stands between its letters.
"""

import re
import string
from collections.abc import Sequence

import re2

from hivemind.guards.rule import Rule

LETTERS = string.ascii_letters.encode()
LOWER = bytes(byte + 32 if 0x41 <= byte <= 0x5A else byte for byte in range(256))
NO_LETTERS = bytes(byte for byte in range(256) if byte not in LETTERS)
LONGEST_GAP = 12
"""What may stand between two letters of a phrase."""
STEP = 4_096
NAME_JOINTS = (b"", b"_", b"-")
WORDS = re2.compile(rb"[A-Za-z]+")


def letters(data: bytes) -> bytes:
    """Return the letters of a text, small, and nothing else of it."""
    return data.translate(LOWER, NO_LETTERS)


class Phrase:
    """A rule about letters, ready to be looked up in a text."""

    def __init__(self, rule: Rule) -> None:
        """Compile it; the pattern is ours, never a text."""
        self.rule = rule
        self._pattern = re2.compile(rule.pattern.encode())
        self._words = frozenset(re.findall("[a-z]+", rule.pattern))

    def find(self, data: bytes, only: bytes | None = None) -> tuple[int, int] | None:
        """Where it stands in `data`, if no more than `LONGEST_GAP` parts its letters, which are `only`."""
        match = self._pattern.search(letters(data) if only is None else only)
        if match is None:
            return None
        start, end = _place(data, match.start()), _place(data, match.end() - 1) + 1
        gaps = WORDS.split(data[start:end]) if end - start < STEP else [data]
        return (start, end) if all(len(gap) <= LONGEST_GAP for gap in gaps) else None

    def plain(self, written: bytes) -> bool:
        """Whether it is written in words with spaces between them, one line break or comma at most."""
        return (
            not written.translate(None, LETTERS + b" \n,'")
            and written.count(b"\n") < 2
            and written.count(b",") < 2
            and all(self._is_word(word) for word in written.lower().translate(None, b",'").split())
        )

    def _is_word(self, word: bytes) -> bool:
        text = word.decode("ascii")
        return text in self._words or text[:-1] in self._words


def _place(data: bytes, number: int) -> int:
    """Return where the letter of this number stands in `data`."""
    start = 0
    while (inside := len(data[start : start + STEP].translate(None, NO_LETTERS))) <= number:
        number -= inside
        start += STEP
    for at in range(start, len(data)):
        if data[at] in LETTERS:
            if number == 0:
                return at
            number -= 1
    raise ValueError("there are not so many letters")


def is_name(written: bytes) -> bool:
    """Whether it is written as programs write a name: in one word, by one kind of joint."""
    joints = set(WORDS.split(written))
    return len(joints) < 3 and all(joint in NAME_JOINTS for joint in joints)


def counting(found: Sequence[tuple[Phrase, bytes]]) -> list[Phrase]:
    """Return the phrases that are taken apart; a single one that reads as a name is a name."""
    odd = [(phrase, written) for phrase, written in found if not phrase.plain(written)]
    if len(odd) == 1 and is_name(odd[0][1]):
        return []
    return [phrase for phrase, _ in odd]

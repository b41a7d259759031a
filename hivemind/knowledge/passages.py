"""A document cut into passages: whole paragraphs where they fit, whole sentences where they do not.

Neighbours overlap, so that what is said across a cut is found whole in one of them. Pure; storing and finding
them is `documents` and `search`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

PASSAGE_CHARS = 1_200
OVERLAP_CHARS = 200

_ENDS = (". ", "! ", "? ", "。", "\n")


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document's text: `text` is what stands there from `starts_at` on."""

    starts_at: int
    text: str


def split(text: str, size: int = PASSAGE_CHARS, overlap: int = OVERLAP_CHARS) -> list[Passage]:
    """The passages of a text, in order; nothing but space is in none of them."""
    passages: list[Passage] = []
    start = end = -1
    for piece_start, piece_end in _pieces(text, size - overlap):
        if start < 0:
            start = piece_start
        elif piece_end - start > size:
            passages.append(Passage(start, text[start:end]))
            lowest = max(start + 1, end - overlap, piece_end - size)
            start = _after_an_end(text, lowest, end, piece_start)
        end = piece_end
    if start >= 0:
        passages.append(Passage(start, text[start:end]))
    return passages


def _pieces(text: str, size: int) -> Iterator[tuple[int, int]]:
    """Where paragraphs stand, without the space around them, and the parts of those that are too long."""
    at = 0
    while at < len(text):
        gap = text.find("\n\n", at)
        stop = len(text) if gap < 0 else gap
        start, end = _trimmed(text, at, stop)
        while end - start > size:
            cut = _cut(text, start, start + size)
            yield _trimmed(text, start, cut)
            start, end = _trimmed(text, cut, end)
        if start < end:
            yield start, end
        at = stop + 2


def _cut(text: str, start: int, limit: int) -> int:
    """Where to cut at the latest before `limit`: after a sentence, else after a word, else right there."""
    half = start + (limit - start) // 2
    best = max(text.rfind(mark, half, limit) + len(mark) for mark in _ENDS)
    if best > half:
        return best
    space = text.rfind(" ", half, limit)
    return space if space > start else limit


def _after_an_end(text: str, lowest: int, end: int, otherwise: int) -> int:
    """The first start of a sentence or a word from `lowest` on that still leaves something to repeat."""
    for marks in (_ENDS, (" ",)):
        found = [text.find(mark, lowest, end) + len(mark) for mark in marks if mark in text[lowest:end]]
        starts = [_trimmed(text, at, end)[0] for at in found]
        if starts and min(starts) < end:
            return min(starts)
    return otherwise


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end

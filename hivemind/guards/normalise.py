"""Plainer readings of a text, for matching only: what a model would read, spelt as the rules spell it.

Undoes compatibility forms, accents, invisible and direction characters, look-alike letters, leet and spaced
letters; decodes base64, hex, rot13, percent and HTML escapes, nested to a fixed depth. Never changes what
passes. A hint says cheaply that a reading may be worth making; the hints are triggers beside the rules'.
"""

import base64
import binascii
import codecs
import html
import tomllib
import unicodedata
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import unquote

import re2

DEPTH = 3
MOST_BLOBS = 32
MOST_VIEWS = 64

HINTS = {
    "leet": r"(?i)[a-z][0134578@$][a-z0-9@$]|\b[01345789@$][a-z]{2}",
    "spaced": r"(?i)(?:^|[^a-z])[a-z](?:[ ._*-]{1,2}[a-z]){5}",
    "percent": r"%[0-9A-Fa-f]{2}",
    "entity": r"&#?[A-Za-z0-9]{2,8}",
    "blob": r"[A-Za-z0-9+/_-]{16}",
    "hex": r"(?:(?:\\x|0x)?[0-9A-Fa-f]{2}[ ,:]{0,1}){8}",
    "rot13": (
        r"(?i)\b(?:vtaber|vtabevat|cerivbhf|vafgehpgvba|flfgrz|cebzcg|sbetrg|qvfertneq|ehyrf|bireevqr|"
        r"erirny|wnvyoernx|erfgevpgvbaf|cnffjbeq|frperg)"
    ),
    "escape": r"\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}",
}

BLOB = re2.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
HEX = re2.compile(rb"(?:(?:\\x|0x)?[0-9A-Fa-f]{2}[ ,:]?){8,}")
SPACED = re2.compile(rb"(?i)(?:^|[^a-z])((?:[a-z0-9][ ._*-]{1,3}){5,}[a-z0-9])(?:[^a-z]|$)")
LEET = str.maketrans("0134578@$!|", "oieastbasil")


def _lookalikes() -> dict[str, str]:
    source = resources.files("hivemind.guards") / "rules" / "lookalikes.toml"
    table = tomllib.loads(source.read_text(encoding="utf-8"))["characters"]
    return {character: plain for plain, characters in table.items() for character in characters}


_LOOKALIKES = _lookalikes()


class _Fold(dict[int, str | None]):
    """Each character's plain spelling, worked out when first met; `None` for one that is not seen."""

    def __missing__(self, code: int) -> str | None:
        self[code] = plain = _plain(chr(code))
        return plain


def _plain(character: str) -> str | None:
    code = ord(character)
    if 0xE0020 <= code <= 0xE007E:
        return chr(code - 0xE0000)
    kept = "".join(
        piece
        for piece in unicodedata.normalize("NFKD", character)
        if unicodedata.category(piece) not in ("Mn", "Me", "Cf", "Cs", "Co", "Cn")
    )
    low = kept.lower()
    if low in _LOOKALIKES:
        return _LOOKALIKES[low]
    return kept or None


FOLD = _Fold({code: chr(code) for code in range(0x20, 0x7F)} | {9: " ", 10: "\n", 13: "\n"})
FOLD.update(dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127)))


@dataclass(frozen=True, slots=True)
class View:
    """One reading; `start` and `end` are the part of the original text that it was read from."""

    text: str
    start: int
    end: int
    same_length: bool = False

    @property
    def data(self) -> bytes:
        """The reading as bytes to scan."""
        return self.text.encode("utf-8", "replace")

    def span(self, original: str, first: int, last: int) -> tuple[int, int]:
        """Return the code points of the original that bytes of this reading stand for."""
        data = self.data
        a = len(data[:first].decode("utf-8", "replace"))
        b = a + len(data[first:last].decode("utf-8", "replace"))
        if self.same_length:
            return a, b
        if self.start == 0 and self.end == len(original) and original.translate(FOLD) == self.text:
            return _unfold(original, a, b)
        return self.start, self.end


def _unfold(original: str, first: int, last: int) -> tuple[int, int]:
    reached, start, end = 0, len(original), len(original)
    for index, character in enumerate(original):
        if reached >= last:
            end = index
            break
        reached += len(FOLD[ord(character)] or "")
        if reached > first and start == len(original):
            start = index
    return start, end


def views(text: str, hints: AbstractSet[str]) -> Iterator[View]:
    """Yield each reading that differs from the text itself; `hints` names what was hinted at."""
    whole = View(text, 0, len(text), same_length=True)
    seen = {text}
    queue = [(whole, 0, hints)]
    while queue and len(seen) < MOST_VIEWS:
        view, depth, found = queue.pop(0)
        for reading in _readings(view, found):
            if reading.text in seen or not reading.text.strip():
                continue
            seen.add(reading.text)
            yield reading
            if depth + 1 < DEPTH:
                queue.append((reading, depth + 1, hinted(reading.text)))


def hinted(text: str) -> AbstractSet[str]:
    """Return which hints a text gives; for readings, which are rare and short."""
    data = text.encode("utf-8", "replace")
    return {name for name, pattern in _PATTERNS.items() if pattern.search(data)}


_PATTERNS = {name: re2.compile(pattern.encode()) for name, pattern in HINTS.items()}


def _readings(view: View, hints: AbstractSet[str]) -> Iterator[View]:
    text = view.text
    if not text.isascii() or not text.isprintable():
        folded = text.translate(FOLD)
        if folded != text:
            yield View(folded, view.start, view.end)
    for name, decode in _WHOLE.items():
        if name in hints:
            decoded = decode(text)
            if decoded != text:
                yield View(decoded, view.start, view.end, view.same_length and len(decoded) == len(text))
    if "spaced" in hints:
        yield from _spaced(view)
    if "blob" in hints:
        yield from _blobs(view, BLOB, _base64)
    if "hex" in hints:
        yield from _blobs(view, HEX, _hex)


def _leet(text: str) -> str:
    return text.translate(LEET)


def _rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


def _escapes(text: str) -> str:
    try:
        return text.encode("latin-1", "backslashreplace").decode("unicode_escape")
    except UnicodeDecodeError:
        return text


_ENTITY = re2.compile(r"&#([xX]?[0-9A-Fa-f]{2,6});?")


def _entities(text: str) -> str:
    # Browsers and models read a reference without its semicolon; html.unescape does not always.
    return html.unescape(_ENTITY.sub(r"&#\1;", text))


_WHOLE: dict[str, Callable[[str], str]] = {
    "leet": _leet,
    "rot13": _rot13,
    "percent": unquote,
    "entity": _entities,
    "escape": _escapes,
}


def _spaced(view: View) -> Iterator[View]:
    data = view.text.encode("utf-8", "replace")
    for count, match in enumerate(SPACED.finditer(data)):
        if count >= MOST_BLOBS:
            return
        run = match.group(1).decode("ascii", "replace")
        words = run.replace("   ", "\0").replace("  ", "\0")
        for separator in " ._*-":
            words = words.replace(separator, "")
        yield View(words.replace("\0", " "), view.start, view.end)


def _blobs(view: View, pattern: Any, decode: Callable[[bytes], str | None]) -> Iterator[View]:
    data = view.text.encode("utf-8", "replace")
    for count, match in enumerate(pattern.finditer(data)):
        if count >= MOST_BLOBS:
            return
        decoded = decode(match.group())
        if decoded is None:
            continue
        if view.same_length:
            start = len(data[: match.start()].decode("utf-8", "replace"))
            yield View(decoded, start, start + match.end() - match.start())
        else:
            yield View(decoded, view.start, view.end)


def _base64(blob: bytes) -> str | None:
    blob = blob.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    if len(blob) % 4 == 1:
        blob = blob[:-1]
    try:
        return _readable(base64.b64decode(blob + b"=" * (-len(blob) % 4)))
    except (binascii.Error, ValueError):
        return None


def _hex(blob: bytes) -> str | None:
    digits = blob.replace(b"\\x", b"").replace(b"0x", b"").translate(None, b" ,:")
    return _readable(bytes.fromhex(digits[: len(digits) // 2 * 2].decode()))


def _readable(data: bytes) -> str | None:
    """The text in `data`, if it is one."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    plain = sum(character.isprintable() or character in "\r\n\t" for character in text)
    return text if plain == len(text) else None

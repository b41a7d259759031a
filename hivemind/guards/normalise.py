"""Plainer readings of a text, for matching only: what a model would read, spelt as the rules spell it.

Undoes compatibility forms, accents, invisible and direction characters, look-alike letters, leet and spaced
letters; decodes base64, hex, rot13, percent and HTML escapes, nested to a fixed depth. Never changes what
passes. A hint says cheaply that a reading may be worth making; the hints are triggers beside the rules'.

What is spelt with other characters is spelt plainly first, and all else is read from that. What is decoded
may hold anything again; what is only spelt oddly is looked at and not read further. All readings of a text
together are bounded: one that asks for more is not judged but refused.
"""

import binascii
import codecs
import string
import tomllib
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from html import entities
from importlib import resources
from itertools import accumulate, product

import re2

from hivemind.guards.verdict import TooDense

DEPTH = 3
MOST_READ = 6
"""How many times its own size all readings of a text may have."""
ALWAYS_READ = 65_536
MOST_READINGS = 64
ALWAYS_UNESCAPED = 1_024
"""How many ampersands are looked at in all, and one for every 5 characters; percent signs are cheaper."""
MOST_RUNS = 1_024
"""How many spaced words or hex dumps a text may hold, and one more for every 64 characters."""

HINTS = {
    "leet": r"(?i)[a-z][0134578@$][a-z0-9@$]|\b[01345789@$][a-z]{2}",
    "spaced": r"(?i)(?:^|[^a-z])[a-z](?:[ ._*-]{1,2}[a-z]){5}",
    "percent": r"%[0-9A-Fa-f]{2}",
    "entity": r"&#?[A-Za-z0-9]{2,8}",
    "blob": r"[A-Za-z0-9+/_-]{16}",
    "hex": r"(?:(?:\\x|0x)?(?:[2-7][0-9A-Fa-f]|0[9AaDd])[ ,:]{0,1}){8}",
    "rot13": (
        r"(?i)\b(?:vtaber|vtabevat|cerivbhf|vafgehpgvba|flfgrz|cebzcg|sbetrg|qvfertneq|ehyrf|bireevqr|"
        r"erirny|wnvyoernx|erfgevpgvbaf|cnffjbeq|frperg)"
    ),
    "reversed": r"(?i)snoitcurtsni|tpmorp|\bsuoiverp|\berongi\b|senilediug",
    # Not a reading, but that the rules of other languages may match.
    "foreign": (
        r"(?i)instruc(?:c|o)|istruzion|anweisung|instruktion|vorgaben|befehle|richtlinien|consignes|"
        r"instructions (?:pre|ci|ca|se|in|du|an)|regles|reglas|regras|regole|regeln|instructies|opdrachten|"
        r"talimat|kural|komutlar|instrukcj|polecen|directrices|diretrizes|direttive|normas|ordenes|ordini|"
        r"sve (?:upute|uputstva|pravila)|alle regels|alla regler|toutes (?:les|tes) instr|compte des instr|"
        r"(?:tes|vos) directives|modo (?:desarrollador|dios)|"
        r"(?:sin|sem|sans|senza|ohne) (?:[a-z]+ )?(?:restri|limit|filt|cens|zens|moral|eti|ethi|einschr|"
        r"grenz|beschr|tabu)|"
        r"prompts? (?:de|do|del|di) sistema|(?:prompt|invite|message) (?:du )?systeme|system-?prompt|"
        r"systemanweisung|systemnachricht|(?:geheimen|versteckten) prompt|"
        r"(?:mensaje|mensagem|messaggio) d(?:e|o|el|i) sistema|(?:tu|su|seu|teu|tuo|ton|votre|deinen?) prompt"
    ),
    # The word that an attack of this kind seldom does without; more of them would cost more than they find.
    "scrambled": r"(?i)\bp[reviou]{6}s\b",
    "tags": r"(?i)[a-z,.] {0,1}<\/?[a-z][a-z0-9]{0,9}(?: [^<>]{0,80})?>",
    "escape": r"\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}",
}

SHORTEST_BLOB = 16
BLOBS = bytes(byte if (byte < 128 and chr(byte).isalnum()) or byte in b"+/_-" else 32 for byte in range(256))
OF_TEXT = b"CDIJKLMNOPQRSTUVWXYZabcdef"
"""What each fourth character of base64 is where ASCII is encoded; in random bytes it is so in two of five."""
HEX = re2.compile(rb"(?:(?:\\x|0x)?(?:[2-7][0-9A-Fa-f]|0[9AaDd])[ ,:]?){8,}")
SPACED = re2.compile(rb"(?i)(?:^|[^a-z])((?:[a-z0-9][ ._*-]{1,3}){5,}[a-z0-9])(?:[^a-z]|$)")
LONGEST_TAG = 120
MOST_SCRAMBLED = 24
"""How many different spellings of the key words are put right."""
BETWEEN = bytes(byte if chr(byte).isalpha() and byte < 128 else 32 for byte in range(256))
KEY_WORDS = {
    (word[0], word[-1], bytes(sorted(word))): word
    for word in (
        b"ignore", b"disregard", b"bypass", b"override", b"forget", b"reveal", b"previous", b"instructions",
        b"instruction", b"system", b"prompt",
    )
}  # fmt: skip
INITIALS = frozenset(word[0] for word in KEY_WORDS.values())
LENGTHS = frozenset(map(len, KEY_WORDS.values()))
LEET = bytes.maketrans(b"0134578@$!|", b"oieastbasil")
ROT13 = bytes.maketrans(string.ascii_letters.encode(), codecs.encode(string.ascii_letters, "rot13").encode())
QUOTED = {
    (first + second).encode(): bytes.fromhex(first + second)
    for first, second in product(string.hexdigits, repeat=2)
}
URL_SAFE = bytes.maketrans(b"-_", b"+/")
LINES = str.maketrans("\r\n\t", "   ")
LONGEST_ENTITY = 34
ENTITY = frozenset("#" + string.ascii_letters)
"""What it may begin with."""
_STEP = 256


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


UNSEEN = bytes(code for code in range(128) if FOLD[code] is None)
PLAIN = bytes(code for code in range(128) if FOLD[code] == chr(code))
ASCII = bytes.maketrans(b"\t\r", b" \n")
MOST_REPLACED = 24
"""So many characters are sooner replaced one by one than looked up each."""


@dataclass(frozen=True, slots=True)
class View:
    """One reading; `start` and `end` are the part of the original text that it was read from."""

    text: str
    start: int
    end: int
    same_length: bool = False
    decoded: bool = False
    """Whether this was encoded, not only spelt oddly."""
    is_folded: bool = False
    """Whether this is the whole text with its characters spelt plainly, and nothing else."""

    @property
    def is_plain(self) -> bool:
        """Whether every character is spelt plainly."""
        return self.is_folded or (self.text.isascii() and not self.text.encode().translate(None, PLAIN))

    @property
    def data(self) -> bytes:
        """The reading as bytes to scan."""
        return self.text.encode("utf-8", "replace")


class Places:
    """Where in the original text stands what was found in readings of it."""

    def __init__(self, original: str) -> None:
        self._original = original
        self._folded: list[int] = []

    def span(self, view: View | None, data: bytes, first: int, last: int) -> tuple[int, int]:
        """The code points of the original that `first` to `last` of the bytes of a reading stand for."""
        a = len(data[:first].decode("utf-8", "replace"))
        b = a + len(data[first:last].decode("utf-8", "replace"))
        if view is None or view.same_length:
            return a, b
        return (self._unfold(a), self._unfold(b - 1) + 1) if view.is_folded else (view.start, view.end)

    def _unfold(self, place: int) -> int:
        """The character of the original that one of the folded text comes from."""
        if not self._folded:
            steps = range(0, len(self._original), _STEP)
            lengths = (len(self._original[at : at + _STEP].translate(FOLD)) for at in steps)
            self._folded = [0, *accumulate(lengths)]
        step = bisect_right(self._folded, place) - 1
        reached = self._folded[step]
        for at in range(step * _STEP, len(self._original)):
            reached += len(FOLD[ord(self._original[at])] or "")
            if reached > place:
                return at
        return len(self._original) - 1


def read(text: str, hints: AbstractSet[str], look: Callable[[View], AbstractSet[str] | None]) -> None:
    """Show `look` each reading that differs from the text itself, until it has seen enough.

    It answers which hints the reading gives, or None where no further reading could change anything.

    Raises:
        TooDense: so much is encoded in it that judging it would take too long.
    """
    with suppress(_Enough):
        _Reader(text, look).read(View(text, 0, len(text), same_length=True), hints, DEPTH)


class _Enough(Exception):
    """Who looks has seen enough."""


class _Reader:
    """Makes the readings of one text, none of them twice, and keeps count of their size."""

    def __init__(self, text: str, look: Callable[[View], AbstractSet[str] | None]) -> None:
        self._look_at = look
        self._left = ALWAYS_READ + MOST_READ * len(text)
        self._escapes = ALWAYS_UNESCAPED + len(text) // 5
        self._seen = {text}

    def read(self, view: View, hints: AbstractSet[str], depth: int) -> None:
        """Look at what can be read from `view`, which gave these hints."""
        for _ in range(depth):
            if not _ESCAPES.isdisjoint(hints):
                self._escapes -= view.text.count("&") + view.text.count("%") // 3
                if self._escapes < 0:
                    raise TooDense
            plainer = _plainer(view, hints)
            found = None if plainer is None else self._look(plainer)
            if plainer is None or found is None:
                break
            view, hints = plainer, found
        for reading in _decoded(view, hints):
            found = self._look(reading)
            if found and depth > 1:
                self.read(reading, found, depth - 1)
        for reading in _spelt_oddly(view, hints):
            self._look(reading)

    def _look(self, reading: View) -> AbstractSet[str] | None:
        """The hints of a reading; None for one that was seen before."""
        if reading.text in self._seen:
            return None
        self._left -= len(reading.text)
        if self._left < 0 or len(self._seen) > MOST_READINGS:
            raise TooDense
        self._seen.add(reading.text)
        found = self._look_at(reading)
        if found is None:
            raise _Enough
        return found


def _plainer(view: View, hints: AbstractSet[str]) -> View | None:
    """The same with its characters and escapes spelt plainly, where that makes a difference."""
    text = view.text
    if not view.is_plain:
        folded = _folded(text)
        if folded != text:
            same = view.same_length and len(folded) == len(text) and _one_by_one(text)
            return View(folded, view.start, view.end, same, view.decoded, is_folded=view.same_length)
    if not _ESCAPES.isdisjoint(hints):
        plain = _unescaped(text)
        if plain != text:
            return View(plain, view.start, view.end, decoded=view.decoded)
    return None


def _folded(text: str) -> str:
    if text.isascii():
        return text.encode().translate(ASCII, UNSEEN).decode()
    odd = sorted(character for character in set(text) if FOLD[ord(character)] != character)
    if len(odd) > MOST_REPLACED:
        return text.translate(FOLD)
    for character in odd:
        text = text.replace(character, FOLD[ord(character)] or "")
    return text


def _one_by_one(text: str) -> bool:
    """Whether each character becomes one."""
    return all(len(FOLD[ord(character)] or "") == 1 for character in set(text))


def _decoded(view: View, hints: AbstractSet[str]) -> Iterator[View]:
    """What was encoded, and may hold anything again."""
    if "rot13" in hints:
        yield _respelt(view, ROT13, decoded=True)
    if "reversed" in hints:
        yield View(view.text[::-1], view.start, view.end, decoded=True)
    if not _PARTLY.isdisjoint(hints):
        data = view.data
        if "blob" in hints:
            yield from _joined(view, data, _blobs(data), decoded=True)
        if "hex" in hints:
            yield from _joined(view, data, _dumps(data), decoded=True)
        if "spaced" in hints:
            yield from _joined(view, data, _spaced(data), decoded=view.decoded)


def _spelt_oddly(view: View, hints: AbstractSet[str]) -> Iterator[View]:
    """The same words in their usual spelling."""
    if "tags" in hints:
        yield View(_untagged(view.text), view.start, view.end, decoded=view.decoded)
    if "leet" in hints:
        yield _respelt(view, LEET, decoded=view.decoded)
    if "scrambled" in hints:
        yield View(_unscrambled(view.text), view.start, view.end, view.same_length, view.decoded)


def _respelt(view: View, table: bytes, *, decoded: bool) -> View:
    text = view.data.translate(table).decode("utf-8", "replace")
    return View(text, view.start, view.end, view.same_length, decoded)


def _joined(
    view: View, data: bytes, parts: Iterator[tuple[bytes, str]], *, decoded: bool = False
) -> Iterator[View]:
    """One reading of all parts, each on its line; a span is looked for when a rule has fired."""
    found = list(parts)
    if not found:
        return
    text = "\n".join(plain for _, plain in found)
    if not view.same_length:
        yield View(text, view.start, view.end, decoded=decoded)
        return
    first = data.find(found[0][0])
    last = data.rfind(found[-1][0]) + len(found[-1][0])
    start = len(data[:first].decode("utf-8", "replace"))
    end = start + len(data[first:last].decode("utf-8", "replace"))
    yield View(text, start, end, decoded=decoded)


def _unscrambled(text: str) -> str:
    """The text, in small letters, with the key words whose inner letters have changed places put right.

    Raises:
        TooDense: there are too many spellings of these.
    """
    data = text.encode("utf-8", "replace").lower()
    words = {word for word in data.translate(BETWEEN).split() if len(word) in LENGTHS and word[0] in INITIALS}
    meant = {word: KEY_WORDS.get((word[0], word[-1], bytes(sorted(word)))) for word in words}
    wrong = {word: right for word, right in meant.items() if right is not None and right != word}
    if not wrong:
        return text
    if len(wrong) > MOST_SCRAMBLED:
        raise TooDense
    for word, right in wrong.items():
        data = data.replace(word, right)
    return data.decode("utf-8", "replace")


def _untagged(text: str) -> str:
    head, *rest = text.split("<")
    return head + "".join(map(_behind_tag, rest))


def _behind_tag(piece: str) -> str:
    """The text after an angle bracket, without the tag that it opens."""
    tag, end, rest = piece.partition(">")
    is_tag = end and len(tag) <= LONGEST_TAG and tag.removeprefix("/")[:1].isalpha()
    return rest if is_tag else "<" + piece


def _unescaped(text: str) -> str:
    if "%" in text:
        text = _unquoted(text.encode("utf-8", "replace")).decode("utf-8", "replace")
    if "&" in text:
        head, *rest = text.split("&")
        text = head + "".join([_entity(piece) if piece[:1] in ENTITY else "&" + piece for piece in rest])
    if "\\" in text:
        try:
            text = text.encode("latin-1", "backslashreplace").decode("unicode_escape")
        except UnicodeDecodeError:
            return text
    return text


def _unquoted(data: bytes) -> bytes:
    """As `urllib.parse.unquote_to_bytes`, and quick where few of the signs begin an escape."""
    head, *rest = data.split(b"%")
    parts = [head]
    for piece in rest:
        byte = QUOTED.get(piece[:2])
        parts += (b"%", piece) if byte is None else (byte, piece[2:])
    return b"".join(parts)


def _entity(piece: str) -> str:
    """The text after an ampersand; browsers and models read a reference without its semicolon too."""
    if not piece.startswith("#"):
        name, semicolon, rest = piece[:LONGEST_ENTITY].partition(";")
        character = entities.html5.get(f"{name};") if semicolon else None
        return f"&{piece}" if character is None else character + rest + piece[LONGEST_ENTITY:]
    is_hex = piece[1:2] in ("x", "X")
    begin, allowed, base = (2, string.hexdigits, 16) if is_hex else (1, string.digits, 10)
    body = piece[begin:LONGEST_ENTITY]
    rest = body.lstrip(allowed)
    digits = body[: len(body) - len(rest)]
    character = _numbered(digits, base) if digits else None
    if character is None:
        return f"&{piece}"
    return character + piece[begin + len(digits) + rest.startswith(";") :]


@lru_cache(maxsize=2048)
def _numbered(digits: str, base: int) -> str | None:
    try:
        return chr(int(digits, base))
    except (ValueError, OverflowError):
        return None


_ESCAPES = frozenset({"percent", "entity", "escape"})
_PARTLY = frozenset({"spaced", "blob", "hex"})


def _spaced(data: bytes) -> Iterator[tuple[bytes, str]]:
    most = MOST_RUNS + len(data) // 64
    for count, match in enumerate(SPACED.finditer(data)):
        if count >= most:
            raise TooDense
        run = match.group(1)
        words = run.replace(b"   ", b"\0").replace(b"  ", b"\0").translate(None, b" ._*-")
        yield run, words.replace(b"\0", b" ").decode("ascii", "replace")


def _blobs(data: bytes) -> Iterator[tuple[bytes, str]]:
    for blob in data.translate(BLOBS).split():
        if len(blob) >= SHORTEST_BLOB:
            decoded = _base64(blob)
            if decoded is not None:
                yield blob, decoded


def _dumps(data: bytes) -> Iterator[tuple[bytes, str]]:
    most = MOST_RUNS + len(data) // 64
    for count, match in enumerate(HEX.finditer(data)):
        if count >= most:
            raise TooDense
        decoded = _hex(match.group())
        if decoded is not None:
            yield match.group(), decoded


def _base64(blob: bytes) -> str | None:
    leading = blob[::4]
    if len(leading.translate(None, OF_TEXT)) * 5 > len(leading) * 2:
        return None
    if len(blob) % 4 == 1:
        blob = blob[:-1]
    try:
        return _readable(binascii.a2b_base64(blob.translate(URL_SAFE) + b"=" * (-len(blob) % 4)))
    except ValueError:
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
    if text.isprintable() or text.translate(LINES).isprintable():
        return text if text.strip() else None
    return None

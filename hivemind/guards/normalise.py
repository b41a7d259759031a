"""Plainer readings of a text, for matching only: what a model would read, spelt as the rules spell it.

Undoes compatibility forms, accents, invisible and direction characters, look-alike letters, leet and spaced
letters; decodes base64, hex, rot13, percent and HTML escapes, nested to a fixed depth. Never changes what
passes. A hint says cheaply that a reading may be worth making; the hints are triggers beside the rules'.
All readings of a text together are bounded: one that asks for more is not judged but refused.
"""

import binascii
import codecs
import tomllib
import unicodedata
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from html import entities
from importlib import resources
from urllib.parse import unquote

import re2

from hivemind.guards.verdict import TooDense

DEPTH = 3
MOST_READ = 16
"""How many times its own size all readings of a text may have."""
ALWAYS_READ = 65_536
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
MOST_SCRAMBLED = 256
BETWEEN = bytes(byte if chr(byte).isalpha() and byte < 128 else 32 for byte in range(256))
KEY_WORDS = {
    (word[0], word[-1], "".join(sorted(word))): word
    for word in (
        "ignore", "disregard", "bypass", "override", "forget", "reveal", "previous", "instructions",
        "instruction", "system", "prompt",
    )
}  # fmt: skip
INITIALS = frozenset(ord(word[0]) for word in KEY_WORDS.values())
LENGTHS = frozenset(map(len, KEY_WORDS.values()))
LEET = str.maketrans("0134578@$!|", "oieastbasil")
URL_SAFE = bytes.maketrans(b"-_", b"+/")
LINES = str.maketrans("\r\n\t", "   ")
LONGEST_ENTITY = 34


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
    decoded: bool = False
    """Whether this was encoded, not only spelt oddly."""

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


def read(text: str, hints: AbstractSet[str], look: Callable[[View], AbstractSet[str]]) -> None:
    """Show `look` each reading that differs from the text itself; it answers which hints the reading gives.

    Raises:
        TooDense: so much is encoded in it that judging it would take too long.
    """
    left = ALWAYS_READ + MOST_READ * len(text)
    seen = {text}
    level = [(View(text, 0, len(text), same_length=True), hints)]
    for _ in range(DEPTH):
        following = []
        for view, found in level:
            for reading in _readings(view, found):
                if reading.text in seen:
                    continue
                left -= len(reading.text)
                if left < 0:
                    raise TooDense
                seen.add(reading.text)
                following.append((reading, look(reading)))
        level = following


def _readings(view: View, hints: AbstractSet[str]) -> Iterator[View]:
    text = view.text
    if not text.isascii() or not text.isprintable():
        folded = text.translate(FOLD)
        if folded != text:
            yield View(folded, view.start, view.end)
    for names, decode in _WHOLE:
        if not names.isdisjoint(hints):
            decoded = decode(text)
            if decoded != text:
                same = view.same_length and len(decoded) == len(text) and decode is not _reversed
                yield View(decoded, view.start, view.end, same, decode in (_rot13, _reversed))
    if not _PARTLY.isdisjoint(hints):
        data = text.encode("utf-8", "replace")
        if "spaced" in hints:
            yield from _joined(view, data, _spaced(data))
        if "blob" in hints:
            yield from _joined(view, data, _blobs(data), decoded=True)
        if "hex" in hints:
            yield from _joined(view, data, _dumps(data), decoded=True)


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


def _leet(text: str) -> str:
    return text.translate(LEET)


def _rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


def _reversed(text: str) -> str:
    return text[::-1]


def _unscrambled(text: str) -> str:
    """The key words whose inner letters have changed places."""
    words = set(text.encode("ascii", "replace").lower().translate(BETWEEN).split())
    candidates = [word for word in words if len(word) in LENGTHS and word[0] in INITIALS]
    for one in sorted(candidates)[:MOST_SCRAMBLED]:
        word = one.decode("ascii")
        meant = KEY_WORDS.get((word[0], word[-1], "".join(sorted(word))))
        if meant is not None and meant != word:
            for spelt in (word, word.capitalize(), word.upper()):
                text = text.replace(spelt, meant)
    return text


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
        text = unquote(text)
    if "&" in text:
        head, *rest = text.split("&")
        text = head + "".join(map(_entity, rest))
    if "\\" in text:
        try:
            text = text.encode("latin-1", "backslashreplace").decode("unicode_escape")
        except UnicodeDecodeError:
            return text
    return text


def _entity(piece: str) -> str:
    """The text after an ampersand; browsers and models read a reference without its semicolon too."""
    name, semicolon, rest = piece[:LONGEST_ENTITY].partition(";")
    if semicolon:
        character = _character(name)
        return "&" + piece if character is None else character + rest + piece[LONGEST_ENTITY:]
    if not piece.startswith("#"):
        return "&" + piece
    digits = "0123456789abcdefABCDEF" if piece[1:2] in ("x", "X") else "0123456789"
    end = 2 if piece[1:2] in ("x", "X") else 1
    while end < len(piece) and end < LONGEST_ENTITY and piece[end] in digits:
        end += 1
    character = _character(piece[:end])
    return "&" + piece if character is None else character + piece[end:]


@lru_cache(maxsize=2048)
def _character(name: str) -> str | None:
    if not name.startswith("#"):
        return entities.html5.get(name + ";")
    try:
        digits = name[2:] if name[1:2] in ("x", "X") else name[1:]
        return chr(int(digits, 10 if digits == name[1:] else 16))
    except (ValueError, OverflowError):
        return None


_WHOLE: tuple[tuple[frozenset[str], Callable[[str], str]], ...] = (
    (frozenset({"leet"}), _leet),
    (frozenset({"rot13"}), _rot13),
    (frozenset({"reversed"}), _reversed),
    (frozenset({"scrambled"}), _unscrambled),
    (frozenset({"tags"}), _untagged),
    (frozenset({"percent", "entity", "escape"}), _unescaped),
)
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

"""Where a text may be cut so that no value can lie across the cut.

A *stretch* is a run of words that may hold one value: one word, or several that single spaces join where
both sides look like parts of a number or code (`+49 30 1234`, `GB82 WEST 1234`). Every guard measures a
stretch by itself, with what stands before it as context; that is why a stream that is released stretch by
stretch equals the guarded whole. Works on UTF-8 bytes; characters of three bytes and more (CJK, symbols)
stand outside words.
"""

LONGEST = 2048
"""A longer stretch is cut here, so that a text without spaces is neither held for ever nor slow."""


def _class_of(byte: int) -> int:
    if byte <= 0x20 or byte == 0x7F or byte >= 0xE0:
        return ord(" ")
    if 0x30 <= byte <= 0x39:
        return ord("0")
    if 0x41 <= byte <= 0x5A:
        return ord("A")
    return byte if byte in b"()-" else ord("a")


CLASSES = bytes(_class_of(byte) for byte in range(256))
SPACE, DIGIT, UPPER, OPEN, CLOSE, DASH = b" 0A()-"
MAY_JOIN = frozenset(b"0A)-")
CODE_LENGTH = 5
EXTENSIONS = (b" ext", b" ext.", b" extn", b" extn.", b" extension", b" durchwahl")
LONGEST_ANNOUNCEMENT = max(map(len, EXTENSIONS))
LOOKS_BACK = 16
"""Whether a gap joins depends on no more bytes before it."""


def joins(data: bytes, kinds: bytes, gap: int) -> bool:
    """Whether the space at `gap` may lie inside a value; looks at its neighbours only."""
    if data[gap] != SPACE or gap == 0 or gap + 1 >= len(kinds):
        return False
    before, after = kinds[gap - 1], kinds[gap + 1]
    if after in (DIGIT, OPEN):
        return before in MAY_JOIN or _may_extend(data, gap)
    if after == DASH:
        return before == DIGIT
    if after == UPPER:
        if before in (DIGIT, CLOSE):
            return True
        if before == UPPER:
            left = max(0, gap - CODE_LENGTH - 1)
            start = kinds.rfind(b" ", left, gap) + 1
            return (start > 0 or left == 0) and not kinds[start:gap].strip(b"A0")
    return False


def _may_extend(data: bytes, gap: int) -> bool:
    """Whether the word before the gap announces a phone extension."""
    return data[max(0, gap - LONGEST_ANNOUNCEMENT) : gap].lower().endswith(EXTENSIONS)


def start_of(data: bytes, kinds: bytes, position: int, floor: int) -> int:
    """Return where the stretch around `position` begins; `floor` is a known cut."""
    gap = kinds.rfind(b" ", floor, position)
    while gap > floor and joins(data, kinds, gap):
        gap = kinds.rfind(b" ", floor, gap)
    return floor if gap < 0 else gap + 1


def end_of(data: bytes, kinds: bytes, position: int, ceiling: int) -> int:
    """Return where the stretch around `position` ends, at most `ceiling`."""
    gap = kinds.find(b" ", position, ceiling)
    while gap >= 0 and joins(data, kinds, gap):
        gap = kinds.find(b" ", gap + 1, ceiling)
    return ceiling if gap < 0 else gap


def last_cut(data: bytes, kinds: bytes, floor: int) -> int:
    """Return the last position that ends a stretch whatever follows, or else `floor`, a known cut."""
    last = len(data) - 1
    gap = kinds.rfind(b" ", floor)
    while gap > floor:
        if gap == last:
            if data[gap] != SPACE or not (kinds[gap - 1] in MAY_JOIN or _may_extend(data, gap)):
                return gap
        elif not joins(data, kinds, gap):
            return gap
        gap = kinds.rfind(b" ", floor, gap)
    start = floor + (floor <= last and kinds[floor] == SPACE)
    return aligned(data, start + LONGEST) if len(data) > start + LONGEST else floor


def next_cut(data: bytes, floor: int) -> int:
    """`last_cut` without the classes of bytes that it does not look at."""
    left = max(0, floor - LOOKS_BACK)
    tail = data[left:]
    return left + last_cut(tail, tail.translate(CLASSES), floor - left)


def aligned(data: bytes, position: int) -> int:
    """Return `position`, or the start of the character that it would cut in two."""
    while 0 < position < len(data) and 0x80 <= data[position] < 0xC0:
        position -= 1
    return position

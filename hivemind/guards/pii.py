"""Which parts of a text are personal: addresses by their syntax, numbers by check digits and number plans.

The arithmetic is python-stdnum's and phonenumbers'; addresses are parsed by inet_pton. A check is given a
window of the text and the span that a rule measured, and returns the parts that count, each with its type.
"""

from collections.abc import Callable, Mapping
from functools import cache
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

import re2
from phonenumbers import PhoneMetadata
from stdnum import bitcoin

from hivemind.guards.identifiers import COUNTED, OTHER_THINGS, RULES, identify
from hivemind.guards.rule import Rule

BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BECH32M = 0x2BC830A3
EMPTY_MACS = (b"0" * 12, b"f" * 12)
Part = tuple[int, int, str] | tuple[int, int, str, Rule]
"""Where a value is, its type, and its rule where that is not the one that measured it."""
Check = Callable[[bytes, int, int], list[Part]]

NEAR = 48
"""How many bytes before a number are its context."""
NUMBERED = re2.compile(
    rb"(?:(?i:\b(?:versions?|v|ver|releases?|released as|sections?|chapters?|firmware|builds?|revisions?|rev|"
    rb"clause|paragraphs?|appendix|article|driver|(?:packages?|library|image|module|tag)(?: [\w.+-]{1,24})?)"
    rb"[ :=#\"'(]{1,3}v?|\xc2\xa7 ?|\b(?:upgrade|downgrade|update)[ds]?(?: from| to)? )|"
    rb"(?:^|[ (;])[A-Z][A-Za-z]{2,20}/)$"
)
"""What stands before four numbers that are no address."""
PICTURES = (b".png", b".jpg", b".jpeg", b".webp", b".gif", b".svg")
SCALED = re2.compile(rb"@[0-9](?:\.[0-9])?x\.[a-z]{3,4}$")
MOST_GROUPS = 9
LONGEST_VALUE = 34
TIGHT = frozenset((b"-", b".", b"/", b"\xc2\xa0"))
FOLLOWS = frozenset(b"- \t\r\n\"'`,;:!?&<>)]}|*.\\") | frozenset(range(0xC2, 0x100))
SEPARATORS = bytes.maketrans(b" ./-()+\xa0", b"        ")
PHONE_WORD = re2.compile(
    r"phone|\btel|tel\b|fono|\bcall|mobile|mobil(?:nummer)?\b|\bfax|\bdesk|\btext |whatsapp|\bcell|contact|"
    r"\breach|handy(?:nummer)?\b|\bgsm|numaram|\bdial|\bsms|\boffice|\banswer|m(?:o|\x{f3})vil|celular|rufnummer|"
    r"t\x{e9}l|тел|电话|手机|電話|携帯|전화|휴대폰|هاتف|फ़ोन|फोन|मोबाइल".encode()
)
KINDS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip", "pager",
    "uan", "voicemail",
)  # fmt: skip
TRUNK_LENGTHS = ((2, 7), (2, 8), (3, 7), (3, 8), (4, 6), (4, 7))
"""How national numbers are written behind an area code that begins with 0."""
PLAIN_REGIONS: tuple[str, ...] = ("US", "TR")
TRUNK_REGIONS: tuple[str, ...] = ("GB", "TR", "PH", "FR")
WRITTEN_REGIONS: tuple[str, ...] = ("US", "GB", "TR", "PH", "DE", "FR", "IN")


def email(data: bytes, start: int, end: int) -> list[Part]:
    """An address, not the name of a picture for finer screens (`logo@2x.png`)."""
    value = data[start:end]
    return [] if value.endswith(PICTURES) and SCALED.search(value) else [(start, end, "EMAIL")]


def ip_address(data: bytes, start: int, end: int) -> list[Part]:
    """Any IP address that parses, with its prefix length."""
    value = data[start:end]
    if value.startswith(b"[") or data[end : end + 1].isalpha() or is_version(data, start, end):
        return []
    if b":" in value and data[end : end + 1] == b"." and data[end + 1 : end + 2].isdigit():
        return []
    while value and not _is_address(value):
        if value[-1:] not in (b".", b":", b"/"):
            return []
        value = value[:-1]
    return [(start, start + len(value), "IP_ADDRESS")] if len(value) > 2 else []


def is_version(data: bytes, start: int, end: int) -> bool:
    """Whether four numbers with dots are the number of a version, a chapter or a product."""
    if data[end : end + 2].startswith((b"-rc", b"-r", b"-b", b"-a")) and data[end + 2 : end + 3].isalnum():
        return True
    return NUMBERED.search(data[max(0, start - NEAR) : start]) is not None


def _is_address(value: bytes) -> bool:
    address, slash, prefix = value.decode().partition("/")
    family, longest = (AF_INET6, 128) if ":" in address else (AF_INET, 32)
    if slash and not (prefix.isdigit() and int(prefix) <= longest):
        return False
    try:
        # A tenth of what `ipaddress` takes, which matters where a text is full of them.
        inet_pton(family, address.partition("%")[0])
    except OSError:
        return False
    return True


def number(data: bytes, start: int, end: int) -> list[Part]:
    """Identifiers, cards and phone numbers in a run of groups, the longest first at each place."""
    run = data[start:end]
    if _is_quad(run):
        return []
    groups: list[tuple[int, int]] = []
    position = 0
    for piece in run.translate(SEPARATORS).split():
        position = run.index(piece, position)
        groups.append((position, position + len(piece)))
        position += len(piece)
    joints = [run[groups[n][1] : groups[n + 1][0]] for n in range(len(groups) - 1)]
    before = data[max(0, start - NEAR) : start].lower()
    parts: list[Part] = []
    first = 0
    while first < len(groups):
        found = _longest(run, groups, joints, first, before)
        if found is None:
            first += 1
            continue
        last, rule = found
        left, right = groups[first][0], groups[last][1]
        while left > 0 and run[left - 1 : left] in (b"+", b"("):
            left -= 1
        parts.append((start + left, start + right, rule.type, rule))
        first = last + 1
    return parts


def _longest(
    run: bytes, groups: list[tuple[int, int]], joints: list[bytes], first: int, before: bytes
) -> tuple[int, Rule] | None:
    if _starts_inside(run, groups, joints, first):
        return None
    left = groups[first][0]
    near = (before + run[max(0, left - NEAR) : left].lower())[-NEAR:]
    for last in range(min(len(groups), first + MOST_GROUPS) - 1, first - 1, -1):
        right = groups[last][1]
        if right - left > LONGEST_VALUE + MOST_GROUPS or right - left < 5:
            continue
        if right < len(run) and run[right] not in FOLLOWS:
            continue
        if _ends_inside(run, groups, joints, first, last):
            continue
        written = run[left:right]
        value = written.translate(None, b" ./-()+\xa0").upper()
        lengths = tuple(b - a for a, b in groups[first : last + 1])
        if not value.isalnum() or not value.isascii() or _is_date_or_fraction(written, lengths):
            continue
        if written.count(b".") > 2 and (b" " in written or (len(lengths) == 4 and max(lengths) < 4)):
            continue
        kind = identify(value, lengths, near) if _even(joints, first, last) else None
        if kind is None and is_phone(run, left, right, value, lengths, near):
            kind = RULES["phone"]
        if kind is not None:
            return last, kind
    return None


def _starts_inside(run: bytes, groups: list[tuple[int, int]], joints: list[bytes], first: int) -> bool:
    """Whether the group goes on with what is written before it, so that no value starts here."""
    if first == 0:
        return False
    joint, before, here = joints[first - 1], groups[first - 1], groups[first]
    if joint in TIGHT:
        return not _is_word(run[before[0] : before[1]])
    if joint != b" " or not (_is_short_number(run, before) and _is_short_number(run, here)):
        return False
    chained = first > 1 and joints[first - 2] != b" "
    return not chained and (first == len(joints) or joints[first] == b" ")


def _ends_inside(
    run: bytes, groups: list[tuple[int, int]], joints: list[bytes], first: int, last: int
) -> bool:
    """Whether what is written goes on after the group, so that no value ends here."""
    if last == len(joints):
        return False
    joint, here, after = joints[last], groups[last], groups[last + 1]
    if joint in TIGHT:
        return not _is_word(run[after[0] : after[1]])
    if joint != b" " or not (_is_short_number(run, here) and _is_short_number(run, after)):
        return False
    chained = last + 1 < len(joints) and joints[last + 1] != b" "
    return not chained and all(inner == b" " for inner in joints[first:last])


def _is_word(piece: bytes) -> bool:
    return len(piece) > 2 and piece.isalpha()


def _is_short_number(run: bytes, group: tuple[int, int]) -> bool:
    return group[1] - group[0] < 5 and run[group[0] : group[1]].isdigit()


def _even(joints: list[bytes], first: int, last: int) -> bool:
    """Whether one separator joins all groups, as people write an identifier."""
    kinds = set(joints[first:last])
    return len(kinds) < 2 or (len(kinds) == 2 and last - first > 2)


def is_phone(
    run: bytes, left: int, right: int, value: bytes, lengths: tuple[int, ...], before: bytes
) -> bool:
    """Whether the digits are a phone number: by their form, by the words around, or by a number plan."""
    value, _, extension = value.partition(b"X")
    if extension:
        lengths = (*lengths[:-1], lengths[-1] - len(extension) - 1)
    if len(extension) > 5 or not (extension or b"0").isdigit():
        return False
    if not value.isdigit() or not 7 <= len(value) <= 16:
        return False
    digits = value.decode()
    lead = run[max(0, left - 2) : left]
    if b"+" in lead:
        return 7 <= len(digits) <= 15
    if _is_written_as_phone(lead + run[left:right], digits, lengths):
        return True
    around = before + run[right : right + 8].lower()
    if PHONE_WORD.search(around):
        return len(set(digits)) > 2
    if not _may_be_written_so(digits, lengths):
        return False
    if len(value) == 11 and digits[0] == "1" and len(lengths) == 1:
        return not OTHER_THINGS.search(before) and _in_plan(digits, "CN")
    if len(value) != 10 and not (len(value) == 11 and digits[0] == "0"):
        return False
    return not OTHER_THINGS.search(before) and _in_some_plan(digits, written=len(lengths) > 1)


def _is_date_or_fraction(written: bytes, lengths: tuple[int, ...]) -> bool:
    if len(lengths) == 2 and b"." in written:
        # Nobody writes a number of theirs with one dot in it.
        return written.replace(b".", b"").isdigit()
    if lengths[:3] in (
        (4, 2, 2),
        (2, 2, 4),
        (1, 2, 4),
        (2, 1, 4),
        (1, 1, 4),
        (4, 1, 1),
        (4, 1, 2),
        (4, 2, 1),
    ):
        return written[:2] in (b"19", b"20") or written[-4:-2] in (b"19", b"20") or b"/" in written
    return False


def _may_be_written_so(digits: str, lengths: tuple[int, ...]) -> bool:
    """Whether nothing in the groups speaks against a phone number."""
    if lengths == (3, 3, 4) and digits[3] in "01":
        return False
    return lengths != (3, 2, 5) and (len(lengths) == 1 or lengths[-1] > 1)


def _is_written_as_phone(written: bytes, digits: str, lengths: tuple[int, ...]) -> bool:
    if b"(" in written and b")" in written:
        return len(digits) >= 8
    if lengths in TRUNK_LENGTHS and digits[0] == "0" and b"-" in written:
        return digits[1] != "0" and len(set(digits)) > 3
    return lengths[:3] == (3, 3, 4) and digits[0] in "23456789" and digits[3] in "23456789"


def _in_some_plan(digits: str, *, written: bool) -> bool:
    regions = WRITTEN_REGIONS
    if not written:
        if any(counted in digits for counted in COUNTED):
            return False
        if digits[0] == "0" and len(digits) == 10:
            return False
        regions = TRUNK_REGIONS if digits[0] == "0" else PLAIN_REGIONS
    return any(_in_plan(digits, region) for region in regions)


def _in_plan(digits: str, region: str) -> bool:
    return _plan(region).fullmatch(digits.encode()) is not None


@cache
def _plan(region: str) -> Any:
    """The numbers of a region, as phonenumbers describes them: its patterns, on a linear-time engine."""
    described = PhoneMetadata.metadata_for_region(region)
    if described is None:
        raise ValueError(f"phonenumbers knows no region {region}")
    kinds = [getattr(described, kind) for kind in KINDS]
    patterns = [kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern]
    return re2.compile(f"{described.national_prefix or ''}?(?:{'|'.join(patterns)})".encode())


def effort(value: bytes) -> int:
    """How many microseconds a look for numbers in `value` may take."""
    return 3 if _is_quad(value) else 30 + 3 * len(value)


def _is_quad(run: bytes) -> bool:
    """Whether this can only be an IP address; numbers are not written so."""
    return run.count(b".") == 3 and len(run) < 16 and run.translate(None, b"0123456789") == b"..."


def mac(data: bytes, start: int, end: int) -> list[Part]:
    """A hardware address of a device, not the broadcast or an empty one."""
    value = data[start:end].translate(None, b":-.").lower()
    return [(start, end, "DEVICE_ID")] if value not in EMPTY_MACS else []


def crypto(data: bytes, start: int, end: int) -> list[Part]:
    """A Bitcoin address with a valid checksum."""
    value = data[start:end].decode()
    return [(start, end, "CRYPTO")] if bitcoin.is_valid(value) or _is_bech32m(value) else []


def _is_bech32m(value: str) -> bool:
    """Whether this is a taproot address (BIP 350), which python-stdnum does not know."""
    value = value.lower() if value.isupper() else value
    if not value.startswith("bc1") or not value.islower() or not set(value[3:]) <= set(BECH32):
        return False
    check = 1
    for part in (3, 3, 0, 2, 3, *(BECH32.index(character) for character in value[3:])):
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ part
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check == BECH32M


CHECKS: Mapping[str, Check] = {
    "email": email,
    "ip_address": ip_address,
    "mac": mac,
    "bitcoin": crypto,
    "number": number,
}

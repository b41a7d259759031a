"""Whether an address, path, host or token in a text gives something internal away.

Checks in the form of `pii.Check`; what looks like a leak is in the rule files. Whether a token is random
enough to be a secret is judged by its entropy and by the words that people write where a secret would stand.
"""

import hashlib
import ipaddress
import math
import tomllib
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from socket import AF_INET, inet_pton

import re2

from hivemind.guards.pii import NEAR, Check, Part, is_version

SMALLEST_ENTROPY = 3.0
SECRET_ENTROPY = 3.2
HARMLESS_PATHS = frozenset({b"/dev/null", b"/dev/stdin", b"/dev/stdout", b"/dev/stderr", b"/dev/zero"})
PLACEHOLDERS = (
    b"example", b"placeholder", b"changeme", b"your", b"dummy", b"sample", b"redacted", b"xxxx", b"****",
    b"....", b"####", b"insert", b"todo", b"randomstring", b"abc123", b"tokenhere",
)  # fmt: skip
NOT_SECRET = (b"public", b"csrf", b"id:", b'id"', b"id'", b"id =", b"id=", b"key tag", b"kms", b"pidx")
"""Names beside which a random value is meant to be seen."""
LOOKED_UP_BY = re2.compile(
    rb"(?:cache|sort(?:ing)?|idempotency|partition|primary|foreign|model|object|row|lookup|index|group|routing|map|"
    rb"storage|bucket|translation|i18n|react|dedup(?:lication)?|hash|range|shard|site|publishable|message|metric|"
    rb"feature|config|state|query|search|natural|composite|unique|surrogate|locali[sz]ation|tokenizer|token_?type)"
    rb"[_. -]?(?:keys?|tokens?)?[\"'\x60\])]{0,3}\s{0,4}(?:=|:|:=|=>)\s{0,4}[\"'\x60]{0,3}$"
)
"""Names of keys that something is found by, which open nothing."""
CODE = re2.compile(
    rb"(?:this|self|os|process|config|settings|env|req(?:uest)?|options|params|props)\.[A-Za-z_].*|"
    rb"(?:[A-Za-z_$][a-z_$]{1,30}[0-9]{0,2}\.){1,4}[A-Za-z_$][A-Za-z_$]{1,40}[0-9]{0,2}\(?.{0,3}|"
    rb"[A-Za-z_]{2,40}[0-9]{0,2}\(.*"
)
"""A value that a program takes from somewhere else."""
TRIVIAL = frozenset((
    b"password", b"passwd", b"pass", b"pwd", b"secret", b"changeme", b"guest", b"root", b"admin", b"test",
    b"user", b"postgres", b"mysql", b"redis", b"mongo", b"rabbitmq", b"default", b"token", b"key",
))  # fmt: skip
"""What every manual writes for a password."""
JOINTS = bytes.maketrans(b"-._/", b"    ")
CAPITALS = bytes(range(0x41, 0x5B))
PRIVATE = tuple(
    (int(network.network_address), int(network.netmask))
    for network in map(
        ipaddress.IPv4Network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"),
    )
)


REQUEST = re2.compile(
    rb"(?:\b(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)(?: to| on| from)?|"
    rb"(?i:\b(?:endpoints?|routes?|urls?|uris?)))[ :=]{1,2}[\"'`(]?$"
)
"""What stands before the path of a request, which says nothing of a disk."""
OBJECTS = frozenset((
    b"this", b"self", b"props", b"obj", b"object", b"cls", b"super", b"module", b"window", b"state", b"ctx",
    b"params", b"options", b"import", b"package",
))  # fmt: skip
"""What attributes hang on in programs."""
ASSIGNED = re2.compile(rb" ?(?:=[^=]|\(|\[|\+=|-=)")
MENTIONED = re2.compile(rb"(?:^|[^A-Za-z0-9._+-])[@#]$")
ELISIONS = (b"..", b"\xe2\x80\xa6")
"""What stands behind a key that was shortened for showing."""
SEQUENCES = (b"0123456789" * 2 + b"1234567890" * 2, b"abcdefghijklmnopqrstuvwxyz")
LONGEST_SEQUENCE = 10


def _published() -> frozenset[str]:
    source = resources.files("hivemind.guards") / "rules" / "published.toml"
    return frozenset(tomllib.loads(source.read_text(encoding="utf-8"))["sha256"])


PUBLISHED = _published()


def is_made_up(value: bytes) -> bool:
    """Whether this was plainly typed or printed as an example: published as one, or counted through."""
    if hashlib.sha256(value).hexdigest()[:32] in PUBLISHED:
        return True
    low = value.lower()
    for at in range(0, len(low) - LONGEST_SEQUENCE, LONGEST_SEQUENCE // 2):
        part = low[at : at + LONGEST_SEQUENCE]
        if part.isalnum() and (part in SEQUENCES[0] or part in SEQUENCES[1]):
            return True
    return False


def entropy(value: bytes) -> float:
    """Return Shannon's entropy of the characters, in bits each."""
    size = len(value)
    if not size:
        return 0.0
    return math.log2(size) - sum([n * math.log2(n) for n in Counter(value).values()]) / size


def is_placeholder(value: bytes) -> bool:
    """Whether this is what people write where a secret would stand."""
    low = value.lower()
    return any(word in low for word in PLACEHOLDERS)


def random(data: bytes, start: int, end: int) -> list[Part]:
    """A token in a published format, unless it was plainly made up."""
    value = data[start:end]
    # Of a token in several parts the last is the secret one.
    if entropy(value) < SMALLEST_ENTROPY and entropy(value.rpartition(b"-")[2]) < SMALLEST_ENTROPY:
        return []
    if is_placeholder(value) or is_made_up(value):
        return []
    return [] if data[end : end + 3].startswith(ELISIONS) else [(start, end, "SECRET")]


def mixed(data: bytes, start: int, end: int) -> list[Part]:
    """A token of letters only: capitals and small ones, unlike the name of a function."""
    return random(data, start, end) if _is_mixed(data[start:end]) else []


def _is_mixed(value: bytes) -> bool:
    capitals = len(value) - len(value.translate(None, CAPITALS))
    return len(value) > 9 and len(value) * 0.2 < capitals < len(value) * 0.8


def credential(data: bytes, start: int, end: int) -> list[Part]:
    """A value where a credential stands: long and mixed, or short and random."""
    value = data[start:end]
    if is_placeholder(value) or entropy(value) < SECRET_ENTROPY:
        return []
    if not any(0x30 <= byte <= 0x39 for byte in value) or data[end : end + 3].startswith(ELISIONS):
        return []
    return [(start, end, "SECRET")]


def is_code(value: bytes) -> bool:
    """Whether this is an expression of a program, not a value."""
    return CODE.fullmatch(value) is not None


def url_login(data: bytes, start: int, end: int) -> list[Part]:
    """A URL with a password that is not the one of every manual."""
    user, _, password = data[start:end].partition(b"://")[2].rpartition(b"@")[0].partition(b":")
    if password.lower() in TRIVIAL and (user.lower() in TRIVIAL or not user or user == password):
        return []
    return [(start, end, "SECRET")]


def assigned(data: bytes, start: int, end: int) -> list[Part]:
    """A value that is assigned to a name which speaks of a secret."""
    value = data[start:end].rstrip(b".,;:")
    if not credential(data, start, start + len(value)):
        return []
    if len(value) < 10 and value.isalnum():
        return []
    before = data[max(0, start - 32) : start].lower()
    if any(word in before for word in NOT_SECRET) or LOOKED_UP_BY.search(before) or is_code(value):
        return []
    pieces = value.translate(JOINTS).split()
    if all(piece.isalpha() or piece.isdigit() or len(piece) < 4 for piece in pieces) and len(pieces) > 1:
        return []
    return [(start, start + len(value), "SECRET")]


def login(data: bytes, start: int, end: int) -> list[Part]:
    """A `user:password` on a command line."""
    value = data[start:end]
    user, _, password = value.translate(None, b"\"'{}").partition(b":")
    words = (b"password", b"pass", b"pwd", b"token", b"secret", b"username", b"user", b"key")
    if is_placeholder(value) or password.lower().strip(b"[]()%") in words or user.lower() == b"username":
        return []
    if user == password or not (any(0x30 <= byte <= 0x39 for byte in password) or _is_mixed(password)):
        return []
    return [(start, end, "SECRET")]


def password(data: bytes, start: int, end: int) -> list[Part]:
    """A word said to be a password: it must not be a plain word."""
    value = data[start:end].rstrip(b".,;:!?)")
    if is_code(value):
        return []
    kinds = (
        any(0x30 <= byte <= 0x39 for byte in value)
        + any(0x41 <= byte <= 0x5A for byte in value[1:])
        + any(byte in b"!@#$%^&*_+=~" for byte in value)
    )
    if kinds < 2 and not (kinds and len(value) > 7):
        return []
    return [(start, start + len(value), "SECRET")] if not is_placeholder(value) else []


def path(data: bytes, start: int, end: int) -> list[Part]:
    """A path, without the punctuation that ends a sentence."""
    value = data[start:end].rstrip(b".,;:!?)*&\\'")
    if value in HARMLESS_PATHS or len(value) < 4 or REQUEST.search(data[max(0, start - NEAR) : start]):
        return []
    return [(start, start + len(value), "FILE_PATH")]


def host(data: bytes, start: int, end: int) -> list[Part]:
    """A name of a machine of our own, not the attribute of an object."""
    value = data[start:end].lower()
    if value.partition(b".")[0] in OBJECTS or ASSIGNED.match(data[end : end + 8]):
        return []
    return [] if MENTIONED.search(data[max(0, start - 2) : start]) else [(start, end, "HOSTNAME")]


def unc(data: bytes, start: int, end: int) -> list[Part]:
    """A path on another Windows machine; a regular expression looks much like one."""
    value = data[start:end].rstrip(b".,;:!?)*&\\'")
    host = value.lstrip(b"\\").split(b"\\", 1)[0]
    if (
        len(host) < 3
        or b"\\" not in value.lstrip(b"\\")
        or any(mark in value for mark in (b"+", b"[", b"^", b"("))
    ):
        return []
    return [(start, start + len(value), "FILE_PATH")]


def private_ip(data: bytes, start: int, end: int) -> list[Part]:
    """An IPv4 address of a network that the internet does not route."""
    if is_version(data, start, end):
        return []
    try:
        address = int.from_bytes(inet_pton(AF_INET, data[start:end].decode()))
    except OSError:
        return []
    for network, mask in PRIVATE:
        if address & mask == network:
            return [(start, end, "PRIVATE_IP")]
    return []


def private_ip6(data: bytes, start: int, end: int) -> list[Part]:
    """An IPv6 address that is unique-local or link-local."""
    value = data[start:end]
    value = value if value.endswith(b"::") else value.rstrip(b":")
    # Not parsed: a reply may hold an address with a slip in it, and the prefix gives the network away.
    return [(start, start + len(value), "PRIVATE_IP")] if value.count(b":") > 1 else []


def port(data: bytes, start: int, end: int) -> list[Part]:
    """A port of an internal host."""
    return [(start, end, "PORT")] if 0 < int(data[start + 1 : end]) < 65536 else []


def effort(value: bytes) -> int:
    """How many microseconds it may take to tell a secret from what only looks like one."""
    return 12 + len(value) // 8


CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        random, mixed, credential, assigned, login, password, path, unc, private_ip, private_ip6, port, host,
        url_login,
    )
}  # fmt: skip

"""Which identifier a number or code is: looked up by its shape, believed by its check digits or its context.

The table is `rules/identifiers.toml`; the arithmetic is python-stdnum's, and the few checks that it does not
carry are at the end. Where the code stands in a text is the business of `pii`.
"""

import tomllib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module, resources
from typing import Any

import re2
from stdnum import iban, luhn
from stdnum.cn import ric as cn_ric
from stdnum.exceptions import ValidationError
from stdnum.fi import hetu as fi_hetu
from stdnum.iso7064 import mod_11_10
from stdnum.th import pin

from hivemind.guards.rule import Rule
from hivemind.guards.verdict import Severity

SHAPE = bytes.maketrans(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", b"9" * 10 + b"A" * 52
)
OTHER_THINGS = re2.compile(
    rb"\b(?:build|ticket|ref|reference|part no|order|invoice|version|issue|isbn|issn|ean|serial|sku|model|"
    rb"batch|commit|invalid|not a|catalogue)\b[^a-z]{0,4}(?:[a-z0-9]{1,10}[^a-z]{1,4})?$"
)
"""Words before a number that say it is something else."""
NOT_ONE = re2.compile(rb"\b(?:invalid|not an?|no valid|fake|wrong) [a-z]{0,12} ?$")
"""Words before a number that say it is not what its name says."""
COUNTED = ("2345678", "98765432")
"""What people type for a number that does not matter."""
COUNTED_THROUGH = "01234567890123456789"
CARD_LENGTHS = range(12, 20)
Check = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Identifier:
    """One row of the table."""

    name: str
    rule: Rule
    check: Check | None
    bare: bool
    groups: frozenset[tuple[int, ...]]
    words: tuple[bytes, ...]
    prefixes: tuple[str, ...]
    """How it may begin."""

    def fits(self, value: str) -> bool:
        """Whether `value` may be one of these by itself."""
        return value.startswith(self.prefixes) and (self.check is None or self.check(value))

    def named(self, before: bytes) -> bool:
        """Whether the text before a value says that it is one of these."""
        # Asked for thousands of values in one text: no generator.
        for word in self.words:  # noqa: SIM110
            if word in before:
                return True
        return False

    def written(self, lengths: tuple[int, ...]) -> bool:
        """Whether a value in groups of `lengths` needs no name."""
        return self.bare or lengths in self.groups


def identify(value: bytes, lengths: tuple[int, ...], before: bytes) -> Rule | None:
    """Return the rule of the identifier that `value` (capitals, no separators) is, if it is one."""
    shape = value.translate(SHAPE)
    text = value.decode("ascii")
    if shape.startswith(b"AA99") and 15 <= len(value) <= 34 and iban.is_valid(text):
        return RULES["iban"]
    if len(value) in CARD_LENGTHS and value.isdigit() and is_card(text, lengths):
        return RULES["payment_card"]
    if value.startswith(b"U1") and len(value) == 10 and it_driver(text):
        return RULES["dl_it"]
    rows = TABLE.get(shape)
    return _of_rows(rows, text, lengths, before) if rows else None


def _of_rows(rows: tuple[Identifier, ...], text: str, lengths: tuple[int, ...], before: bytes) -> Rule | None:
    named = [identifier for identifier in rows if identifier.named(before)]
    if named and not NOT_ONE.search(before):
        for identifier in named:
            if identifier.fits(text):
                return identifier.rule
    # What is called one thing, and is not one, is no other thing either.
    strictly = any(identifier.check is not None for identifier in named)
    if strictly or len(set(text)) < 3 or text in COUNTED_THROUGH or OTHER_THINGS.search(before):
        return None
    for identifier in rows:
        if identifier.written(lengths) and identifier.fits(text):
            return identifier.rule
    return None


def is_card(value: str, lengths: tuple[int, ...]) -> bool:
    """A payment card: a known first digit, Luhn, and groups as on the card."""
    if value[0] not in "23456" and not value.startswith(("1220", "1800")):
        return False
    if len(lengths) > 1 and lengths not in (
        (4, 4, 4, 4),
        (4, 6, 5),
        (4, 6, 4),
        (4, 4, 4, 4, 3),
        (4, 4, 4, 3),
        (4, 4, 4, 2),
        (4, 4, 4),
        (4, 4, 5),
    ):
        return False
    return luhn.is_valid(value) and len(set(value)) > 1


def _weighted(value: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(value, weights, strict=False))


def brn(value: str) -> bool:
    """Korean business registration: a weighted check digit."""
    total = _weighted(value[:9], (1, 3, 7, 1, 3, 7, 1, 3, 5)) + int(value[8]) * 5 // 10
    return (10 - total % 10) % 10 == int(value[9])


def icao(value: str) -> bool:
    """A machine-readable document: digits and letters weighted 7, 3, 1, the check digit last."""
    total = sum(int(character, 36) * (7, 3, 1)[index % 3] for index, character in enumerate(value[:-1]))
    return value[-1].isdigit() and total % 10 == int(value[-1])


def ric(value: str) -> bool:
    """Chinese resident: the check digit and a day that has been; some places the library does not know."""
    if not value[:-1].isdigit() or value[-1] != cn_ric.calc_check_digit(value):
        return False
    try:
        cn_ric.get_birth_date(value)
    except ValidationError:
        return False
    return True


def hetu(value: str) -> bool:
    """Finnish identity code, the temporary ones too."""
    try:
        fi_hetu.validate(f"{value[:6]}{value[6:]}", allow_temporary=True)
    except ValidationError:
        return False
    return True


def hetu_dash(value: str) -> bool:
    """Finnish identity code of the last century, its dash among the separators that were taken out."""
    return hetu(f"{value[:6]}-{value[6:]}")


def itin(value: str) -> bool:
    """American taxpayer number: 9, and the groups that are given."""
    group = int(value[3:5])
    return (
        value[0] == "9"
        and (50 <= group <= 65 or 70 <= group <= 88 or group in range(90, 100))
        and group != 93
    )


def idnr_sum(value: str) -> bool:
    """German tax number by its check digit alone."""
    return value[0] != "0" and bool(mod_11_10.is_valid(value))


def rvnr(value: str) -> bool:
    """German pension insurance: a birthday inside, and products' digit sums."""
    if not (1 <= int(value[2:4]) <= 31 or 51 <= int(value[2:4]) <= 81) or not 1 <= int(value[4:6]) <= 12:
        return False
    digits = f"{value[:8]}{ord(value[8]) - 64:02d}{value[9:11]}"
    weights = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    products = (int(digit) * weight for digit, weight in zip(digits, weights, strict=True))
    return sum(sum(divmod(product, 10)) for product in products) % 10 == int(value[11])


def gb_plate(value: str) -> bool:
    """British plate since 2001: letters that are used, and an age that exists."""
    age = int(value[2:4])
    return not set("IQ") & set(value) and (2 <= age <= 29 or 51 <= age <= 79)


def gb_old_plate(value: str) -> bool:
    """British plate before 2001: letters that stood for a year."""
    return not set("IQZ") & set(value) and value[0] not in "OU"


def th_pin(value: str) -> bool:
    """Thai identity number: a kind of person and a province before the check digit."""
    return value[0] in "12345678" and 10 <= int(value[1:3]) <= 96 and bool(pin.is_valid(value))


def kvnr(value: str) -> bool:
    """German health insurance: a letter as two digits, products' digit sums."""
    digits = f"{ord(value[0]) - 64:02d}{value[1:9]}"
    total = sum(sum(divmod(int(digit) * (1 + index % 2), 10)) for index, digit in enumerate(digits))
    return total % 10 == int(value[9])


def gstin(value: str) -> bool:
    """Indian goods and services tax: state 01-37 and a Z before the last."""
    return (1 <= int(value[:2]) <= 37 and value[13] == "Z") or value[12] == "Z"


def uk_driver(value: str) -> bool:
    """British driving licence: month and day of birth inside."""
    return value[6] in "0156" and 1 <= int(value[6:8]) % 50 <= 12 and 1 <= int(value[8:10]) <= 31


def kr_driver(value: str) -> bool:
    """Korean driving licence: region 11-28."""
    return 11 <= int(value[:2]) <= 28


def nino(value: str) -> bool:
    """British national insurance: prefixes that are given, suffix A-D."""
    return (
        value[0] not in "DFIQUV"
        and value[1] not in "DFIOQUV"
        and value[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")
        and value[8] in "ABCD"
    )


def nric(value: str) -> bool:
    """Singapore NRIC or FIN: first letter of a known series."""
    return value[0] in "STFGM" or value[0] == "A"


def kr_rrn(value: str) -> bool:
    """Korean resident or foreigner: a date and a century digit."""
    return 1 <= int(value[2:4]) <= 12 and 1 <= int(value[4:6]) <= 31 and value[6] in "12345678"


def kr_sum(value: str) -> bool:
    """Korean resident or foreigner with the check digit that was given until 2020."""
    rest = _weighted(value[:12], (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11
    check = (13 - rest) % 10 if value[6] in "5678" else (11 - rest) % 10
    dated = 1 <= int(value[2:4]) <= 12 and 1 <= int(value[4:6]) <= 31
    return dated and int(value[7:9]) < 97 and check == int(value[12])


def it_driver(value: str) -> bool:
    """Italian driving licence since 2013: consonants and digits."""
    return not set("AEIOQV") & set(value[2:9]) and value[2:9].isalnum() and value[9].isalpha()


def medicare(value: str) -> bool:
    """Australian Medicare card: first digit 2-6 and a weighted check digit."""
    return value[0] in "23456" and _weighted(value, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(value[8])


def mbi(value: str) -> bool:
    """American Medicare beneficiary: letters without those that look like digits."""
    return value[0] != "0" and not set("SLOIBZ") & set(value)


def npi(value: str) -> bool:
    """American provider: Luhn with the prefix 80840."""
    return value[0] in "12" and luhn.is_valid("80840" + value)


def dea(value: str) -> bool:
    """American prescriber: sums of odd and even places."""
    digits = [int(digit) for digit in value[-7:]]
    total = digits[0] + digits[2] + digits[4] + 2 * (digits[1] + digits[3] + digits[5])
    return total % 10 == digits[6] and value[0] in "ABCDEFGHJKLMNPRSTUX"


def tr_plate(value: str) -> bool:
    """Turkish plate: province 01-81."""
    return 1 <= int(value[:2]) <= 81


def _check(name: str | None) -> Check | None:
    if name is None:
        return None
    if name.startswith("@"):
        check: Check = globals()[name[1:]]
        return check
    valid: Check = import_module(f"stdnum.{name}").is_valid
    return valid


def _rules() -> dict[str, Rule]:
    return {
        name: Rule(
            id=f"pii.{name}",
            version=row["version"],
            category="pii",
            type=row["type"],
            severity=Severity(row["severity"]),
            pattern="|".join(row["shapes"]),
            trigger="",
            check=row.get("check"),
            examples=tuple(f"{row['words'][0]} {example}" for example in row["examples"]),
            counterexamples=tuple(
                f"{row['words'][0]} {example}" for example in row.get("counterexamples", ())
            ),
        )
        for name, row in ROWS.items()
    }


def _table() -> dict[bytes, tuple[Identifier, ...]]:
    rows: defaultdict[bytes, list[Identifier]] = defaultdict(list)
    for name, row in ROWS.items():
        groups = [when for when in row["when"] if when[0].isdigit()]
        identifier = Identifier(
            name=name,
            rule=RULES[name],
            check=_check(row.get("check")),
            bare="bare" in row["when"],
            groups=frozenset(tuple(map(int, group.split("-"))) for group in groups),
            words=tuple(word.encode() for word in row["words"]),
            prefixes=tuple(row.get("prefixes", ("",))),
        )
        for shape in row["shapes"]:
            rows[shape.encode()].append(identifier)
    return {shape: tuple(found) for shape, found in rows.items()}


ROWS: Mapping[str, Any] = tomllib.loads(
    (resources.files("hivemind.guards") / "rules" / "identifiers.toml").read_text(encoding="utf-8")
)
RULES: Mapping[str, Rule] = _rules()
"""What stands in the table, by its name there; `pii.number` finds where one of them may be."""
TABLE = _table()

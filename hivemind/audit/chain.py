"""Whether an export of the audit log is whole: each row's digest and hash, the links, the signed heads.

Reads lines and says what is wrong with which row; where the lines come from is the caller's business. The
forms that are hashed are specified in docs/reference/audit.md, and Postgres makes the same in
migrations/0003: two programs that check each other.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hivemind.audit.actions import Action
from hivemind.audit.signature import Head, is_signed, key_id

GENESIS = "00" * 32
# How far back a row is looked for that the next one should have followed.
_REMEMBERED = 4_096


class Number(str):
    """A number in the digits that the export has, which no float would keep."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and with which row (None: with the log as a whole)."""

    seq: int | None
    what: str


@dataclass(slots=True)
class Report:
    """What a verification found; the log is whole when there is no problem."""

    rows: int = 0
    erased: int = 0
    heads: int = 0
    unsealed: int = 0
    last_seq: int = 0
    last_hash: str = GENESIS
    signed_seq: int = 0
    signed_at: str | None = None
    problems: list[Problem] = field(default_factory=list)


def form(value: Any) -> str:
    """A JSON value as Postgres writes it: the keys of an object by length and then by bytes."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return "{" + ", ".join(f"{form(key)}: {form(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(form, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def digest_of(row: Mapping[str, Any]) -> str:
    """The salted digest of what may be erased."""
    content = form([row["detail"], row["text"]])
    return hashlib.sha256(bytes.fromhex(row["salt"]) + content.encode()).hexdigest()


def hash_of(row: Mapping[str, Any]) -> str:
    """The hash of a row over its predecessor's."""
    names = ("at", "action", "profile_id", "agent_id", "turn_id", "caller", "digest")
    entry = form(["hivemind-audit-1", *(row[name] for name in names)])
    return hashlib.sha256(bytes.fromhex(row["previous"]) + entry.encode()).hexdigest()


class Verifier:
    """Takes the lines of an export in their order; `finish` says whether that was the whole log.

    After each problem it goes on from the row as it stands, so that one changed row is one problem.
    """

    def __init__(self, public_keys: Iterable[bytes]) -> None:
        self._keys = {key_id(public): public for public in public_keys}
        self._report = Report()
        self._recent: OrderedDict[str, int] = OrderedDict({GENESIS: 0})
        self._awaited: dict[str, int] = {}
        # Of each agent the newest erased row; whose conversations were erased; and what was erased by age.
        self._erased: dict[str | None, tuple[str, int]] = {}
        self._erasures: set[str | None] = set()
        self._expired_before = ""
        self._end: int | None = None

    def line(self, text: str) -> None:
        """Take one line of the export."""
        try:
            row = json.loads(text, parse_int=Number, parse_float=Number)
            kind = row["kind"]
            if kind == "entry":
                self._entry(row)
            elif kind == "head":
                self._head(
                    Head(int(row["seq"]), row["hash"], row["signed_at"], row["key_id"], row["signature"])
                )
            elif kind == "end":
                self._end, self._report.unsealed = int(row["seq"]), int(row["unsealed"])
            else:
                self._problem(None, f"a line of the unknown kind {kind!r}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._problem(None, f"a line after row {self._report.last_seq} is not of an export: {error!r}")

    def finish(self, *, anchors: Iterable[Head] = ()) -> Report:
        """The report; `anchors` are signed heads from outside the log, which it has to reach."""
        report = self._report
        if self._end is None:
            self._problem(None, "the export is cut off: its last line is missing")
        elif self._end > report.last_seq:
            self._problem(None, f"rows {report.last_seq + 1} to {self._end} are missing at the end")
        for agent_id, (at, seq) in self._erased.items():
            if agent_id not in self._erasures and at >= self._expired_before:
                self._problem(seq, "its text was removed, and no erasure is recorded")
        for head in anchors:
            if head.seq > report.last_seq and self._trusts(head):
                self._problem(
                    None,
                    f"the log ends at row {report.last_seq}, and a head of row {head.seq} was signed: "
                    f"rows {report.last_seq + 1} to {head.seq} are missing",
                )
        return report

    def _entry(self, row: Mapping[str, Any]) -> None:
        report, seq = self._report, int(row["seq"])
        gap = seq != report.last_seq + 1
        if gap:
            self._problem(seq, _missing(report.last_seq + 1, seq - 1))
        if row["erased_at"] is None:
            if digest_of(row) != row["digest"]:
                self._problem(seq, "its text or detail was changed")
        else:
            report.erased += 1
            newest = self._erased.get(row["agent_id"], ("", 0))
            self._erased[row["agent_id"]] = max(newest, (row["at"], seq))
            if row["text"] is not None or row["detail"] is not None:
                self._problem(seq, "it counts as erased and has a text")
        if hash_of(row) != row["hash"]:
            self._problem(seq, "it was changed")
        if row["action"] == Action.CONVERSATION_ERASED:
            self._erasures.add(row["agent_id"])
        elif row["action"] == Action.AUDIT_EXPIRED:
            self._expired_before = max(self._expired_before, row["detail"]["before"])
        if row["previous"] != report.last_hash and not gap:
            self._out_of_place(seq, row)
        report.rows += 1
        report.last_seq, report.last_hash = seq, row["hash"]
        self._recent[row["hash"]] = seq
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)

    def _out_of_place(self, seq: int, row: Mapping[str, Any]) -> None:
        follows = self._recent.get(row["previous"])
        wanted_by = self._awaited.pop(row["hash"], None)
        if wanted_by is not None:
            self._problem(seq, f"it was moved: it belongs before row {wanted_by}")
        elif follows is None:
            self._awaited[row["previous"]] = seq
            self._problem(seq, f"it does not follow row {seq - 1}: a row between them was removed or moved")
        elif follows + 1 == seq - 1:
            self._problem(seq - 1, "it was inserted")
        elif follows < seq - 1:
            self._problem(seq - 1, f"rows {follows + 1} to {seq - 1} were inserted or moved")

    def _head(self, head: Head) -> None:
        report = self._report
        report.heads += 1
        if head.key_id not in self._keys:
            self._problem(head.seq, f"its head is signed by the unknown key {head.key_id}")
        elif not self._trusts(head):
            self._problem(head.seq, f"the signature of its head of {head.signed_at} is wrong")
        elif self._recent.get(head.hash) != head.seq:
            self._problem(
                head.seq,
                f"its head, signed at {head.signed_at}, has another hash: rows "
                f"{report.signed_seq + 1} to {head.seq} were written anew or are missing",
            )
        else:
            report.signed_seq, report.signed_at = head.seq, head.signed_at

    def _trusts(self, head: Head) -> bool:
        public = self._keys.get(head.key_id)
        return public is not None and is_signed(head, public)

    def _problem(self, seq: int | None, what: str) -> None:
        self._report.problems.append(Problem(seq, what))


def _missing(first: int, last: int) -> str:
    if last < first:
        return "it is out of order"
    return (
        f"row {first} is missing before it"
        if first == last
        else f"rows {first} to {last} are missing before it"
    )

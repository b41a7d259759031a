"""Replacing what may not pass by typed placeholders, in one text or in a text that arrives in pieces.

`Redaction` is the only place that removes anything: whole texts, streams, what comes in and what goes out all
run through `feed`. It sees text stretch by stretch (`stretch`) and keeps the little that a later stretch
needs: the last bytes as context, the numbers given to values, and whether a value is still open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import re2

from hivemind.guards import leaks, pii, stretch
from hivemind.guards.matcher import Matcher
from hivemind.guards.rule import Rule
from hivemind.guards.verdict import Finding

CHECKS = {**pii.CHECKS, **leaks.CHECKS}
CONTEXT = 96
"""How many bytes before a stretch a rule may look at."""
KEPT = CONTEXT + 16
"""How many are kept: some more, so that word boundaries at the edge are the same in every slicing."""
OPEN_LIMIT = 32_768
"""A value without an end is given up after so many bytes."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A rule ready to measure: its compiled pattern, the group that is the value, its check."""

    rule: Rule
    pattern: Any
    group: int
    check: pii.Check | None
    until: Any
    order: int

    @classmethod
    def of(cls, rule: Rule, order: int) -> "Measure":
        """Compile `rule`; an unusable pattern is an error at the start, not at the first message."""
        pattern = re2.compile(rule.pattern.encode())
        return cls(
            rule=rule,
            pattern=pattern,
            group=pattern.groupindex.get(b"v", 0),
            check=CHECKS[rule.check] if rule.check else None,
            until=re2.compile(rule.until.encode()) if rule.until else None,
            order=order,
        )


@dataclass(frozen=True, slots=True)
class Hit:
    """A value found: bytes of the data at hand."""

    start: int
    end: int
    type: str
    measure: Measure


class Redaction:
    """One text on its way through; `feed` it whole stretches, in order, nothing twice."""

    def __init__(self, matcher: Matcher, measures: Mapping[int, Sequence[Measure]]) -> None:
        self.findings: list[Finding] = []
        self._matcher = matcher
        self._measures = measures
        self._context = b""
        self._passed = 0
        self._numbers: dict[tuple[str, bytes], int] = {}
        self._counts: dict[str, int] = {}
        self._in_word = False
        self._until: Measure | None = None
        self._swallowed = 0

    @property
    def context(self) -> bytes:
        """The bytes before the next feed, as far as any rule may look."""
        return self._context

    @property
    def open(self) -> bool:
        """Whether a value found earlier goes on in the next feed."""
        return self._in_word or self._until is not None

    def whole(self, text: str, data: bytes, hits: list[tuple[int, int]]) -> str:
        """Return what may pass of a complete `text` that was scanned already."""
        if any(number in self._measures for _, number in hits):
            return self._redact(data, 0, hits)
        return text

    def feed(self, data: bytes, begin: int) -> str:
        """Return what may pass of `data[begin:]`; `data[:begin]` is the context."""
        hits = self._matcher.scan(data)
        if not self.open and not any(end > begin and number in self._measures for end, number in hits):
            text = data[begin:].decode("utf-8", "surrogatepass")
            self._passed += len(text)
            self._context = data[-KEPT:]
            return text
        return self._redact(data, begin, hits)

    def swallow(self, data: bytes, begin: int) -> int:
        """Remove what belongs to the open value, and return where `data` goes on."""
        end = self._swallow(data, data.translate(stretch.CLASSES), begin)
        self._skip(data, begin, end)
        self._context = data[max(0, end - KEPT) : end]
        return end

    def _redact(self, data: bytes, begin: int, hits: list[tuple[int, int]]) -> str:
        kinds = data.translate(stretch.CLASSES)
        out: list[str] = []
        done = begin
        floor = self._swallow(data, kinds, begin) if self.open else begin
        self._skip(data, done, floor)
        done = floor
        size = len(data)
        index = 0
        while index < len(hits) and floor < size:
            position = hits[index][0] - 1
            if position < floor or hits[index][1] not in self._measures:
                index += 1
                continue
            start = stretch.start_of(data, kinds, position, floor)
            end = stretch.end_of(data, kinds, position, min(size, position + stretch.LONGEST + 2))
            forced = False
            while end - start > stretch.LONGEST:
                cut = stretch.aligned(data, start + stretch.LONGEST)
                if position < cut:
                    end, forced = cut, True
                    break
                start = cut
            numbers: set[int] = set()
            while index < len(hits) and hits[index][0] <= max(end, position + 1):
                numbers.add(hits[index][1])
                index += 1
            floor = end
            for hit in self._measure(data, start, end, numbers):
                out.append(self._pass(data, done, hit.start))
                out.append(self._replace(data, hit))
                done = hit.end
                if hit.measure.until:
                    self._until, self._swallowed = hit.measure, 0
                elif forced and hit.end == end:
                    self._in_word = True
            if self.open:
                # What a swallowed stretch held after the hit is not measured again: it is gone.
                floor = self._swallow(data, kinds, done)
                self._skip(data, done, floor)
                done = floor
        out.append(self._pass(data, done, size))
        self._context = data[-KEPT:]
        return "".join(out)

    def _measure(self, data: bytes, start: int, end: int, numbers: set[int]) -> list[Hit]:
        base = max(0, start - CONTEXT - 8)
        left = stretch.aligned(data, max(0, start - CONTEXT)) - base
        # RE2 lets assertions see past an end position, so the window is cut out.
        window = data[base:end]
        inside = max(0, start - base - 1)
        hits: list[Hit] = []
        for number in numbers:
            for measure in self._measures.get(number, ()):
                group, check = measure.group, measure.check
                for match in measure.pattern.finditer(window, left if measure.rule.context else inside):
                    first, last = match.span(group)
                    if first + base < start or (first == last and measure.until is None):
                        continue
                    if check is None:
                        hits.append(Hit(first + base, last + base, measure.rule.type, measure))
                    else:
                        hits += [
                            Hit(a + base, b + base, kind, measure)
                            for a, b, kind in check(window, first, last)
                        ]
        return _apart(hits) if len(hits) > 1 else hits

    def _pass(self, data: bytes, start: int, end: int) -> str:
        text = data[start:end].decode("utf-8", "surrogatepass")
        self._passed += len(text)
        return text

    def _skip(self, data: bytes, start: int, end: int) -> None:
        """Count what was swallowed, as part of the value before it."""
        length = len(data[start:end].decode("utf-8", "surrogatepass"))
        if length:
            self._passed += length
            last = self.findings[-1]
            self.findings[-1] = Finding(
                last.rule, last.version, last.category, last.type, last.severity, last.start, self._passed
            )

    def _replace(self, data: bytes, hit: Hit) -> str:
        value = data[hit.start : hit.end]
        start = self._passed
        self._passed += len(value.decode("utf-8", "surrogatepass"))
        rule = hit.measure.rule
        self.findings.append(
            Finding(rule.id, rule.version, rule.category, hit.type, rule.severity, start, self._passed)
        )
        key = (hit.type, value.lower())
        number = self._numbers.get(key)
        if number is None or hit.measure.until:
            number = self._numbers[key] = self._counts.get(hit.type, 0) + 1
            self._counts[hit.type] = number
        return f"[{hit.type}_{number}]"

    def _swallow(self, data: bytes, kinds: bytes, begin: int) -> int:
        """Return where the open value ends, and close it; the end of `data` when it goes on."""
        if self._in_word:
            gap = kinds.find(b" ", begin)
            if gap < 0:
                return len(data)
            self._in_word = False
            return gap
        assert self._until is not None
        assert self._until.until is not None
        left = begin - min(begin, self._swallowed)
        limit = min(len(data), begin + OPEN_LIMIT - self._swallowed)
        match = self._until.until.search(data, left, limit)
        if match is not None and match.end() > begin:
            self._until = None
            return int(match.end())
        if limit < len(data):
            self._until = None
            return stretch.aligned(data, limit)
        self._swallowed += limit - begin
        return limit


def _apart(hits: list[Hit]) -> list[Hit]:
    """Where hits overlap keep the longest, then the first rule's; after one without an end none counts."""
    hits.sort(key=lambda hit: (hit.start - hit.end, hit.measure.order, hit.start))
    kept: list[Hit] = []
    for hit in hits:
        if all(hit.end <= other.start or hit.start >= other.end for other in kept):
            kept.append(hit)
    kept.sort(key=lambda hit: hit.start)
    for position, hit in enumerate(kept):
        if hit.measure.until:
            return kept[: position + 1]
    return kept

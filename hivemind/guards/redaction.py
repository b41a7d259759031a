"""Replacing what may not pass by typed placeholders, in one text or in a text that arrives in pieces.

`Redaction` is the only place that removes anything: whole texts, streams, what comes in and what goes out all
run through `feed`. It sees text stretch by stretch (`stretch`) and keeps the little that a later stretch
needs: the numbers given to values, and whether a value is still open.

The work is bounded: what is measured is counted, and where a text asks for more than its length allows, a
region of it is withheld unread. The count depends on the text alone, so streams and whole texts agree.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import re2

from hivemind.guards import leaks, pii, stretch
from hivemind.guards.matcher import Matcher
from hivemind.guards.rule import Rule
from hivemind.guards.verdict import Finding, Severity

CHECKS = {**pii.CHECKS, **leaks.CHECKS}
EFFORTS = {"number": pii.effort, **dict.fromkeys(leaks.CHECKS, leaks.effort)}
CONTEXT = 96
"""How many bytes before a stretch a rule may look at."""
KEPT = CONTEXT + 16
"""How many are kept: some more, so that word boundaries at the edge are the same in every slicing."""
OPEN_LIMIT = 32_768
"""A value without an end is given up after so many bytes."""
MOST_HITS = 256
"""A scan stops here and goes on behind the stretches that it has found; each hit is a call into Python."""
NEXT_SCAN = 8_192
"""Behind a scan that has stopped the next one looks no further than this, not at all the rest again."""
LOOKS_AHEAD = 16
FREE_EFFORT = 6_000
BYTES_PER_EFFORT = 32
"""Effort is counted in microseconds of a small machine: so much at once, and one more for so many bytes."""
RESCAN_EFFORT = 200
"""Behind a value whose end must be looked for, the scan begins anew."""
REGION = 1_024
"""At least so much is withheld when the effort is used up."""
LONGEST_CHARACTER = 4
WITHHELD = "limit.too_dense"


@dataclass(frozen=True, slots=True)
class Measure:
    """A rule ready to measure: its compiled pattern, the group that is the value, its check."""

    rule: Rule
    pattern: Any
    group: int
    check: pii.Check | None
    until: Any
    order: int
    effort: Callable[[bytes], int] | None
    """What the check takes for a value, where that is more than usual."""

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
            effort=EFFORTS.get(rule.check or ""),
        )


@dataclass(frozen=True, slots=True)
class Hit:
    """A value found: bytes of the data at hand."""

    start: int
    end: int
    type: str
    measure: Measure
    rule: Rule


class Redaction:
    """One text on its way through; `feed` it whole stretches, in order, nothing twice."""

    def __init__(
        self, matcher: Matcher, measures: Mapping[int, Sequence[Measure]], free_effort: int = FREE_EFFORT
    ) -> None:
        self.findings: list[Finding] = []
        self._matcher = matcher
        self._measures = measures
        self._passed = 0
        self._numbers: dict[tuple[str, bytes], int] = {}
        self._counts: dict[str, int] = {}
        self._in_word = False
        self._until: Measure | None = None
        self._swallowed = 0
        self._offset = 0
        self._spent = 0
        self._free_effort = free_effort
        self._withheld = 0

    @property
    def open(self) -> bool:
        """Whether a value found earlier goes on in the next feed."""
        return self._in_word or self._withheld > 0 or self._until is not None

    @property
    def spent(self) -> int:
        """The effort so far."""
        return self._spent

    def let(self, data: bytes, begin: int, end: int) -> str:
        """Return `data[begin:end]`, whole stretches in which no trigger fires while nothing is open."""
        self._offset += end - begin
        return self._pass(data, begin, end)

    def feed(self, data: bytes, begin: int) -> str:
        """Return what may pass of `data[begin:]`; the last `KEPT` bytes or more stand before it."""
        size = len(data)
        kinds = b""
        out: list[str] = []
        # Told, measured and scanned so far; a stretch never starts before what was measured.
        done = floor = seen = begin
        reach = size
        while seen < size:
            if self.open:
                kinds = kinds or data.translate(stretch.CLASSES)
                floor = seen = self._swallow(data, kinds, done)
                self._skip(data, done, floor)
                done = floor
                continue
            limit = min(size, seen + reach)
            hits = self._scan(data, seen, limit, MOST_HITS)
            stopped = len(hits) == MOST_HITS
            complete = limit == size and not stopped
            if complete and not hits:
                break
            kinds = kinds or data.translate(stretch.CLASSES)
            # What a trigger needs to see behind its hit may lie behind the limit.
            seen = size if complete else hits[-1][0] if stopped else limit - LOOKS_AHEAD
            reach = reach if complete else NEXT_SCAN
            for start, end, forced, numbers in self._stretches(data, kinds, floor, hits, complete=complete):
                short = self._spent - self._free_effort - (self._offset + start - begin) // BYTES_PER_EFFORT
                if short > 0:
                    # The first byte of a character may stand outside the word that its others are in.
                    seen = stretch.aligned(data, start)
                    out += (
                        self._pass(data, done, seen),
                        self._withhold(max(REGION, short * BYTES_PER_EFFORT)),
                    )
                    done = seen
                    break
                floor = end
                seen = max(seen, end)
                done = self._replaced(data, start, end, numbers, done, out, forced=forced)
                if self.open:
                    # What a swallowed stretch held after the hit is not measured again: it is gone.
                    seen = done
                    break
        if self.open:
            kinds = kinds or data.translate(stretch.CLASSES)
            floor = self._swallow(data, kinds, done)
            self._skip(data, done, floor)
            done = floor
        out.append(self._pass(data, done, size))
        self._offset += size - begin
        return "".join(out)

    def _replaced(
        self,
        data: bytes,
        start: int,
        end: int,
        numbers: Sequence[int],
        done: int,
        out: list[str],
        *,
        forced: bool,
    ) -> int:
        """Replace in one stretch what its rules find; return how far `out` has come."""
        self._spent += 5 + len(numbers)
        for hit in self._measure(data, start, end, frozenset(numbers)):
            out += (self._pass(data, done, hit.start), self._replace(data, hit))
            done = hit.end
            if hit.measure.until:
                self._until, self._swallowed = hit.measure, 0
                self._spent += RESCAN_EFFORT
            elif forced and hit.end == end:
                self._in_word = True
        return done

    def swallow(self, data: bytes, begin: int) -> int:
        """Remove what belongs to the open value, and return where `data` goes on."""
        end = self._swallow(data, data.translate(stretch.CLASSES), begin)
        self._skip(data, begin, end)
        self._offset += end - begin
        return end

    def _scan(self, data: bytes, seen: int, end: int, most: int | None) -> list[tuple[int, int]]:
        """Return the hits that end behind `seen`, with enough before them to be those of the whole text."""
        left = max(0, seen - KEPT)
        part = data[left:end] if left or end < len(data) else data
        hits = self._matcher.scan(part, seen - left, most)
        return [(at + left, number) for at, number in hits] if left else hits

    def _stretches(
        self, data: bytes, kinds: bytes, floor: int, hits: list[tuple[int, int]], *, complete: bool
    ) -> Iterator[tuple[int, int, bool, list[int]]]:
        """Yield each stretch with hits: where it is, whether it was cut, and which triggers fired."""
        index = 0
        while index < len(hits):
            position = hits[index][0] - 1
            if position < floor or hits[index][1] not in self._measures:
                index += 1
                continue
            start, end, forced = _stretch_around(data, kinds, position, floor)
            floor = end
            last = max(end, position + 1)
            first = index
            while index < len(hits) and hits[index][0] <= last:
                index += 1
            here = hits[first:index]
            if index == len(hits) and not complete:
                # The scan stopped inside: this stretch has hits that are not known yet.
                here = self._scan(data, position, last, None)
            yield start, end, forced, [number for _, number in here if number in self._measures]

    def _withhold(self, size: int) -> str:
        self._withheld = size
        self._spent += RESCAN_EFFORT
        number = self._counts[WITHHELD] = self._counts.get(WITHHELD, 0) + 1
        self.findings.append(
            Finding(WITHHELD, 1, "limit", "WITHHELD", Severity.LOW, self._passed, self._passed)
        )
        return f"[WITHHELD_{number}]"

    def _measure(self, data: bytes, start: int, end: int, numbers: AbstractSet[int]) -> list[Hit]:
        base = max(0, start - CONTEXT - 8)
        left = stretch.aligned(data, max(0, start - CONTEXT)) - base
        # RE2 lets assertions see past an end position, so the window is cut out.
        window = data[base:end]
        inside = max(0, start - base - 1)
        hits: list[Hit] = []
        for number in numbers:
            for measure in self._measures.get(number, ()):
                group, check = measure.group, measure.check
                self._spent += 4
                position = left if measure.rule.context else inside
                while (match := measure.pattern.search(window, position)) is not None:
                    first, last = match.span(group)
                    # What bounds one value on its right may bound the next one on its left.
                    position = last if last > position else position + 1
                    if first + base < start or (first == last and measure.until is None):
                        continue
                    self._spent += 8 + (last - first) // 8
                    if measure.effort is not None:
                        self._spent += measure.effort(window[first:last])
                    if check is None:
                        hits.append(Hit(first + base, last + base, measure.rule.type, measure, measure.rule))
                    else:
                        hits += [
                            Hit(
                                part[0] + base,
                                part[1] + base,
                                part[2],
                                measure,
                                part[3] if len(part) == 4 else measure.rule,
                            )
                            for part in check(window, first, last)
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
        rule = hit.rule
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
        if self._withheld:
            taken = min(self._withheld, len(data) - begin)
            self._withheld -= taken
            self._in_word = self._withheld == 0
            begin += taken
        if self._withheld:
            return begin
        if self._in_word:
            gap = kinds.find(b" ", begin)
            # Where a value may go on behind a space, what follows is withheld too.
            while gap > 0 and data[gap] == stretch.SPACE and kinds[gap - 1] in stretch.MAY_JOIN:
                gap = kinds.find(b" ", gap + 1)
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


def _stretch_around(data: bytes, kinds: bytes, position: int, floor: int) -> tuple[int, int, bool]:
    """Return the stretch that holds `position`, and whether it was cut because it is too long."""
    start = stretch.start_of(data, kinds, position, floor)
    end = stretch.end_of(data, kinds, position, min(len(data), position + stretch.LONGEST + 2))
    while end - start > stretch.LONGEST:
        cut = stretch.aligned(data, start + stretch.LONGEST)
        if position < cut:
            return start, cut, True
        start = cut
    # A stream is cut before it is known whether more follows, at a character's start: so long is cut, too.
    return start, end, end - start > stretch.LONGEST - LONGEST_CHARACTER


def _apart(hits: list[Hit]) -> list[Hit]:
    """Where hits overlap keep the longest, then the first rule's; after one without an end none counts."""
    hits.sort(key=lambda hit: (hit.start - hit.end, hit.measure.order, hit.start))
    kept: list[Hit] = []
    starts: list[int] = []
    for hit in hits:
        # Those that are kept lie apart, so only the two neighbours can overlap.
        at = bisect_left(starts, hit.start)
        if (at < len(kept) and kept[at].start < hit.end) or (at and kept[at - 1].end > hit.start):
            continue
        kept.insert(at, hit)
        starts.insert(at, hit.start)
    for position, hit in enumerate(kept):
        if hit.measure.until:
            return kept[: position + 1]
    return kept

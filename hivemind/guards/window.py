"""The hold-back window: a text that streams through the guards as if it had been whole.

Holds back the last stretch only, because the characters still to come may make a value of it. For any text
and any slicing the released pieces together are what one `feed` of the whole text returns. While no trigger
fires, which the stream form of the matcher says, a stretch goes on without being looked at again.
"""

from hivemind.errors import GuardFailed
from hivemind.guards import stretch
from hivemind.guards.matcher import StreamMatcher
from hivemind.guards.redaction import KEPT, Redaction
from hivemind.guards.verdict import Finding

TRIMMED = 512
"""So many bytes that are decided stay before those that wait, until they are cut to what a rule may see."""


class HoldBack:
    """One stream; what `push` and `finish` return may be shown, and nothing else of the text."""

    def __init__(self, redaction: Redaction, streams: StreamMatcher) -> None:
        self._redaction = redaction
        self._streams = streams
        self._watch = streams.watch()
        self._data = b""
        self._begin = 0
        """What is held begins here; before it stands what came last."""
        self._closed = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found in the part that is decided."""
        return tuple(self._redaction.findings)

    @property
    def held(self) -> int:
        """How many bytes wait for what comes next."""
        return len(self._data) - self._begin

    def push(self, delta: str) -> str:
        """Take the next piece and return what may be shown now, often nothing."""
        if self._closed:
            raise ValueError("the stream is finished")
        try:
            data = delta.encode("utf-8", "surrogatepass")
            self._data += data
            if not self._watch.push(data):
                return self._measured()
            begin = self._begin
            cut = stretch.next_cut(self._data, begin)
            if cut == begin:
                return ""
            released = self._redaction.let(self._data, begin, cut)
            self._go_on(cut)
        except Exception as error:
            self._closed = True
            raise GuardFailed("The reply could not be checked") from error
        return released

    def finish(self) -> str:
        """Return the rest; the end of the text decides whatever was open."""
        if self._closed:
            raise ValueError("the stream is finished")
        self._closed = True
        try:
            data, begin = self._data, self._begin
            self._data, self._begin = b"", 0
            return self._redaction.feed(data, begin)
        except Exception as error:
            raise GuardFailed("The reply could not be checked") from error

    def _measured(self) -> str:
        """Release what can be decided of a text in which a trigger has fired."""
        redaction, released = self._redaction, ""
        while self.held:
            data, begin = self._data, self._begin
            if redaction.open:
                cut = redaction.swallow(data, begin)
            else:
                cut = stretch.next_cut(data, begin)
                if cut == begin:
                    break
                released += redaction.feed(data[:cut], begin)
            self._go_on(cut)
        if not redaction.open:
            self._watch = self._streams.watch(self._data[max(0, self._begin - KEPT) : self._begin])
            self._watch.push(self._data[self._begin :])
        return released

    def _go_on(self, cut: int) -> None:
        if cut > TRIMMED:
            self._data, cut = self._data[cut - KEPT :], KEPT
        self._begin = cut

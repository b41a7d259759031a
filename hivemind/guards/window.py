"""The hold-back window: a text that streams through the guards as if it had been whole.

Holds back the last stretch only, because the characters still to come may make a value of it. For any text
and any slicing the released pieces together are what one `feed` of the whole text returns.
"""

from hivemind.errors import GuardFailed
from hivemind.guards import stretch
from hivemind.guards.redaction import Redaction
from hivemind.guards.verdict import Finding


class HoldBack:
    """One stream; what `push` and `finish` return may be shown, and nothing else of the text."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._held = b""
        self._closed = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found in the part that is decided."""
        return tuple(self._redaction.findings)

    @property
    def held(self) -> int:
        """How many bytes wait for what comes next."""
        return len(self._held)

    def push(self, delta: str) -> str:
        """Take the next piece and return what may be shown now, often nothing."""
        if self._closed:
            raise ValueError("the stream is finished")
        try:
            self._held += delta.encode("utf-8", "surrogatepass")
            return self._release()
        except Exception as error:
            self._closed = True
            raise GuardFailed("The reply could not be checked") from error

    def finish(self) -> str:
        """Return the rest; the end of the text decides whatever was open."""
        if self._closed:
            raise ValueError("the stream is finished")
        self._closed = True
        try:
            context = self._redaction.context
            data, self._held = context + self._held, b""
            return self._redaction.feed(data, len(context))
        except Exception as error:
            raise GuardFailed("The reply could not be checked") from error

    def _release(self) -> str:
        redaction = self._redaction
        released = ""
        while self._held:
            context = redaction.context
            begin = len(context)
            data = context + self._held
            if redaction.open:
                cut = redaction.swallow(data, begin)
            else:
                cut = stretch.last_cut(data, data.translate(stretch.CLASSES), begin)
                if cut == begin:
                    break
                released += redaction.feed(data[:cut], begin)
            self._held = data[cut:]
        return released

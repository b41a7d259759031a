"""Calls of a client's tools on their way to it: what it has not sent itself is redacted as in any answer.

Pure, but for the guards that are passed in. Which calls are handed over is the loop's business.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from hivemind.agents.given import Given
from hivemind.guards import OutputVerdict
from hivemind.guards.document import passed_json
from hivemind.providers import ToolCall

# A folder that a client named lets everything below it pass; the first name of a path says nothing.
_LEAST_NAMES = 2
_ESCAPES = (("\\n", "\n"), ("\\t", "\t"), ("\\r", "\r"), ('\\"', '"'), ("\\/", "/"), ("\\\\", "\\"))
_JOINTS = ".-_"


class Sent:
    """What a client has sent in a conversation: to hand it back gives nothing away."""

    def __init__(self, texts: Iterable[str]) -> None:
        plain = "\n".join(texts)
        # Much of it is JSON inside of JSON.
        self._texts = (plain, _unescaped(plain)) if "\\" in plain else (plain,)

    @classmethod
    def of(cls, text: str, given: Given) -> "Sent":
        """Everything of a request, the guarded form of it: what the guards took out was not sent."""
        messages = (*given.before, *given.after)
        return cls(
            (
                text,
                given.instructions,
                *(message.text for message in messages),
                *(call.arguments for message in messages for call in message.tool_calls),
                *(f"{tool.description}\n{json.dumps(dict(tool.parameters))}" for tool in given.tools),
            )
        )

    def holds(self, value: str, kind: str) -> bool:
        """Whether a value is in it as a whole; of a path, whether a folder that it lies in is."""
        forms = {value, _unescaped(value)}
        if kind == "FILE_PATH":
            forms |= {folder for form in tuple(forms) for folder in _folders(form)}
        return any(_stands_in(form, text) for form in forms for text in self._texts)


def handed_over(call: ToolCall, sent: Sent, check: Callable[[str], OutputVerdict]) -> ToolCall:
    """A call as the client may read it."""

    def passed(piece: str) -> str:
        return _passed(piece, check(piece), sent)

    return replace(call, arguments=passed_json(call.arguments, passed))


def _passed(piece: str, verdict: OutputVerdict, sent: Sent) -> str:
    findings = sorted(verdict.findings, key=lambda finding: finding.start)
    known = [sent.holds(piece[f.start : f.end], f.type) for f in findings]
    if not any(known) or any(finding.category == "limit" for finding in findings):
        return verdict.text
    parts: list[str] = []
    done = 0
    counts: dict[str, int] = {}
    for finding, is_known in zip(findings, known, strict=True):
        if is_known:
            continue
        number = counts[finding.type] = counts.get(finding.type, 0) + 1
        parts += (piece[done : finding.start], f"[{finding.type}_{number}]")
        done = finding.end
    return "".join((*parts, piece[done:]))


def _folders(path: str) -> Iterator[str]:
    """The folders that a path lies in, without the outermost ones."""
    parts = path.replace("\\", "/").split("/")
    if ".." in parts:
        return
    at = len(path)
    while (at := max(path.rfind("/", 0, at), path.rfind("\\", 0, at))) > 0:
        folder = path[:at]
        names = [name for name in folder.replace("\\", "/").split("/") if name and not name.endswith(":")]
        if len(names) < _LEAST_NAMES:
            return
        yield folder


def _stands_in(value: str, text: str) -> bool:
    """Whether a value is in a text and not a part of a longer one."""
    at = text.find(value) if value else -1
    while at >= 0:
        before, behind = text[max(0, at - 2) : at], text[at + len(value) : at + len(value) + 2]
        if (value[0] == ":" or not _goes_on(before[::-1])) and not _goes_on(behind):
            return True
        at = text.find(value, at + 1)
    return False


def _goes_on(beside: str) -> bool:
    """Whether a value does not end here; `beside` is what follows, from the value on outwards."""
    joined = beside[:1].isalnum() or beside[:1] == "_"
    return joined or (len(beside) == 2 and beside[0] in _JOINTS and beside[1].isalnum())


def _unescaped(text: str) -> str:
    for written, meant in _ESCAPES:
        text = text.replace(written, meant)
    return text

"""How passages are shown to a model, and whether an answer is supported by those it was shown.

Pure: the tool writes by this, the turn of a `documents_only` profile decides by it.
"""

from collections.abc import Iterable, Sequence

import re2

from hivemind.knowledge.search import Found

NOTHING_FOUND = "No passage of the documents matches this."
# What stands in place of an answer that no passage supports.
REFUSAL = "I have no document that supports an answer to this."
# What a profile that answers from documents only adds to its prompt.
PROMPT = (
    "Answer only from passages that the tool knowledge_search returns in this turn; search before you "
    "answer. Give the id of each passage that you use right after the sentence, like [p:12]. "
    "Do not answer from anything else. If no passage supports an answer, say so."
)

_HEAD = re2.compile(r"(?m)^\[p:([0-9]{1,18})\] ")
_CITED = re2.compile(r"\[p:([0-9]{1,18})\]")


def shown(found: Sequence[Found]) -> str:
    """Passages as the model reads them: the head line is ours, the words of the document stand behind `>`."""
    if not found:
        return NOTHING_FOUND
    parts = []
    for passage in found:
        where = f"{passage.title}, part {passage.number + 1}"
        where += f", {passage.source}" if passage.source else ""
        words = "\n".join(f"> {line}" for line in passage.text.splitlines())
        parts.append(f"[p:{passage.id}] {where}\n{words}")
    return "\n\n".join((*parts, "Cite what you use by its id, like [p:12]."))


def ids_shown(outcomes: Iterable[str]) -> frozenset[int]:
    """The passages that results of `knowledge_search` showed; what a document itself says does not count."""
    return frozenset(int(number) for text in outcomes for number in _HEAD.findall(text))


def ids_cited(reply: str) -> frozenset[int]:
    """The passages that an answer cites."""
    return frozenset(int(number) for number in _CITED.findall(reply))


def refusal(reply: str, outcomes: Iterable[str]) -> str | None:
    """What to say instead of an answer that no passage supports; None where the answer may stand.

    It may where it cites a passage that was shown in this turn, and none that was not.
    """
    cited = ids_cited(reply)
    return None if cited and cited <= ids_shown(outcomes) else REFUSAL

"""Documents, the passages that a search finds in them, and what an answer has to cite."""

from hivemind.knowledge.citations import NOTHING_FOUND, PROMPT, REFUSAL, refusal, shown
from hivemind.knowledge.documents import Document, Draft, create, delete, document, documents, replace
from hivemind.knowledge.search import Found, passage, search
from hivemind.knowledge.small_talk import reply_to

__all__ = [
    "NOTHING_FOUND",
    "PROMPT",
    "REFUSAL",
    "Document",
    "Draft",
    "Found",
    "create",
    "delete",
    "document",
    "documents",
    "passage",
    "refusal",
    "replace",
    "reply_to",
    "search",
    "shown",
]

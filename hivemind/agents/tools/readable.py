"""What a page says, as text for a model: no scripts, no styles, no markup, links after their words.

Linear-time patterns rather than a parser: pages come from strangers. Not a renderer; what it gets wrong is
layout.
"""

import html
from collections.abc import Iterator

import re2

_GONE = [
    re2.compile(rf"(?is)<{name}\b[^>]*>.*?</{name}\s*>")
    for name in ("script", "style", "noscript", "svg", "template", "head")
]
_COMMENT = re2.compile(r"(?s)<!--.*?-->")
_TITLE = re2.compile(r"(?is)<title\b[^>]*>(.*?)</title\s*>")
_LINK = re2.compile(r"""(?is)<a\b[^>]*?\bhref\s*=\s*["']?(https?://[^"'\s>]+)["']?[^>]*>(.*?)</a\s*>""")
_BREAK = re2.compile(
    r"(?i)</?(?:p|div|br|h[1-6]|li|ul|ol|tr|table|section|article|header|footer|pre|blockquote|hr|dt|dd)\b[^>]*>"
)
_TAG = re2.compile(r"(?s)<[a-zA-Z/!?][^>]*>")


def readable(page: str) -> str:
    """The text of an HTML page, its title first."""
    title = _TITLE.search(page)
    text: str = _COMMENT.sub(" ", page)
    for pattern in _GONE:
        text = pattern.sub(" ", text)
    text = _LINK.sub(r"\2 (\1)", text)
    text = _TAG.sub(" ", _BREAK.sub("\n", text))
    text = "\n".join(_lines(html.unescape(text))).strip()
    if title is not None and (words := " ".join(html.unescape(_TAG.sub("", title[1])).split())):
        return f"{words}\n\n{text}"
    return text


def _lines(text: str) -> Iterator[str]:
    """The lines with single spaces, and no more than one empty line at once."""
    empty = False
    for line in text.split("\n"):
        words = " ".join(line.split())
        if words or not empty:
            yield words
        empty = not words

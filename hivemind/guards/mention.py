"""What a text says by itself, without what it only mentions.

Mentioned is a phrase that is quoted where somebody asks or writes about attacks, and what an author forbids.
An attack in quotation marks inside a text about attacks passes for that: who reads about them may ask.
"""

from typing import Any

import re2

LONGEST_QUESTION = 1_000
"""A longer text is no question about a phrase."""
LONGEST_TREATISE = 4_000
"""A longer text is taken at its word."""
QUOTED = re2.compile(
    r"(?i)\b(?:phrases?|strings?|words|texts?|patterns?|regex(?:es)?|expressions?|terms?|examples?|keywords?|"
    r"(?:sentence|prompt|message|attempt|thing|input|request)s? like|e\.g\.|such as|says|said|reads|contains|"
    r"containing|called|titled|named|quotes|attacks?|lists?|"
    r"blocks|detects|flags|catches|matches|filters|why|what does|"
    r"mean(?:ing|s)(?: of| by)?|difference between) ?[,:]? {0,2}"
    r"(?P<said>[\"'`\x{ab}\x{2018}\x{201c}][^\"'`\x{bb}\x{2019}\x{201d}\n]{4,100}[\"'`\x{bb}\x{2019}\x{201d}])"
)
"""A phrase in quotation marks that is spoken of, not spoken."""
SUBJECT = re2.compile(
    r"(?i)\b(?:prompt[- ]injections?|injections? (?:attacks?|attempts?|patterns?|payloads?|vocabulary|"
    r"detect\w*)|jailbreak(?:s|ing)? (?:attempts?|attacks?|prompts?|detect\w*|templates?)|red[- ]?team\w*|"
    r"adversarial|attack (?:strings?|patterns?|vectors?|types?|style)|attackers?|"
    r"false (?:positives?|alarms?)|guardrails?|detectors?|detection|classifiers?|heuristics?|"
    r"regex(?:es)?|benchmarks?|scanners?|owasp|"
    r"vulnerabilit(?:y|ies)|attacks?)\b"
)
"""Words of those who write about attacks; two different ones make a text one about them."""
SAID = re2.compile(
    r"[\"`\x{ab}\x{201c}](?:[^\"`\x{bb}\x{201d}\n]|\n[^\n\"`]){4,120}[\"`\x{bb}\x{201d}]|"
    r"'(?:[^'\n]|\n[^\n']){12,120}'"
)
FORBIDDEN = re2.compile(
    r"(?i)\b(?:do not|don't|never|must not|should not|cannot|shall not) (?:ever )?"
    r"(?P<said>(?:follow|execute|obey|comply with|act on|perform|carry out) (?:any |the |all |those |these )*"
    r"(?:instructions?|commands?|directives?|requests?|orders) (?:that (?:are|appear) )?"
    r"(?:found|written|embedded|contained|hidden|given|inside|within|in)\b[^.\n]{0,60})"
)
"""To do what a document says."""


def spoken(text: str) -> str:
    """Return `text` with `x` for each character that it only mentions."""
    if len(text) >= LONGEST_TREATISE:
        return text
    if len(text) < LONGEST_QUESTION:
        text = QUOTED.sub(_crossed_out, text)
    if len({word.lower() for word in SUBJECT.findall(text)}) > 1:
        text = SAID.sub(lambda match: "x" * len(match.group()), text)
    return str(FORBIDDEN.sub(_crossed_out, text))


def _crossed_out(match: Any) -> str:
    said = match.group("said")
    return str(match.group()[: -len(said)] + "x" * len(said))

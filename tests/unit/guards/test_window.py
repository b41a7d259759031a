"""Streaming equals whole: for any text and any slicing, and nothing withheld ever leaves.

What is held back is the last word (the last stretch), because each word may still become a value; that no less
will do is shown here, and that no rule's match is longer than what may be held.
"""

import json
import random
import re
import re._constants as constants
import re._parser as parser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hivemind.errors import GuardRefused
from hivemind.guards import Guards, rule, stretch
from hivemind.guards.matcher import Watch
from hivemind.guards.redaction import KEPT, Redaction

RULES = rule.load()
GUARDS = Guards(RULES)

PIECES = [
    " ", "  ", "\n", ", ", ". ", ": ", " - ", "(", ")", '"', "é", "日本", "😀", "\u00a0", "the ", "call me on ", "IBAN ", "A",
    "my password is ", "ada@example.org", "+49 30 123456", "(415) 555-0132", "4111 1111 1111 1111", "4111111111111111",
    "GB82 WEST 1234 5698 7654 32", "GB82WEST12345698765432", "536-90-4399", "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6",
    "10.1.2.3", ":8080", "fd12:3456::1", "2001:db8::1", "/home/ada/notes.txt", r"C:\Program Files\Hive\a.docx",
    r"\\fs01\share\a", "db1.prod.internal", "localhost:99", "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----",
    "MIIBVgIBADANBgkqhkiG9w0BAQEFAASC", "api_key = ", "'xV7nr@Vo#uh9R4'", "Authorization: Bearer ", "hU7!kqQ2zz9", "1", "22", "AB12",
    "postgres://svc:hunter2@db/core", "born on 12/04/1990", "AB 12 34 56 C", "-Fax", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.abcdefghij",
]  # fmt: skip

texts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=24).map("".join)


def streamed(text: str, cuts: list[int]) -> tuple[str, list[str], tuple]:
    window = GUARDS.window()
    released = []
    marks = sorted({cut % (len(text) + 1) for cut in cuts} | {0, len(text)})
    for start, end in zip(marks, marks[1:], strict=False):
        released.append(window.push(text[start:end]))
    released.append(window.finish())
    return "".join(released), released, window.findings


@settings(max_examples=600, deadline=None)
@given(text=texts, cuts=st.lists(st.integers(0, 400), max_size=12))
def test_streaming_equals_whole(text, cuts):
    whole = GUARDS.check_output(text)
    joined, _, findings = streamed(text, cuts)
    assert joined == whole.text
    assert findings == whole.findings


@settings(max_examples=150, deadline=None)
@given(text=texts)
def test_one_character_at_a_time(text):
    whole = GUARDS.check_output(text)
    joined, _, findings = streamed(text, list(range(len(text))))
    assert (joined, findings) == (whole.text, whole.findings)


@settings(max_examples=60, deadline=None)
@given(
    filler=st.sampled_from(["x", "1 ", "A", "é", "日", "ab/", "1.", "QUJD", "A1 "]),
    around=st.integers(stretch.LONGEST - 40, 2 * stretch.LONGEST + 40),
    inner=st.sampled_from(PIECES),
    cuts=st.lists(st.integers(0, 20_000), max_size=8),
)
def test_text_without_a_place_to_cut(filler, around, inner, cuts):
    text = (filler * around)[:around] + inner + (filler * around)[:around] + " end"
    whole = GUARDS.check_output(text)
    joined, _, findings = streamed(text, cuts)
    assert (joined, findings) == (whole.text, whole.findings)


@pytest.mark.parametrize("letter", ["x", "é"])
@pytest.mark.parametrize("more", range(2026, 2036))
def test_a_value_up_to_the_place_where_a_word_is_cut(letter, more):
    text = "x" * 2032 + "C:\\Program Files\\Hive\\a.docx" + (letter * more)[:more] + " end"
    whole = GUARDS.check_output(text)
    for cut in range(4080, 4096):
        joined, _, findings = streamed(text, [cut])
        assert (joined, findings) == (whole.text, whole.findings), cut


def test_text_that_is_withheld_beside_characters_of_several_bytes():
    text = "1 " * 1004 + "日本" + "1 " * 1004 + " end"
    whole = GUARDS.check_output(text)
    assert "[WITHHELD_1]" in whole.text
    joined, _, findings = streamed(text, [2008, 2009, 2010, 3000])
    assert (joined, findings) == (whole.text, whole.findings)


@settings(max_examples=200, deadline=None)
@given(text=texts)
def test_findings_account_for_every_character(text):
    """The guarded text is the original with each finding's span replaced, nothing else changed."""
    whole = GUARDS.check_output(text)
    position, rebuilt = 0, whole.text
    for finding in whole.findings:
        kept = text[position : finding.start]
        assert rebuilt.startswith(kept)
        rebuilt = rebuilt[len(kept) :]
        assert rebuilt.startswith(f"[{finding.type}_")
        rebuilt = rebuilt[rebuilt.index("]") + 1 :]
        position = finding.end
    assert rebuilt == text[position:]


class EverythingFires:
    """A matcher that suspects every rule at every byte."""

    def scan(self, data: bytes, after: int = 0, most: int | None = None) -> list[tuple[int, int]]:
        hits = [(end, number) for end in range(after + 1, len(data) + 1) for number in GUARDS._outgoing]
        return hits[:most]


@settings(max_examples=60, deadline=None)
@given(text=texts)
def test_triggers_lose_nothing(text):
    """Measuring every rule everywhere finds no more than measuring where a trigger fired."""
    everywhere = Redaction(EverythingFires(), GUARDS._outgoing, free_effort=10_000_000)
    assert everywhere.feed(text.encode(errors="surrogatepass"), 0) == GUARDS.check_output(text).text


CORPORA = Path(__file__).parents[4] / "shared" / "corpora"


@pytest.mark.skipif(not CORPORA.exists(), reason="the corpora are not beside this checkout")
@pytest.mark.parametrize("name", ["leaks", "pii", "prompts"])
def test_streaming_equals_whole_over_the_corpora(name):
    """A tenth of each, in slices as tokens come and in slices that nobody would make."""
    source = random.Random(name)
    # A text with a bare line feed in it breaks the form of its line; it is left out.
    lines = (CORPORA / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")
    for line in source.sample(lines, len(lines) // 10):
        if not line.startswith("{") or not line.endswith("}"):
            continue
        text = json.loads(line, strict=False)["text"][:20_000]
        whole = GUARDS.check_output(text)
        size = source.choice([1, 3, 17, 200])
        cuts = [at + source.randrange(size) for at in range(0, len(text), size)]
        joined, _, findings = streamed(text, cuts)
        assert (joined, findings) == (whole.text, whole.findings), text


@pytest.mark.parametrize(
    ("held", "rest"),
    [
        ("Hello", "@example.org"),
        ("the word", ".internal is ours"),
        ("it's", "@example.org"),
        ("done.", "corp is down"),
        ("call 415", " 555-0132"),
        ("my password is hunter,", "2Xyz!9"),
        ("AB12", "3456C and"),
        ("Ada", ".Lovelace@example.org"),
        ("C:", r"\\Users\\ada\\x.txt"),
        ("and/", "home/ada/notes.txt"),
        ("at 10", ".1.2.3 ok"),
        ("the id is GB82 WEST", " 1234 5698 7654 32"),
    ],
)
def test_what_is_held_may_still_become_a_value(held, rest):
    """Released a character earlier, some continuation of it would have been let out."""
    window = GUARDS.window()
    shown = window.push(held)
    whole = GUARDS.check_output(held + rest).text
    common = len(shown)
    assert whole.startswith(shown), "nothing is let out that the whole would withhold"
    assert window.held > 0
    if held != "and/":
        assert not whole.startswith(held), "the whole withholds some of what is held"
    assert shown + window.push(rest) + window.finish() == whole
    assert common == len(shown)


def test_what_no_rule_can_reach_is_let_go():
    for text in ("Hello ", "Hello, ", "(see below), ", "a - b ", "日本語", "ten\n", "done. "):
        window = GUARDS.window()
        shown = window.push(text)
        assert len(shown.encode()) + window.held == len(text.encode())
        assert window.held <= len(text[-1].encode()), text


def longest_match(pattern: str) -> int | None:
    """The most bytes that the pattern matches; None where nothing bounds it."""
    plain = re.sub(r"\\x\{[0-9a-fA-F]+\}", "x", pattern).replace(r"\z", r"\Z")
    longest = parser.parse(plain.encode(), 0).getwidth()[1]
    return None if longest >= constants.MAXREPEAT else longest


@pytest.mark.parametrize("one", [one for one in RULES if one.category != "injection"], ids=lambda one: one.id)
def test_no_match_is_longer_than_what_may_be_held(one):
    """A rule without a bound ends with its word, and a longer word is withheld to its end (see below)."""
    longest = longest_match(one.pattern)
    assert longest is None or longest <= stretch.LONGEST


def test_a_word_that_never_ends_is_held_for_so_long_only():
    window = GUARDS.window()
    worst = 0
    for _ in range(20_000):
        window.push("x")
        worst = max(worst, window.held)
    assert worst <= stretch.LONGEST + 1


def test_plain_words_wait_for_one_word_only():
    window = GUARDS.window()
    assert window.push("Hello") == ""
    assert window.push(" wor") == "Hello"
    assert window.push("ld, how") == " world,"
    assert window.finish() == " how"


def test_a_value_in_two_deltas_never_shows():
    window = GUARDS.window()
    shown = (
        window.push("the key is ghp_aB3dE6gH9jK2")
        + window.push("mN5pQ8sT1vW4yZ7bC0eF3hJ6 ok")
        + window.finish()
    )
    assert shown == "the key is [SECRET_1] ok"


def test_an_open_key_is_swallowed_to_its_end():
    window = GUARDS.window()
    shown = window.push("-----BEGIN PRIVATE KEY-----\nMIIB\nVgIB")
    shown += window.push("ADAN\n-----END PRIV") + window.push("ATE KEY-----\nbye")
    assert shown + window.finish() == "-----BEGIN PRIVATE KEY-----[SECRET_1]\nbye"


def test_a_failing_guard_refuses(monkeypatch):
    window = GUARDS.window()
    for matcher in (GUARDS._matcher, GUARDS._incoming_matcher):
        monkeypatch.setattr(matcher, "scan", lambda *_: 1 / 0)
    for call in (GUARDS.check_input, GUARDS.check_output):
        with pytest.raises(GuardRefused):
            call("hello")
    with pytest.raises(GuardRefused):
        window.push("ada@example.org there ")
    with pytest.raises(ValueError, match="finished"):
        window.push("more")


def test_a_stream_that_cannot_be_followed_refuses(monkeypatch):
    window = GUARDS.window()
    monkeypatch.setattr(Watch, "push", lambda *_: 1 / 0)
    with pytest.raises(GuardRefused):
        window.push("hello there ")


@settings(max_examples=300, deadline=None)
@given(text=texts, cuts=st.lists(st.integers(0, 400), max_size=12))
def test_a_stream_is_quiet_as_long_as_a_scan_of_the_whole_finds_nothing(text, cuts):
    data = text.encode(errors="surrogatepass")
    marks = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    watch = GUARDS._streams.watch()
    for start, end in zip(marks, marks[1:], strict=False):
        assert watch.push(data[start:end]) == (not GUARDS._matcher.scan(data[:end]))


@settings(max_examples=200, deadline=None)
@given(text=texts, at=st.integers(0, 400))
def test_a_stream_that_is_taken_up_behind_a_context_sees_what_the_whole_would_show(text, at):
    data = text.encode(errors="surrogatepass")
    at %= len(data) + 1
    watch = GUARDS._streams.watch(data[max(0, at - KEPT) : at])
    assert watch.push(data[at:]) == (not GUARDS._matcher.scan(data, at))


def test_a_stream_says_nothing_of_what_stood_before_it():
    watch = GUARDS._streams.watch(b"ada@example.org")
    assert watch.quiet
    assert watch.push(b" and ")
    assert not watch.push(b"10.0.0.1 ")
    assert not watch.push(b"and")


def test_a_finished_stream_takes_no_more():
    window = GUARDS.window()
    window.finish()
    with pytest.raises(ValueError, match="finished"):
        window.push("x")

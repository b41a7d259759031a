"""A document is cut so that nothing is lost and what belongs together stays together."""

from hypothesis import given
from hypothesis import strategies as st

from hivemind.knowledge.passages import OVERLAP_CHARS, PASSAGE_CHARS, split


def test_a_short_text_is_one_passage():
    (only,) = split("\n\nHello.\n\nAnd again.\n")
    assert (only.starts_at, only.text) == (2, "Hello.\n\nAnd again.")


def test_nothing_is_no_passage():
    assert split("") == []
    assert split(" \n\n \n") == []


def test_paragraphs_stay_whole_where_they_fit():
    paragraphs = [f"Paragraph {n}. " + "word " * 60 for n in range(12)]
    passages = split("\n\n".join(paragraphs))
    for paragraph in paragraphs:
        assert any(paragraph.strip() in passage.text for passage in passages)


def test_a_long_paragraph_is_cut_after_a_sentence():
    text = " ".join(f"Sentence {n} says something." for n in range(200))
    passages = split(text)
    assert all(passage.text.endswith(".") for passage in passages)
    assert all(passage.text.startswith("Sentence") for passage in passages)


def test_neighbours_share_what_is_said_across_the_cut():
    text = " ".join(f"Sentence {n} says something." for n in range(200))
    passages = split(text)
    for before, after in zip(passages, passages[1:], strict=False):
        shared = before.starts_at + len(before.text) - after.starts_at
        assert 0 < shared <= OVERLAP_CHARS


def test_text_without_a_place_to_cut_is_cut_all_the_same():
    passages = split("x" * 10_000)
    assert all(len(passage.text) <= PASSAGE_CHARS for passage in passages)
    assert len(passages) < 20


TEXTS = st.text(st.sampled_from("ab .!?\n。é"), max_size=400)


@given(TEXTS, st.integers(30, 60), st.integers(0, 20))
def test_every_passage_stands_in_the_text_and_nothing_is_left_out(text, size, overlap):
    passages = split(text, size, overlap)
    covered = set()
    for passage in passages:
        end = passage.starts_at + len(passage.text)
        assert passage.text == text[passage.starts_at : end]
        assert 0 < len(passage.text) <= size
        covered.update(range(passage.starts_at, end))
    assert all(text[at].isspace() for at in range(len(text)) if at not in covered)
    starts = [passage.starts_at for passage in passages]
    assert starts == sorted(set(starts))

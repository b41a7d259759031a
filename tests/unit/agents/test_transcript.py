"""A client's conversation is stored as what is new in it."""

from dataclasses import replace

from hivemind.agents.given import Given
from hivemind.agents.transcript import Transcript
from hivemind.providers import ProviderMessage, ToolCall, ToolSpec


def said(*texts):
    return tuple(
        ProviderMessage("assistant" if number % 2 else "user", text) for number, text in enumerate(texts)
    )


def digests(transcript):
    return [digest for digest, _, _ in transcript.parts]


def test_a_request_that_goes_on_adds_what_is_new():
    first = Transcript.of("two", Given("be kind", said("one", "yes"), tools=(ToolSpec("t", "", {}),)))
    second = Transcript.of(
        "three", Given("be kind", said("one", "yes", "two", "well"), tools=(ToolSpec("t", "", {}),))
    )
    assert set(digests(first)) <= set(digests(second))
    assert len(set(digests(second)) - set(digests(first))) == 2
    assert (first.instructions, first.tools) == (second.instructions, second.tools)


def test_a_loop_of_calls_adds_what_is_new():
    call = ProviderMessage("assistant", "", (ToolCall("c", "t", "{}"),))
    result = ProviderMessage("tool", "12", (), "c")
    first = Transcript.of("now", Given(before=said("one", "yes")))
    second = Transcript.of("now", Given(before=said("one", "yes"), after=(call, result)))
    later = Transcript.of("thanks", Given(before=(*said("one", "yes", "now"), call, result)))
    assert digests(second)[: len(first.parts)] == digests(first) and second.after == 2
    assert digests(later)[:-1] == digests(second) and later.after == 0


def test_the_same_words_elsewhere_are_another_part():
    one = Transcript.of("b", Given(before=said("a", "x")))
    other = Transcript.of("b", Given(before=said("c", "x")))
    assert not set(digests(one)) & set(digests(other))


def test_each_part_names_the_one_before_it_and_parents_come_first():
    transcript = Transcript.of("c", Given(before=said("a", "b")))
    seen = []
    for digest, parent, _ in transcript.parts:
        assert parent is None or parent in seen
        seen.append(digest)
    assert transcript.tip == seen[2]


def test_what_is_wanted_is_kept_with_the_request():
    given = Given(tool_choice="none", max_output_tokens=5, temperature=0.5, stop=("x",))
    wishes = Transcript.of("a", given).wishes
    assert wishes == {"tool_choice": "none", "max_output_tokens": 5, "temperature": 0.5, "stop": ["x"]}
    assert replace(given, stop=()) != given

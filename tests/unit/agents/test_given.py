"""What a client gives along: never more than the profile allows."""

from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from hivemind.agents.bounds import Bounds
from hivemind.agents.given import Given
from hivemind.agents.profile import Profile
from hivemind.agents.turn import compose
from hivemind.providers import ProviderMessage, ToolCall, ToolSpec

PROFILE = Profile(
    UUID(int=1), "hello", "Hello", "Be kind.", 1, None, None, 100, 50, 4, 0.5, "refuse", "queue", "finish",
    None, Bounds(), 60, "deny",
)  # fmt: skip
OWN = (ToolSpec("own", "", {}),)

text = st.text(max_size=20)
messages = st.lists(
    st.builds(
        ProviderMessage,
        st.sampled_from(["user", "assistant", "tool"]),
        text,
        st.lists(st.builds(ToolCall, text, text, text), max_size=2).map(tuple),
        st.none() | text,
    ),
    max_size=4,
).map(tuple)
givens = st.builds(
    Given,
    text,
    messages,
    messages,
    st.lists(st.builds(ToolSpec, text, text, st.dictionaries(text, text, max_size=2)), max_size=2).map(tuple),
    st.none() | text,
    st.none() | st.integers(1, 1000),
    st.none() | st.floats(0, 2),
    st.lists(text, max_size=2).map(tuple),
)


@given(givens)
def test_it_adds_to_what_is_the_profiles_and_takes_nothing_away(value):
    request = compose(PROFILE, "m", [ProviderMessage("user", "kept")], "now", None, OWN, value)
    assert request.system.startswith("Be kind.") and request.tools == OWN + value.tools
    assert request.max_output_tokens <= PROFILE.max_output_tokens
    # Its conversation is the client's.
    assert all(message.text != "kept" for message in request.messages)
    at = request.messages.index(ProviderMessage("user", "now"), len(request.messages) - len(value.after) - 1)
    assert request.messages[at + 1 :] == value.after
    before = request.messages[:at]
    assert (
        len(before) <= PROFILE.history_messages and before == value.before[len(value.before) - len(before) :]
    )
    assert not before or before[0].role == "user"


def test_a_small_window_keeps_what_is_answered():
    long = tuple(ProviderMessage("user", f"{n}" * 90) for n in range(4))
    after = (ProviderMessage("assistant", "x" * 90),)
    request = compose(PROFILE, "m", [], "now", 180, (), Given(before=long, after=after))
    kept = [message.text[0] for message in request.messages]
    assert kept[-2:] == ["n", "x"] and 0 < len(kept) - 2 < 4
    unlimited = compose(PROFILE, "m", [], "now", None, (), Given(before=long, after=after))
    assert len(unlimited.messages) == 6


def test_without_it_nothing_is_as_it_was_given():
    plain = compose(PROFILE, "m", [], "now", None, OWN)
    assert compose(PROFILE, "m", [], "now", None, OWN, Given()) == plain
    assert replace(plain, tools=()) == compose(PROFILE, "m", [], "now", None)

"""What a model is asked, and what a turn costs, are decided without a model."""

from types import SimpleNamespace
from uuid import UUID

from hivemind.agents.admission import take_up
from hivemind.agents.bounds import Bounds
from hivemind.agents.journal import Unfinished
from hivemind.agents.profile import Profile
from hivemind.agents.tools.catalogue import Catalogue
from hivemind.agents.tools.toolbox import Toolbox
from hivemind.agents.turn import NOTHING_USED, Resources, Turn, compose
from hivemind.budgets import Price, Prices
from hivemind.providers import ProviderMessage, ProviderRequest
from hivemind.providers import Usage as ProviderUsage

PROFILE = Profile(
    id=UUID(int=1),
    slug="hello",
    name="Hello",
    prompt="Be kind.",
    tier=1,
    model=None,
    cheaper_model=None,
    max_messages_per_minute=None,
    max_input_chars=100,
    max_output_tokens=50,
    history_messages=4,
    injection_threshold=0.5,
    on_injection="refuse",
    when_busy="queue",
    when_client_leaves="finish",
    tools={},
    bounds=Bounds(),
    approval_seconds=60,
    on_approval_deadline="deny",
)
HISTORY = [ProviderMessage("user" if n % 2 == 0 else "assistant", f"{n}" * 90) for n in range(10)]


def turn(**changes):
    request = ProviderRequest("m", "system", (ProviderMessage("user", "question"),), 50)
    defaults = {"id": UUID(int=3), "agent_id": UUID(int=4), "epoch": 1, "text": "question"}
    asked = {
        name: changes.pop(name)
        for name in ("asked", "received_bytes", "usage", "released")
        if name in changes
    }
    opened = Turn(
        **defaults,
        profile=PROFILE,
        caller="somebody",
        base=request,
        price=Price(3_000_000, 15_000_000),
        **changes,
    )
    for name, value in asked.items():
        setattr(opened, name, value)
    return opened


def test_the_newest_history_comes_first_to_be_kept():
    request = compose(PROFILE, "m", HISTORY, "now", None)
    assert [message.text[0] for message in request.messages] == ["6", "7", "8", "9", "n"]
    assert request.system == "Be kind."


def test_history_that_does_not_fit_the_window_is_left_out_and_begins_with_a_question():
    request = compose(PROFILE, "m", HISTORY, "now", 200)
    assert [message.role for message in request.messages] == ["user", "assistant", "user"]
    assert request.messages[0].text[0] == "8"


def test_a_window_that_takes_nothing_still_takes_the_message():
    assert [m.text for m in compose(PROFILE, "m", HISTORY, "now", 60).messages] == ["now"]


def test_a_profile_without_memory_asks_only_the_message():
    from dataclasses import replace

    request = compose(replace(PROFILE, history_messages=0), "m", HISTORY, "now", None)
    assert [message.text for message in request.messages] == ["now"]


def test_the_providers_word_is_what_is_booked():
    settled = turn(released=["ok"], usage=ProviderUsage(1000, 500)).settled()
    assert (settled.input_tokens, settled.output_tokens, settled.cost_micros) == (1000, 500, 10_500)


def test_what_was_streamed_of_a_cut_answer_is_paid_also_what_no_guard_released():
    settled = turn(asked=True, received_bytes=300).settled()
    assert (settled.input_tokens, settled.output_tokens) == (5, 101)
    assert settled.cost_micros == 5 * 3 + 101 * 15


def test_a_prompt_that_was_sent_is_paid():
    settled = turn(asked=True).settled()
    assert settled.input_tokens == 5
    assert settled.cost_micros > 0


def test_a_call_that_was_not_made_costs_nothing():
    assert turn().settled() == NOTHING_USED


def test_what_lost_attempts_cost_at_most_is_booked_with_the_last():
    assert turn(lost_micros=70).settled().cost_micros == 70
    assert turn(lost_micros=70, usage=ProviderUsage(1000, 500)).settled().cost_micros == 10_570


def test_a_turn_that_is_taken_up_counts_the_attempts_before_it():
    resources = Resources(
        None,
        None,
        SimpleNamespace(name="x"),
        Prices({"m": (1_000_000, 1_000_000)}),
        None,
        Toolbox({}, Catalogue()),
        60,
        1,
    )
    left = Unfinished(UUID(int=2), "somebody", "question", "m")
    opened = take_up(resources, PROFILE, UUID(int=1), 2, [], left, [], 2)
    # Eight bytes each of prompt and question, 16 tokens around each, 50 of answer.
    assert opened.lost_micros == 2 * (8 + 16 + 8 + 16 + 50)
    assert opened.taken_up

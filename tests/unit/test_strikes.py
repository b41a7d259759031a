"""Three strikes and the way back, for every number of strikes."""

import itertools

import pytest

from hivemind.strikes import DEEDS, Judgement, judge, told


@pytest.mark.parametrize(("before", "deed"), list(enumerate(DEEDS)))
def test_each_unhealthy_interval_is_one_strike_more(before, deed):
    assert judge(before, ["runtime"]) == Judgement(before + 1, deed)
    assert judge(before, ["runtime", "cost"]) == judge(before, ["heartbeat"])


def test_the_last_deed_is_asked_for_again():
    assert judge(3, ["cost"]) == Judgement(3, "kill")


@pytest.mark.parametrize("before", [1, 2, 3])
def test_a_healthy_interval_forgives_one(before):
    assert judge(before, []) == Judgement(before - 1, "forgive")


def test_who_did_nothing_is_left_alone():
    assert judge(0, []) == Judgement(0)


@pytest.mark.parametrize("intervals", list(itertools.product([True, False], repeat=6)))
def test_nobody_is_killed_without_a_warning_and_a_pause_before(intervals):
    strikes, deeds = 0, []
    for healthy in intervals:
        judgement = judge(strikes, [] if healthy else ["runtime"])
        assert abs(judgement.strikes - strikes) <= 1
        strikes = judgement.strikes
        deeds.append(judgement.deed)
    if "kill" in deeds:
        before = deeds[: deeds.index("kill")]
        assert "warn" in before and "pause" in before
        assert sum(deed in DEEDS for deed in before) - before.count("forgive") >= 2


def test_what_is_told_names_every_breach():
    assert told(["runtime", "cost"]).count(";") == 1

"""Who guesses waits, longer each time; who is right, or stays away, is forgiven."""

from hivemind.auth.attempts import FORGET_SECONDS, LONGEST_WAIT_SECONDS, MAX_KEYS, Attempts


def test_a_few_misses_cost_nothing_and_then_the_wait_doubles():
    attempts = Attempts(free=3)
    waits = []
    for _ in range(12):
        waits.append(attempts.wait_seconds("ada", 100.0))
        attempts.miss("ada", 100.0)
    assert waits == [
        0,
        0,
        0,
        1,
        2,
        4,
        8,
        16,
        32,
        LONGEST_WAIT_SECONDS,
        LONGEST_WAIT_SECONDS,
        LONGEST_WAIT_SECONDS,
    ]
    assert attempts.wait_seconds("ada", 130.0) == LONGEST_WAIT_SECONDS - 30
    assert attempts.wait_seconds("ada", 100.0 + LONGEST_WAIT_SECONDS) == 0


def test_one_guesser_is_not_the_other_and_all_is_forgotten():
    attempts = Attempts(free=1)
    for _ in range(5):
        attempts.miss("ada", 0.0)
    assert attempts.wait_seconds("bob", 0.0) == 0
    assert attempts.wait_seconds("ada", 0.0) > 0
    attempts.forgive("ada")
    assert attempts.wait_seconds("ada", 0.0) == 0
    attempts.miss("bob", 0.0)
    assert attempts.wait_seconds("bob", 0.0) > 0
    assert attempts.wait_seconds("bob", FORGET_SECONDS + 1) == 0


def test_the_table_does_not_grow_for_ever():
    attempts = Attempts(free=1)
    for number in range(MAX_KEYS + 5):
        attempts.miss(number, 0.0)
    assert attempts.wait_seconds(0, 0.0) == 0
    assert attempts.wait_seconds(MAX_KEYS + 4, 0.0) > 0

"""Promise: whatever boundary of the ten-step turn its process dies at, the message is answered and nothing doubled.

A first life that nobody strikes tells the boundaries of a seed as the code passes them: before, in the middle of and
after every statement (claim, admit, each intent, dispatch, outcome, hold, question, commit), every call to the model
and every call of a tool. Then one life after another is struck at each of them. By default one boundary of each kind
is struck; `--walk N` leaves out none, for N seeds, `--kinds kill,crash,lost,stop` strikes in other ways too.
"""

from collections import defaultdict

from simulation_play import play

# Where calls run at once, or a person answers, a boundary may not come that came before.
TRIES = 4


def boundaries(world, seed):
    """Those of a life that takes the whole turn, with a person there."""
    assert play(world, world.story(seed), [], person=True) == []
    return world.passed


def one_of_each_kind(places, seed):
    """Of each name one, another one for each seed."""
    by_name = defaultdict(list)
    for place in places:
        by_name[place[0]].append(place)
    return [of_name[seed % len(of_name)] for of_name in by_name.values()]


def test_a_message_is_answered_wherever_its_process_dies(world, walked, request):
    option = request.config.getoption
    places = boundaries(world, walked)
    world.seeds += 1
    if option("--boundary", default=None):
        name, _, number = option("--boundary").rpartition("#")
        chosen = [(name, int(number))]
    else:
        chosen = places if option("--walk", default=0) else one_of_each_kind(places, walked)
    for kind in option("--kinds", default="kill").split(","):
        for place in chosen:
            try:
                for _ in range(TRIES):
                    if play(world, world.story(walked), [(kind, place)], person=True):
                        world.walked.add((walked, kind, *place))
                        break
            except AssertionError as error:
                error.add_note(
                    f"again: pytest -n 0 tests/simulation/test_boundaries.py --seed {walked} --kinds {kind} "
                    f"--boundary '{place[0]}#{place[1]}'"
                )
                raise
    missed = [place for kind in option("--kinds", default="kill").split(",") for place in chosen
              if (walked, kind, *place) not in world.walked]  # fmt: skip
    assert not missed, missed

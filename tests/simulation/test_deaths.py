"""Promise: an accepted message is answered once and no call of a tool is made twice, whatever dies when.

Drawn at random, several times in one turn. `pytest tests/simulation --seeds N` runs more seeds, `--seed K` runs one
again. Every single boundary is walked in `test_boundaries`.
"""

from simulation_play import play

from hivemind.audit import HeadKey, lines
from hivemind.audit.chain import Verifier
from hivemind.audit.entries import Filter
from hivemind.audit.log import seal


def test_an_accepted_message_is_answered_once(world, seed):
    story = world.story(seed)
    world.seeds += 1
    play(world, story, [world.fate(story, number) for number in range(story.rng.randint(0, 5))])


def test_the_audit_chain_is_whole_after_all_that(world):
    key = HeadKey(bytes(32))

    async def verified(database):
        sealed = await seal(database)
        verifier = Verifier([key.public])
        async for some in lines(database, Filter()):
            for line in some:
                verifier.line(line)
        return sealed, verifier.finish()

    sealed, report = world.run(verified)
    assert report.problems == [] and report.rows == sealed.seq and report.unsealed == 0
    world.checks += report.rows

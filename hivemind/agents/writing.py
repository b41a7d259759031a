"""Writing down what became of a turn, also while the database is away: the message was accepted."""

import logging
from collections.abc import Awaitable, Callable

import trio

from hivemind.agents.turn import Turn
from hivemind.errors import DatabaseUnavailable, Interrupted

log = logging.getLogger("hivemind.agents")

RETRY_SECONDS = 0.5


async def owned(write: Callable[[], Awaitable[bool]], turn: Turn) -> None:
    """Write, or end the turn here because another incarnation owns it."""
    if not await written(write, turn):
        raise Interrupted("The conversation is being served elsewhere")


async def written(write: Callable[[], Awaitable[bool]], turn: Turn) -> bool:
    """Write, waiting for a database that is away: the message was accepted."""
    while True:
        try:
            return await write()
        except DatabaseUnavailable:
            log.warning("the database is away: turn %s waits to be written", turn.id)
            await trio.sleep(RETRY_SECONDS)

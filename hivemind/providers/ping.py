"""The ping at start-up.

A provider that does not answer is a warning and a degraded health, never a refusal to start.
"""

import logging
from dataclasses import dataclass
from typing import Literal

from hivemind.errors import ProviderError
from hivemind.providers.base import Provider

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PingCheck:
    """What the ping found, in the shape of a health check."""

    status: Literal["ok", "degraded"]
    message: str | None = None
    remedy: str | None = None


async def ping_at_start(provider: Provider) -> PingCheck:
    """Ping once and put a failure into the log, in the words that operators' runbooks look for."""
    try:
        await provider.ping()
    except ProviderError as error:
        _log.warning(
            "LLM startup ping FAILED; public chat and the agents' tool-call loop are degraded. "
            "Fix the HIVEMIND_LLM_* variables and restart",
            extra={"provider": provider.name, "error": str(error.__cause__ or error)},
        )
        return PingCheck("degraded", error.message, error.remedy)
    return PingCheck("ok")

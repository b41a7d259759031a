"""Whether the command line's output is coloured. Imports nothing, since every command asks."""

import os


def wanted() -> bool | None:
    """What the environment says: no, yes, or None where a terminal decides. `NO_COLOR` wins."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return True if os.environ.get("FORCE_COLOR") else None

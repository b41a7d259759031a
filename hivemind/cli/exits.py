"""The exit codes of every command, and which of them an error ends it with."""

from collections.abc import Iterable

from hivemind import errors
from hivemind.errors import HivemindError

OK = 0
FAILED = 1
USAGE = 2
REFUSED = 3
UNREACHABLE = 4
INTERRUPTED = 130

MEANINGS = {
    OK: "done",
    FAILED: "it failed; or what was looked at is not well, as with `doctor` and `audit verify`",
    USAGE: "the command or the configuration is wrong",
    REFUSED: "the server said no: not found, not allowed, a limit, a cap, a guard, a conflict",
    UNREACHABLE: "no server or no database answers",
    INTERRUPTED: "Ctrl-C",
}

# The nearest class counts.
_CODES: dict[type[HivemindError], int] = {
    HivemindError: FAILED,
    errors.ConfigError: USAGE,
    errors.InvalidRequest: REFUSED,
    errors.NotAuthenticated: REFUSED,
    errors.NotFound: REFUSED,
    errors.Conflict: REFUSED,
    errors.Refused: REFUSED,
    errors.GuardFailed: FAILED,
    errors.Interrupted: REFUSED,
    errors.Unreachable: UNREACHABLE,
    errors.TargetRefused: REFUSED,
    errors.DatabaseUnavailable: UNREACHABLE,
}


def kind_of(error: HivemindError) -> type[HivemindError]:
    """The class of an error; of one that a server answered, the class that it had there."""
    if isinstance(error, errors.RemoteError):
        return next((cls for cls in errors.families() if cls.code == error.answered_code), errors.RemoteError)
    return type(error)


def code_of(error: HivemindError) -> int:
    """What a command ends with after this error."""
    return code_of_class(kind_of(error))


def code_of_class(kind: type[HivemindError]) -> int:
    """What a command ends with after an error of this class."""
    return next(_CODES[cls] for cls in kind.__mro__ if cls in _CODES)


def code_of_all(told: Iterable[HivemindError]) -> int:
    """What a command ends with after several: a wrong use is the cause of the rest, else the first counts."""
    codes = [code_of(error) for error in told]
    return USAGE if USAGE in codes else codes[0]

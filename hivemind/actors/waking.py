"""The value that wakes a parked task.

`outcome.Value` may be unwrapped once only; trio asks for nothing but an `unwrap` method, so one object
serves every wake-up.
"""

from typing import Any, Final


class _Woken:
    __slots__ = ()

    def unwrap(self) -> None:
        return None


WOKEN: Final[Any] = _Woken()

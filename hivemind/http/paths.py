"""Finds what stands at a path: `/chat/{slug}` matches one whole segment and gives it a name."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

Value = TypeVar("Value")

_NO_PARAMS: Mapping[str, str] = {}


class Paths(Generic[Value]):
    """At most one value for each pattern; a path without names is found before one with names."""

    def __init__(self) -> None:
        self._plain: dict[str, Value] = {}
        self._patterns: dict[int, list[tuple[tuple[str, ...], Value]]] = {}

    def at(self, pattern: str, make: Callable[[], Value]) -> Value:
        """The value of a pattern, made when there is none."""
        if "{" not in pattern:
            return self._plain.setdefault(pattern, make())
        parts = tuple(pattern.split("/"))
        same_length = self._patterns.setdefault(len(parts), [])
        for known, value in same_length:
            if known == parts:
                return value
        value = make()
        same_length.append((parts, value))
        return value

    def find(self, path: str) -> tuple[Value, Mapping[str, str]] | None:
        """The value at a path with the segments that have names; None where nothing stands."""
        if (plain := self._plain.get(path)) is not None:
            return plain, _NO_PARAMS
        parts = path.split("/")
        for pattern, value in self._patterns.get(len(parts), ()):
            params: dict[str, str] = {}
            for wanted, part in zip(pattern, parts, strict=True):
                if wanted[:1] == "{":
                    if not part:
                        break
                    params[wanted[1:-1]] = part
                elif wanted != part:
                    break
            else:
                return value, params
        return None

"""pykka's `ActorRegistry`, showing our actors beside its own threads.

The registry keeps a list that it scans; ours are found through their systems instead, so an actor pays
nothing for being in it. One private name of pykka is replaced, and guarded by a test.
"""

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pykka import ActorRegistry

if TYPE_CHECKING:
    from hivemind.actors.system import ActorSystem

systems: "weakref.WeakSet[ActorSystem]" = weakref.WeakSet()


class Refs:
    """What `ActorRegistry._actor_refs` needs of a list: foreign refs, then those of every system."""

    def __init__(self, foreign: list[Any]) -> None:
        self._foreign = foreign

    def append(self, ref: Any) -> None:
        """Add an actor of another kind."""
        self._foreign.append(ref)

    def remove(self, ref: Any) -> None:
        """Drop an actor of another kind."""
        self._foreign.remove(ref)

    def __contains__(self, ref: object) -> bool:
        return ref in self._foreign

    def __iter__(self) -> Iterator[Any]:
        yield from list(self._foreign)
        for system in list(systems):
            yield from [cell.ref for cell in list(system.cells.values()) if not cell.closed]

    def __getitem__(self, item: Any) -> Any:
        return list(iter(self))[item]

    def __len__(self) -> int:
        return sum(1 for _ in self)


def install() -> None:
    """Make pykka's registry show our systems; harmless when done before."""
    with ActorRegistry._actor_refs_lock:  # noqa: SLF001 see the module docstring
        if not isinstance(ActorRegistry._actor_refs, Refs):  # noqa: SLF001
            ActorRegistry._actor_refs = Refs(ActorRegistry._actor_refs)  # type: ignore[assignment] # noqa: SLF001

"""Finding which rules may match, and about where, in one pass over the text.

Vectorscan holds all triggers in one compiled database, stored in a folder and loaded in milliseconds. It
answers "rule r may match around byte n"; it never decides.
"""

import hashlib
import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import hyperscan

MODE = hyperscan.HS_MODE_BLOCK
UNUSABLE = (hyperscan.HyperscanError, ValueError)


class Matcher:
    """The compiled triggers; `scan` may be called from any thread."""

    def __init__(self, triggers: Sequence[str], folder: Path | None, *, first_only: bool = False) -> None:
        """Compile `triggers`, or load them from `folder`; `first_only`: one hit of each is enough."""
        flags = hyperscan.HS_FLAG_SINGLEMATCH if first_only else 0
        # There is no such thing as an empty database: without triggers it looks for what cannot be.
        self._database = _load(triggers or (r"\x00\x01\xff\x00",), folder, flags)
        self._local = threading.local()

    def scan(self, data: bytes, after: int = 0, most: int | None = None) -> list[tuple[int, int]]:
        """Return `(end, number of the trigger)` for each hit that ends behind `after`, ends ascending.

        Stops after `most` hits, because each of them is a call into Python.
        """
        try:
            scratch = self._local.scratch
        except AttributeError:
            # A scratch serves one scan at a time, and a scan lets other threads run.
            scratch = self._local.scratch = hyperscan.Scratch(self._database)
        hits: list[tuple[int, int]] = []
        append = hits.append

        def on_match(number: int, _start: int, end: int, _flags: int, _context: object) -> bool:
            if end > after:
                append((end, number))
            return len(hits) == most

        with suppress(hyperscan.ScanTerminated):
            self._database.scan(data, match_event_handler=on_match, scratch=scratch)
        return hits


def _load(triggers: Sequence[str], folder: Path | None, flags: int) -> hyperscan.Database:
    if folder is None:
        return _compile(triggers, flags)
    key = hashlib.sha256(
        repr((version("hyperscan"), os.uname().machine, flags, *triggers)).encode()
    ).hexdigest()
    path = folder / f"guards-{key[:32]}.hsdb"
    with suppress(OSError, *UNUSABLE):
        # Unreadable, damaged or made for another processor: compiling again is always right.
        database = hyperscan.loadb(path.read_bytes(), MODE)
        database.scratch = hyperscan.Scratch(database)
        return database
    database = _compile(triggers, flags)
    with suppress(OSError):
        # The cache saves a second at the next start; a full disk must not stop this one.
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(hyperscan.dumpb(database))
        Path(file.name).replace(path)
    return database


def _compile(triggers: Sequence[str], flags: int) -> hyperscan.Database:
    database = hyperscan.Database(mode=MODE)
    database.compile(
        expressions=[trigger.encode() for trigger in triggers],
        ids=list(range(len(triggers))),
        elements=len(triggers),
        flags=[flags] * len(triggers),
    )
    return database

"""Finding which rules may match, and about where, in one pass over the text.

Vectorscan holds all triggers in one compiled database, stored in a folder and loaded in milliseconds. It
answers "rule r may match around byte n"; it never decides. The same triggers, compiled for streams, tell
of a text that is still coming whether any of them has fired.
"""

import hashlib
import os
import tempfile
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import hyperscan

BLOCK, STREAM = hyperscan.HS_MODE_BLOCK, hyperscan.HS_MODE_STREAM
UNUSABLE = (hyperscan.HyperscanError, ValueError)


class Matcher:
    """The compiled triggers; `scan` may be called from any thread."""

    def __init__(self, triggers: Sequence[str], folder: Path | None, *, first_only: bool = False) -> None:
        """Compile `triggers`, or load them from `folder`; `first_only`: one hit of each is enough."""
        flags = hyperscan.HS_FLAG_SINGLEMATCH if first_only else 0
        self._database = _load(triggers, folder, flags, BLOCK)
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


class StreamMatcher:
    """The triggers compiled for streams; `watch` opens one."""

    def __init__(self, triggers: Sequence[str], folder: Path | None) -> None:
        """Compile `triggers`, or load them from `folder`."""
        self._database = _load(triggers, folder, 0, STREAM)
        self._local = threading.local()

    def watch(self, before: bytes = b"") -> "Watch":
        """Follow a text that goes on behind `before`, in which nothing is looked for."""
        return Watch(self._database, self._local, before)


class Watch:
    """One text as it comes: `quiet` until the first trigger fires in it, and then no more."""

    def __init__(self, database: hyperscan.Database, local: threading.local, before: bytes) -> None:
        self.quiet = True
        known = len(before)

        def on_match(_number: int, _start: int, end: int, _flags: int, _context: object) -> bool:
            return end > known

        # A stream keeps no reference to these two, and is opened by entering it, once.
        self._kept = database, on_match
        self._local = local
        self._stream = database.stream(match_event_handler=on_match)
        self._stream.__enter__()
        weakref.finalize(self, _close, self._stream, self._kept).atexit = False
        if before:
            self.push(before)

    def push(self, data: bytes) -> bool:
        """Look at the next bytes, and say whether all is quiet still."""
        if self.quiet:
            try:
                scratch = self._local.scratch
            except AttributeError:
                scratch = self._local.scratch = hyperscan.Scratch(self._kept[0])
            try:
                self._stream.scan(data, 0, scratch)
            except hyperscan.ScanTerminated:
                self.quiet = False
        return self.quiet


def _close(stream: hyperscan.Stream, _kept: object) -> None:
    stream.close()


def _load(triggers: Sequence[str], folder: Path | None, flags: int, mode: int) -> hyperscan.Database:
    # There is no such thing as an empty database: without triggers it looks for what cannot be.
    triggers = triggers or (r"\x00\x01\xff\x00",)
    if folder is None:
        return _compile(triggers, flags, mode)
    key = hashlib.sha256(
        repr((version("hyperscan"), os.uname().machine, flags, mode, *triggers)).encode()
    ).hexdigest()
    path = folder / f"guards-{key[:32]}.hsdb"
    with suppress(OSError, *UNUSABLE):
        # Unreadable, damaged or made for another processor: compiling again is always right.
        database = hyperscan.loadb(path.read_bytes(), mode)
        database.scratch = hyperscan.Scratch(database)
        return database
    database = _compile(triggers, flags, mode)
    with suppress(OSError):
        # The cache saves a second at the next start; a full disk must not stop this one.
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(hyperscan.dumpb(database))
        Path(file.name).replace(path)
    return database


def _compile(triggers: Sequence[str], flags: int, mode: int) -> hyperscan.Database:
    database = hyperscan.Database(mode=mode)
    database.compile(
        expressions=[trigger.encode() for trigger in triggers],
        ids=list(range(len(triggers))),
        elements=len(triggers),
        flags=[flags] * len(triggers),
    )
    database.scratch = hyperscan.Scratch(database)
    return database

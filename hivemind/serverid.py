"""Which server this is, over its restarts: an id in the data folder.

A server that is restarted takes up its own turns at once, and those of others only when they have died.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from uuid_utils.compat import uuid7

FILE = "server_id"
_LENGTH = 36


@contextmanager
def server_id(folder: Path) -> Iterator[UUID]:
    """The id that this folder's server has; a second one in the same folder has one for itself."""
    file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _locked(file) or uuid7()
    finally:
        os.close(file)


def _locked(file: int) -> UUID | None:
    """The id in the file, made where there is none; None where another server holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    try:
        return UUID(os.pread(file, _LENGTH, 0).decode("ascii"))
    except ValueError:
        made = uuid7()
        os.ftruncate(file, 0)
        os.pwrite(file, str(made).encode("ascii"), 0)
        return made

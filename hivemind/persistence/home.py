"""Where an embedded Postgres lives: its folder, its lock, its socket and its configuration.

Nothing here starts a process of the server; `embedded` does. No mode is changed outside the folder.
"""

import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from hivemind.errors import ConfigError
from hivemind.persistence.account import Account, choose_account

ROLE = "hivemind"
LONGEST_SOCKET_PATH = 100
ELSEWHERE = Path("/var/lib/hivemind")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - only looked at
REMEDY = "choose a data folder outside a private home, or set DATABASE_URL"

SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "effective_cache_size": "512MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "max_wal_size": "512MB",
    "min_wal_size": "80MB",
    "checkpoint_timeout": "15min",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_line_prefix": "'%m [%p] '",
    "log_checkpoints": "off",
}
"""For a small machine that does other work too; commits stay durable. `alter system` overrides each."""


@dataclass(frozen=True, slots=True)
class Home:
    """A folder that the account can enter and that holds everything of one server."""

    folder: Path
    account: Account

    @property
    def data(self) -> Path:
        """The data itself; the account's alone."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "postgres.log"

    @property
    def config(self) -> Path:
        """The server's settings: ours, written at every start."""
        return self.folder / "postgresql.conf"

    @property
    def sockets(self) -> Path:
        """The folder of the socket: in the home, or by its hash where that path is too long for a socket."""
        folder = self.folder / "run"
        if len(os.fsencode(folder / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
            return folder
        of_user = Path(f"/run/user/{os.geteuid()}")
        if os.geteuid() == 0:
            parent = Path("/run")
        else:
            parent = of_user if of_user.is_dir() else Path(tempfile.gettempdir())
        return parent / f"hivemind-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]}"

    @property
    def data_major(self) -> int | None:
        """The major version that made the data, if there is any."""
        version = self.data / "PG_VERSION"
        return int(version.read_text()) if version.exists() else None

    def lock(self) -> TextIO:
        """Take the folder for this process, or say who has it."""
        path = self.folder / "lock"
        try:
            lock = path.open("a+")
        except PermissionError as error:
            raise ConfigError(
                f"{path} belongs to another user", remedy="run Hivemind as the user who ran it first"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise ConfigError(
                f"{self.folder} is in use by another Hivemind (process {owner})",
                remedy="stop it, or choose another data folder",
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return lock

    def configure(self) -> None:
        """Write who gets in and how the server runs; outside the data, which root never writes to."""
        settings = {
            "data_directory": f"'{self.data}'",
            "hba_file": f"'{self.folder / 'pg_hba.conf'}'",
            "ident_file": f"'{self.folder / 'pg_ident.conf'}'",
            "unix_socket_directories": f"'{self.sockets}'",
            "dynamic_shared_memory_type": "posix" if _has_shared_memory() else "mmap",
        } | SETTINGS
        people = sorted({self.account.name, "root"})
        for path, lines in (
            (self.config, [f"{key} = {value}" for key, value in settings.items()]),
            (self.folder / "pg_hba.conf", ["local all all peer map=hivemind"]),
            (self.folder / "pg_ident.conf", [f"hivemind {name} {ROLE}" for name in people]),
        ):
            new = path.with_name(f"{path.name}.new")
            new.write_text("".join(f"{line}\n" for line in lines))
            new.chmod(0o644)
            new.replace(path)
        self.account.own(self.sockets)


def _has_shared_memory() -> bool:
    """Whether everybody may write in /dev/shm, which some containers lack; files do as well."""
    try:
        open_to_all = SHARED_MEMORY.stat().st_mode & 0o002
    except OSError:
        return False
    return bool(open_to_all) and os.access(SHARED_MEMORY, os.W_OK)


def find_home(folder: Path, user: str | None, report: Callable[[str], None]) -> Home:
    """Find the folder that holds everything: the one asked for, or another when that is out of reach.

    A folder below a private home (root's own, often) cannot be entered by the account that root runs
    Postgres as, and opening somebody's home is not ours to do: the data goes to /var/lib then, and a
    symbolic link in the folder says where.
    """
    link = folder / "elsewhere"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = link.readlink() if link.is_symlink() else folder
        account = choose_account(place / "data", user)
        if not account.is_other or (place == folder and account.reaches(folder)):
            return Home(place, account)
        if place == folder:
            place = ELSEWHERE / secrets.token_hex(4)
            link.symlink_to(place)
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"no place for the embedded Postgres: {error}", remedy=REMEDY) from error
    if not account.reaches(place):
        raise ConfigError(
            f"the user {account.name}, who runs Postgres for root, can reach neither {folder} nor {place}",
            remedy=REMEDY,
        )
    report(f"{folder} is private: the database is in {place}")
    return Home(place, account)

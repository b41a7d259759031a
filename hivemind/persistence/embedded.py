"""A Postgres of our own, for a machine that has none: made, started, adopted, watched and stopped.

It listens on a Unix socket only and lets in the account that runs it, and root. It outlives a server that
was killed; the next one adopts it. Which binaries and which account are `binaries` and `account`; that it
is a supervised child is the composition root's business. Linux only: it reads /proc and waits on pidfds.
"""

import fcntl
import hashlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import psycopg
import trio

from hivemind.errors import ConfigError, DatabaseUnavailable
from hivemind.persistence.account import Account, choose_account
from hivemind.persistence.binaries import Binaries, find_binaries
from hivemind.persistence.connection import Connection, complete

ROLE = "hivemind"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.01
LONGEST_SOCKET_PATH = 100
MOST_LOG_BYTES = 10_000_000
ELSEWHERE = Path("/var/lib/hivemind")

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

# Children that were left running: kept so that they are reaped, not reported as forgotten.
_left: list[subprocess.Popen[bytes]] = []


class EmbeddedPostgres:
    """One server on one folder, with one owner: a lock on the folder is held from start to stop."""

    def __init__(self, folder: Path, user: str | None = None) -> None:
        self._folder = folder.absolute()
        self._user = user
        self._lock: TextIO | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._pidfd: int | None = None
        self._conninfo = ""
        self._version = ""

    @property
    def conninfo(self) -> str:
        """How to connect; the same after every start on the same folder."""
        if not self._conninfo:
            raise RuntimeError("the embedded Postgres has not been started")
        return self._conninfo

    @property
    def version(self) -> str:
        """The version of the server, such as 17.10."""
        return self._version

    @property
    def pid(self) -> int | None:
        """The server's process, while there is one."""
        return self._pid

    async def start(self, report: Callable[[str], None]) -> None:
        """Bring the server up, or adopt the one that a killed owner left; return when it answers."""
        if sys.platform != "linux":
            raise ConfigError("the embedded Postgres is for Linux", remedy="set DATABASE_URL")
        if self._lock is not None:
            raise RuntimeError("the embedded Postgres was started twice")
        try:
            with trio.fail_after(START_SECONDS):
                await self._start(report)
        except trio.TooSlowError:
            await self._give_up()
            raise DatabaseUnavailable(
                f"the embedded Postgres did not answer within {START_SECONDS:g} s",
                remedy=f"read {self._folder / 'postgres.log'}",
            ) from None
        except BaseException:
            await self._give_up()
            raise

    async def wait(self) -> None:
        """Return when the server is no longer there."""
        if self._pidfd is not None:
            await trio.lowlevel.wait_readable(self._pidfd)
        if self._child is not None:
            self._child.poll()

    async def stop(self) -> None:
        """Stop the server and give the folder up; runs to its end in a cancelled task too."""
        with trio.CancelScope(shield=True):
            for end, seconds in (
                (signal.SIGINT, STOP_SECONDS),
                (signal.SIGQUIT, STOP_SECONDS / 4),
                (signal.SIGKILL, STOP_SECONDS / 4),
            ):
                if not self._signal(end):
                    break
                with trio.move_on_after(seconds) as scope:
                    await self.wait()
                if not scope.cancelled_caught:
                    break
        self.release()

    def release(self) -> None:
        """Give the folder up at once and leave the server running, for the next start to adopt."""
        if self._child is not None:
            _left.append(self._child)
        _left[:] = [child for child in _left if child.poll() is None]
        if self._pidfd is not None:
            os.close(self._pidfd)
        if self._lock is not None:
            self._lock.close()
        self._child = self._pid = self._pidfd = self._lock = None

    async def _give_up(self) -> None:
        """Leave nothing behind after a failed start, except a server that was there before."""
        if self._child is not None:
            await self.stop()
        else:
            self.release()

    async def _start(self, report: Callable[[str], None]) -> None:
        home, account = await trio.to_thread.run_sync(_find_home, self._folder, self._user, report)
        self._lock = _take_lock(home)
        data, sockets = home / "data", _socket_folder(home)
        binaries = await trio.to_thread.run_sync(_find_usable_binaries, home, account)
        self._version = binaries.text
        if not (data / "PG_VERSION").exists():
            report(f"making a database in {home} (once)")
            await _initdb(binaries, account, data)
        _write_configuration(home, data, sockets, account)
        account.own(sockets)
        where = f"host={sockets} user={ROLE}"
        if await self._adopt(data, where):
            report(f"adopted the running Postgres {self._version} (process {self._pid})")
        else:
            as_whom = f" as the user {account.name}" if account.is_other else ""
            report(f"starting Postgres {self._version}{as_whom}")
            await self._launch(binaries, account, home, where)
        await _ensure_database(where)
        self._conninfo = f"{where} dbname={ROLE}"

    async def _launch(self, binaries: Binaries, account: Account, home: Path, where: str) -> None:
        """Start the server; again while what a crashed one left behind is still going away."""
        log = home / "postgres.log"
        if log.exists() and log.stat().st_size > MOST_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        for last in (False, False, True):
            with log.open("ab") as output:
                began = output.tell()
                command = [binaries.folder / "postgres", "-D", home / "data"]
                command += ["-c", f"config_file={home / 'postgresql.conf'}"]
                # A session of its own: Ctrl-C in the terminal must not stop it before the server has drained.
                self._child = await trio.to_thread.run_sync(
                    lambda command=command, output=output: subprocess.Popen(  # noqa: S603
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                        cwd="/",
                        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                        **account.options,
                    )
                )
            self._watch(self._child.pid)
            if await self._answers(where):
                return
            said = log.read_bytes()[began:][-2000:].decode(errors="replace").strip()
            if last or "is still in use" not in said:
                raise DatabaseUnavailable(
                    f"the embedded Postgres did not start: {said}", remedy=f"read {log}"
                )
            await trio.sleep(POLL_SECONDS * 10)

    async def _answers(self, where: str) -> bool:
        """Wait until the server answers (true) or is gone (false)."""
        while True:
            if self._child is not None and self._child.poll() is not None:
                return False
            if self._child is None and self._pid is not None and not Path(f"/proc/{self._pid}").exists():
                return False
            try:
                connection = await _connect(where)
            except psycopg.OperationalError:
                await trio.sleep(POLL_SECONDS)
            else:
                await connection.close()
                return True

    async def _adopt(self, data: Path, where: str) -> bool:
        """Take over the server that runs on this data, if any; clear away what is left of a dead one."""
        while running := _processes_on(data):
            postmaster = _postmaster(data)
            if postmaster in running:
                self._watch(postmaster)
                if await self._answers(where):
                    os.kill(postmaster, signal.SIGHUP)  # the configuration may be of a newer release
                    return True
                self._forget()
            else:
                # Backends whose postmaster was killed: one that is busy would hold the data for as long.
                for pid in running:
                    _send(pid, signal.SIGQUIT)
                await trio.sleep(POLL_SECONDS)
        pid = _postmaster(data)
        if pid is not None and Path(f"/proc/{pid}").exists():
            # The number belongs to another program by now, which Postgres would take for a server.
            (data / "postmaster.pid").unlink()
        return False

    def _watch(self, pid: int) -> None:
        self._forget()
        self._pid, self._pidfd = pid, os.pidfd_open(pid)

    def _forget(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
        self._pid = self._pidfd = None

    def _signal(self, number: signal.Signals) -> bool:
        """Send a signal to the server; false when it is gone. Never reaches a stranger with its number."""
        if self._pidfd is None:
            return False
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return False
        return True


def _find_home(folder: Path, user: str | None, report: Callable[[str], None]) -> tuple[Path, Account]:
    """Find the folder that holds everything: the one asked for, or another when that is out of reach.

    A folder below a private home (root's own, often) cannot be entered by the account that root runs
    Postgres as, and opening somebody's home is not ours to do: the data goes to /var/lib then, and a
    symbolic link in the folder says where.
    """
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "elsewhere"
    home = link.readlink() if link.is_symlink() else folder
    account = choose_account(home / "data", user)
    if not account.is_other or (home == folder and account.reaches(folder)):
        return home, account
    if home == folder:
        home = ELSEWHERE / secrets.token_hex(4)
        link.symlink_to(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the user {account.name} cannot reach {folder}, and {home} cannot be made: {error}",
            remedy="choose a data folder outside a private home, or set DATABASE_URL",
        ) from error
    if not account.reaches(home):
        raise ConfigError(
            f"the user {account.name} can reach neither {folder} nor {home}",
            remedy="choose a data folder outside a private home, or set DATABASE_URL",
        )
    report(f"{folder} is private: the database is in {home}")
    return home, account


def _find_usable_binaries(home: Path, account: Account) -> Binaries:
    version = home / "data" / "PG_VERSION"
    binaries = find_binaries(int(version.read_text()) if version.exists() else None)
    if account.is_other and not account.reaches(binaries.folder / "postgres"):
        return binaries.mirrored(home)
    return binaries


def _take_lock(home: Path) -> TextIO:
    path = home / "lock"
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
            f"{home} is in use by another Hivemind (process {owner})",
            remedy="stop it, or choose another data folder",
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _socket_folder(home: Path) -> Path:
    """The place for the socket: in the home, or by its hash where the path would be too long for one."""
    folder = home / "run"
    if len(os.fsencode(folder / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
        return folder
    of_user = Path(f"/run/user/{os.geteuid()}")
    parent = Path("/run") if os.geteuid() == 0 else of_user if of_user.is_dir() else Path(tempfile.gettempdir())
    return parent / f"hivemind-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"


async def _initdb(binaries: Binaries, account: Account, data: Path) -> None:
    """Make the data under another name first: a start that is killed half-way leaves none that looks whole."""
    unfinished = data.with_name("data.new")
    if unfinished.exists():
        await trio.run_process(["/bin/rm", "-rf", str(unfinished)])
    account.own(unfinished)
    made = await trio.run_process(
        [str(binaries.folder / "initdb"), "-D", str(unfinished), "-U", ROLE, "-E", "UTF8"]
        + ["--locale=C.UTF-8", "--data-checksums", "--auth-local=peer", "--auth-host=reject"],
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        cwd="/",
        **account.options,
    )
    if made.returncode != 0:
        raise ConfigError(f"initdb failed: {made.stdout.decode(errors='replace').strip()[-2000:]}")
    unfinished.rename(data)


def _write_configuration(home: Path, data: Path, sockets: Path, account: Account) -> None:
    """Write the files that decide who gets in and how the server runs: ours, outside its data."""
    settings = {
        "data_directory": f"'{data}'",
        "hba_file": f"'{home / 'pg_hba.conf'}'",
        "ident_file": f"'{home / 'pg_ident.conf'}'",
        "unix_socket_directories": f"'{sockets}'",
    } | SETTINGS
    for name, content in (
        ("postgresql.conf", "".join(f"{key} = {value}\n" for key, value in settings.items())),
        ("pg_hba.conf", "local all all peer map=hivemind\n"),
        ("pg_ident.conf", "".join(f"hivemind {name} {ROLE}\n" for name in sorted({account.name, "root"}))),
    ):
        new = home / f"{name}.new"
        new.write_text(content)
        new.chmod(0o644)
        new.replace(home / name)


async def _connect(where: str, database: str = "postgres") -> Connection:
    return await Connection.open(complete(f"{where} dbname={database}", wait_seconds=3), prepare_threshold=None)


async def _ensure_database(where: str) -> None:
    connection = await _connect(where)
    try:
        found = await connection.execute("select from pg_database where datname = %s", (ROLE,))
        if found.rowcount == 0:
            await connection.execute(f"create database {ROLE}")
    finally:
        await connection.close()


def _postmaster(data: Path) -> int | None:
    try:
        return int((data / "postmaster.pid").read_text().splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _processes_on(data: Path) -> set[int]:
    """Find the processes of a server on this data: each of them works from within it."""
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if Path(f"/proc/{entry.name}/cwd").readlink() == data:
                    found.add(int(entry.name))
            except OSError:  # gone, or somebody else's
                continue
    return found


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return

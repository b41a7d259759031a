"""A Postgres of our own, for a machine that has none: made, started, adopted, watched and stopped.

It listens on a Unix socket only and lets in the account that runs it, and root. It outlives a server that
was killed; the next one adopts it. Where it lives, which binaries run and as whom: `home`, `binaries` and
`account`. That it is a supervised child is the composition root's business. Linux only: /proc, pidfds.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TextIO

import psycopg
import trio

from hivemind.errors import ConfigError, DatabaseUnavailable
from hivemind.persistence.binaries import Binaries, find_binaries
from hivemind.persistence.connection import Connection
from hivemind.persistence.dial import complete
from hivemind.persistence.home import ROLE, Home, find_home

START_SECONDS = 60.0
START_ATTEMPTS = 20
STOP_SECONDS = 20.0
POLL_SECONDS = 0.01
MOST_LOG_BYTES = 10_000_000
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}

# Children that were left running: kept so that they are reaped, not reported as forgotten.
_left: list[subprocess.Popen[bytes]] = []


class EmbeddedPostgres:
    """One server on one folder, with one owner: a lock on the folder is held from start to stop."""

    def __init__(self, folder: Path, user: str | None = None) -> None:
        self._folder = folder.absolute()
        self._user = user
        self._log = folder / "postgres.log"
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
                remedy=f"read {self._log}",
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
        home = await trio.to_thread.run_sync(find_home, self._folder, self._user, report)
        self._log = home.log
        self._lock = home.lock()
        binaries = await trio.to_thread.run_sync(_find_binaries, home)
        self._version = binaries.text
        if home.data_major is None:
            report(f"making a database in {home.folder} (once)")
            await _initdb(binaries, home)
        home.configure()
        where = f"host={home.sockets} user={ROLE}"
        if await self._adopt(home.data, where):
            report(f"adopted the running Postgres {self._version} (process {self._pid})")
        else:
            as_whom = f" as the user {home.account.name}" if home.account.is_other else ""
            report(f"starting Postgres {self._version}{as_whom}")
            await self._launch(binaries, home, where)
        await _ensure_database(where)
        self._conninfo = f"{where} dbname={ROLE}"

    async def _launch(self, binaries: Binaries, home: Home, where: str) -> None:
        """Start the server; again while what a crashed one left behind is still going away."""
        if home.log.exists() and home.log.stat().st_size > MOST_LOG_BYTES:
            home.log.replace(home.log.with_suffix(".log.1"))
        for attempt in range(START_ATTEMPTS):
            with home.log.open("ab") as output:
                began = output.tell()
                self._child = await trio.to_thread.run_sync(_spawn, binaries, home, output)
            self._watch(self._child.pid)
            if await self._answers(where):
                return
            said = home.log.read_bytes()[began:][-2000:].decode(errors="replace").strip()
            if attempt == START_ATTEMPTS - 1 or "is still in use" not in said:
                raise DatabaseUnavailable(
                    f"the embedded Postgres did not start: {said}", remedy=f"read {home.log}"
                )
            await trio.sleep(0.1)

    async def _answers(self, where: str) -> bool:
        """Wait until the server answers (true) or is gone (false)."""
        while True:
            if self._is_gone():
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
        if _exists(_postmaster(data)):
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

    def _is_gone(self) -> bool:
        """Tell whether the process has ended, also where nobody has reaped it yet."""
        if self._child is not None and self._child.poll() is not None:
            return True
        if self._pidfd is None:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def _signal(self, number: signal.Signals) -> bool:
        """Send a signal to the server; false when it is gone. Never reaches a stranger with its number."""
        if self._pidfd is None:
            return False
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return False
        return True


def conninfo_in_use(folder: Path, user: str | None = None) -> str | None:
    """How to connect to the server on this folder while another process owns it; None where nobody does."""
    home = find_home(folder.absolute(), user, lambda _: None)
    try:
        home.lock().close()
    except ConfigError:
        return f"host={home.sockets} user={ROLE} dbname={ROLE}"
    return None


async def _initdb(binaries: Binaries, home: Home) -> None:
    """Make the data under another name: a start that is killed half-way leaves none that looks whole."""
    unfinished = home.data.with_name("data.new")
    await trio.to_thread.run_sync(lambda: shutil.rmtree(unfinished, ignore_errors=True))
    home.account.own(unfinished)
    command = [str(binaries.folder / "initdb"), "-D", str(unfinished), "-U", ROLE, "-E", "UTF8"]
    command += ["--locale=C.UTF-8", "--data-checksums", "--auth-local=peer", "--auth-host=reject"]
    made = await trio.run_process(
        command,
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
        env=ENVIRONMENT,
        cwd="/",
        **home.account.options,
    )
    if made.returncode != 0:
        raise ConfigError(f"initdb failed: {made.stdout.decode(errors='replace').strip()[-2000:]}")
    unfinished.rename(home.data)


def _find_binaries(home: Home) -> Binaries:
    binaries = find_binaries(home.data_major)
    if home.account.is_other and not home.account.reaches(binaries.folder / "postgres"):
        return binaries.mirrored(home.folder)
    return binaries


def _spawn(binaries: Binaries, home: Home, output: IO[bytes]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C in the terminal must not stop it before the server has drained.
    return subprocess.Popen(  # noqa: S603
        [binaries.folder / "postgres", "-D", home.data, "-c", f"config_file={home.config}"],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        cwd="/",
        env=ENVIRONMENT,
        **home.account.options,
    )


async def _connect(where: str, database: str = "postgres") -> Connection:
    return await Connection.open(
        complete(f"{where} dbname={database}", wait_seconds=3), prepare_threshold=None
    )


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


def _exists(pid: int | None) -> bool:
    return pid is not None and Path(f"/proc/{pid}").exists()


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

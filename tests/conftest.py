"""A real Postgres for every test that wants one: one server a session, a fresh database a test.

What a session left behind that was killed is cleared away by the next one.
"""

import contextlib
import itertools
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
import trio

from hivemind.persistence import Database, EmbeddedPostgres

_numbers = itertools.count(1)


def reap(parent):
    """End what runs in the folders of test sessions whose process is gone, and remove them."""
    for folder in parent.glob("hivemind-test-*"):
        owner = re.fullmatch(r"hivemind-test-(\d+)-\w+", folder.name)
        if owner is None or Path(f"/proc/{owner[1]}").exists():
            continue
        for number in (signal.SIGQUIT, signal.SIGKILL):
            ends = [pidfd for pid in running_in(folder) if (pidfd := told_to_end(pid, number)) is not None]
            for pidfd in ends:
                select.select([pidfd], [], [], 2)
                os.close(pidfd)
        shutil.rmtree(folder, ignore_errors=True)


def running_in(folder):
    """The processes that work from within a folder."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink().is_relative_to(folder):
                    yield int(entry.name)


def told_to_end(pid, number):
    """A handle to wait on for the end of a process; None where it has ended already."""
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            os.close(pidfd)
        else:
            return pidfd
    return None


@pytest.fixture(scope="session")
def postgres():
    """Conninfo of a server with a superuser; HIVEMIND_TEST_DATABASE_URL names one that runs already."""
    if url := os.environ.get("HIVEMIND_TEST_DATABASE_URL"):
        yield url
        return
    reap(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=f"hivemind-test-{os.getpid()}-"))
    folder.chmod(0o755)  # the account that root runs Postgres as has to enter it
    server = EmbeddedPostgres(folder / "postgres")
    trio.run(server.start, lambda _: None)
    yield server.conninfo
    trio.run(server.stop)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def fresh_database(postgres):
    """`with fresh_database() as url`: conninfo of an empty database, dropped afterwards."""
    from psycopg.conninfo import make_conninfo

    async def run(sql):
        async with Database(postgres, size=1) as database:
            await database.execute(sql)

    @contextlib.contextmanager
    def fresh():
        name = f"test_{os.getpid()}_{next(_numbers)}"
        trio.run(run, f"create database {name} template template0 strategy file_copy")
        yield make_conninfo(postgres, dbname=name)
        trio.run(run, f"drop database {name} with (force)")

    return fresh


@pytest.fixture
def database_url(fresh_database):
    """Conninfo of a database of the test's own, empty and dropped afterwards."""
    with fresh_database() as url:
        yield url


@pytest.fixture(scope="session")
def oidc_modules():
    """Where node finds the certified `oidc-provider`; fetched once, outside of the repository."""
    if shutil.which("npm") is None:
        pytest.skip("there is no node here")
    folder = Path(tempfile.gettempdir()) / "hivemind-test-npm"
    modules = folder / "node_modules"
    if not (modules / "oidc-provider").exists():
        fresh = tempfile.mkdtemp(prefix="hivemind-npm-")
        command = ["npm", "install", "--prefix", fresh, "--no-audit", "--no-fund", "oidc-provider@9"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            pytest.skip(f"oidc-provider cannot be had: {done.stderr[-300:]}")
        with contextlib.suppress(OSError):  # another worker was faster
            Path(fresh).rename(folder)
        shutil.rmtree(fresh, ignore_errors=True)
    return modules


class OpenIdProvider:
    """A real OpenID provider; each start has another key. `sections` are the settings of who signs in there."""

    def __init__(self, modules):
        self._modules = modules
        self._process = None
        self.port, self.site_port = _free_ports(2)
        self.issuer, self.site = (f"http://127.0.0.1:{port}" for port in (self.port, self.site_port))
        self.sections = {
            "server": {"port": self.site_port},
            "auth": {"public_url": self.site, "group_roles": {"admins": "admin", "crew": "operator"}},
            "oidc": {
                "issuer": self.issuer,
                "client_id": "hivemind",
                "client_secret": "a secret/with:signs",
                "name": "Example Corp",
                "scopes": ("openid", "profile", "email", "groups"),
            },
        }

    def start(self):
        script = Path(__file__).parent / "openid_provider.mjs"
        command = ["node", str(script), str(self._modules), str(self.port), self.site]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout.readline() == "ready\n"

    def stop(self):
        self._process.kill()
        self._process.communicate()


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in held]


@pytest.fixture
def openid_provider(oidc_modules):
    provider = OpenIdProvider(oidc_modules)
    provider.start()
    yield provider
    provider.stop()

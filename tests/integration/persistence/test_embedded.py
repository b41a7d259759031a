"""The embedded server: it starts, survives its owner, is adopted, has one owner, and leaves modes alone."""

import os
import pwd
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from hivemind.errors import ConfigError, DatabaseUnavailable
from hivemind.persistence import Database, EmbeddedPostgres, embedded, home
from hivemind.persistence.binaries import Binaries, find_binaries

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[3]
OWNER = """
import sys, trio
from pathlib import Path
from hivemind.persistence import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]))
    await server.start(lambda line: print(line, file=sys.stderr))
    print(server.pid, server.conninfo, flush=True)
    if sys.argv[2] == "stop":
        await server.stop()
    else:
        await trio.sleep_forever()

trio.run(main)
"""


@pytest.fixture
def owned():
    """Start servers that are stopped at the end, whatever happened to them."""
    servers = []

    def make(folder, **options):
        servers.append(EmbeddedPostgres(folder, **options))
        return servers[-1]

    yield make

    async def stop_all():
        for server in servers:
            await server.stop()

    trio.run(stop_all)


def start(server):
    said = []

    async def main():
        with trio.fail_after(60):
            await server.start(said.append)

    trio.run(main)
    return "\n".join(said)


def ask(server, sql):
    async def main():
        async with Database(server.conninfo, size=1, wait_seconds=5) as database:
            return await database.fetch_one(sql)

    return trio.run(main)


def owner(folder, *, then="sleep", python=sys.executable, path=(), **options):
    return subprocess.Popen(
        [python, "-c", OWNER, str(folder), then],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(map(str, (REPOSITORY, *path)))},
        **options,
    )


def test_it_starts_stops_and_keeps_what_was_written(folder, owned):
    server = owned(folder)
    said = start(server)
    assert "making a database" in said
    assert server.version.partition(".")[0] == (folder / "data" / "PG_VERSION").read_text().strip()

    async def write():
        async with Database(server.conninfo) as database:
            await database.execute("create table t as select 7 as x")

    trio.run(write)
    first, pid = server.conninfo, server.pid
    trio.run(server.stop)
    assert not Path(f"/proc/{pid}").exists()
    assert "making a database" not in start(server)
    assert server.conninfo == first
    assert ask(server, "select x from t") == {"x": 7}


def test_it_is_durable_listens_on_no_port_and_lets_nobody_else_in(folder, owned):
    server = owned(folder)
    start(server)
    assert ask(server, "show fsync") == {"fsync": "on"}
    assert ask(server, "show synchronous_commit") == {"synchronous_commit": "on"}
    assert ask(server, "show data_checksums") == {"data_checksums": "on"}
    assert ask(server, "show listen_addresses") == {"listen_addresses": ""}
    assert stat.S_IMODE((folder / "run").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o700
    rules = ask(server, "select string_agg(type || ' ' || auth_method, ',') as rules from pg_hba_file_rules")
    assert rules == {"rules": "local peer"}


def test_wait_returns_when_the_server_dies_and_a_new_start_recovers(folder, owned):
    server = owned(folder)
    start(server)

    async def die():
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.wait)
                await trio.testing.wait_all_tasks_blocked()
                os.kill(server.pid, signal.SIGKILL)

    trio.run(die)
    trio.run(server.stop)
    start(server)
    assert ask(server, "select 1 as one") == {"one": 1}


def test_a_second_owner_is_refused_and_told_who_has_it(folder, owned):
    start(owned(folder))
    with pytest.raises(ConfigError, match=f"process {os.getpid()}") as caught:
        start(owned(folder))
    assert caught.value.remedy


def test_the_server_of_a_killed_owner_is_adopted_and_watched(folder, owned):
    with owner(folder) as process:
        pid = int(process.stdout.readline().split()[0])
        process.kill()
    server = owned(folder)
    assert f"adopted the running Postgres {find_binaries(None).text} (process {pid})" in start(server)
    assert server.pid == pid
    assert ask(server, "select 1 as one") == {"one": 1}

    async def die():
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.wait)
                await trio.testing.wait_all_tasks_blocked()
                os.kill(pid, signal.SIGQUIT)

    trio.run(die)


def test_an_owner_that_let_go_finds_its_server_again(folder, owned):
    server = owned(folder)
    start(server)
    pid = server.pid
    server.release()
    assert "adopted" in start(server)
    assert server.pid == pid


def test_backends_of_a_killed_postmaster_do_not_stand_in_the_way(folder, owned):
    server = owned(folder)
    start(server)

    async def busy_then_killed():
        async with Database(server.conninfo) as database, trio.open_nursery() as nursery:

            async def spin():
                with pytest.raises(DatabaseUnavailable):
                    await database.execute("do $$ begin loop end loop; end $$")

            nursery.start_soon(spin)
            async with Database(server.conninfo) as other:
                with trio.fail_after(30):
                    while not (
                        await other.fetch_one("select true from pg_stat_activity where query like 'do %'")
                    ):
                        await trio.lowlevel.checkpoint()
            os.kill(server.pid, signal.SIGKILL)
            await server.wait()
            await server.stop()
            with trio.fail_after(30):
                await server.start(lambda _: None)

    trio.run(busy_then_killed)
    assert ask(server, "select 1 as one") == {"one": 1}


def test_a_process_number_that_now_belongs_to_a_stranger_is_not_taken_for_a_server(folder, owned):
    server = owned(folder)
    start(server)
    os.kill(server.pid, signal.SIGKILL)
    trio.run(server.wait)
    trio.run(server.stop)
    account = folder.joinpath("data").stat().st_uid
    with subprocess.Popen(["/bin/sleep", "3600"], **({"user": account} if ROOT else {})) as stranger:
        file = folder / "data" / "postmaster.pid"
        file.write_text("\n".join([str(stranger.pid), *file.read_text().splitlines()[1:]]) + "\n")
        start(server)
        assert ask(server, "select 1 as one") == {"one": 1}
        assert stranger.poll() is None
        stranger.kill()


def test_a_start_that_is_cancelled_leaves_nothing_running_and_the_next_one_works(folder, owned):
    server = owned(folder)

    async def main():
        with trio.CancelScope() as scope:
            await server.start(lambda line: scope.cancel() if line.startswith("starting") else None)
        assert scope.cancelled_caught

    trio.run(main)
    assert embedded._processes_on(folder / "data") == set()
    start(server)
    assert ask(server, "select 1 as one") == {"one": 1}


def test_data_of_another_major_is_refused(folder, owned):
    server = owned(folder)
    start(server)
    trio.run(server.stop)
    (folder / "data" / "PG_VERSION").write_text("14\n")
    with pytest.raises(ConfigError, match="made by Postgres 14") as caught:
        start(server)
    assert caught.value.remedy


def test_a_configuration_that_postgres_refuses_is_reported_in_its_own_words(folder, owned, monkeypatch):
    monkeypatch.setitem(home.SETTINGS, "shared_buffers", "'a lot'")
    with pytest.raises(DatabaseUnavailable, match="shared_buffers"):
        start(owned(folder))


def test_a_path_too_long_for_a_socket_gets_a_short_one(folder, owned):
    server = owned(folder / ("long" * 30))
    start(server)
    assert ask(server, "select 1 as one") == {"one": 1}
    sockets = Path(server.conninfo.split()[0].removeprefix("host="))
    assert len(str(sockets)) < 60
    trio.run(server.stop)
    sockets.rmdir()


def test_without_binaries_it_says_what_to_do(folder, owned, monkeypatch):
    monkeypatch.setattr("hivemind.persistence.binaries._wheel", list)
    monkeypatch.setattr("hivemind.persistence.binaries._system", list)
    with pytest.raises(ConfigError, match="no Postgres on this machine") as caught:
        start(owned(folder))
    assert "embedded" in caught.value.remedy


def test_a_dead_server_that_nobody_reaps_counts_as_gone():
    with subprocess.Popen(["/bin/true"]) as process:
        server = EmbeddedPostgres(Path("/nowhere"))
        server._watch(process.pid)

        async def main():
            with trio.fail_after(30):
                await server.wait()

        trio.run(main)
        assert Path(f"/proc/{process.pid}").exists()
        assert server._is_gone()
        server._forget()


@pytest.mark.skipif(not ROOT, reason="only root runs Postgres as somebody else")
class TestAsRoot:
    def test_the_server_is_not_root(self, folder, owned):
        server = owned(folder, user="nobody")
        assert "as the user nobody" in start(server)
        assert Path(f"/proc/{server.pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid

    def test_existing_data_keeps_its_owner(self, folder, owned):
        server = owned(folder, user="nobody")
        start(server)
        trio.run(server.stop)
        assert "as the user nobody" in start(owned(folder))

    def test_below_a_private_folder_the_data_goes_elsewhere_and_no_mode_changes(
        self, folder, owned, monkeypatch
    ):
        monkeypatch.setattr(home, "ELSEWHERE", folder.parent / "var")
        private = folder.parent / "private"
        private.mkdir(mode=0o700)
        server = owned(private / "deep" / "postgres")
        assert f"is private: the database is in {folder.parent / 'var'}" in start(server)
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        conninfo = server.conninfo
        trio.run(server.stop)
        start(server)
        assert server.conninfo == conninfo
        assert (private / "deep" / "postgres" / "elsewhere").readlink().parent == folder.parent / "var"

    def test_binaries_out_of_reach_are_linked_next_to_the_data(self, folder, owned, monkeypatch):
        private = folder.parent / "private"
        private.mkdir(mode=0o700)
        real = find_binaries(None)
        hidden = Binaries(real.mirrored(private).folder, real.version)
        monkeypatch.setattr(embedded, "find_binaries", lambda _: hidden)
        server = owned(folder)
        start(server)
        assert (
            Path(f"/proc/{server.pid}/exe").readlink()
            == folder / f"postgres-{real.text}" / "bin" / "postgres"
        )
        assert stat.S_IMODE(private.stat().st_mode) == 0o700

    def test_an_ordinary_user_runs_it_as_themselves(self, folder):
        python = "/usr/bin/python3"
        nobody = pwd.getpwnam("nobody")
        site = next(path for path in map(Path, sys.path) if path.name == "site-packages")
        probe = subprocess.run(
            [python, "-c", "import psycopg, trio, sys; print(sys.version_info[:2])"],
            capture_output=True, text=True, cwd="/", env={"PYTHONPATH": str(site)},
            user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[],
        )  # fmt: skip
        if probe.returncode != 0:
            pytest.skip("no interpreter with our dependencies is in reach of an ordinary user")
        folder.mkdir()
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        with owner(folder, python=python, path=[site], **as_nobody) as process:
            pid = int(process.stdout.readline().split()[0])
            assert Path(f"/proc/{pid}").stat().st_uid == nobody.pw_uid
            process.kill()
        with owner(folder, then="stop", python=python, path=[site], **as_nobody) as process:
            out, said = process.communicate(timeout=60)
        assert f"(process {pid})" in said
        assert process.returncode == 0
        assert embedded._processes_on(folder / "data") == set()


def test_it_runs_on_a_machine_without_shared_memory_for_everybody(folder, owned, monkeypatch):
    monkeypatch.setattr(home, "SHARED_MEMORY", folder.parent / "missing")
    server = owned(folder)

    async def main():
        await server.start(lambda _: None)
        async with Database(server.conninfo, size=1) as database:
            row = await database.fetch_one("show dynamic_shared_memory_type")
        assert row == {"dynamic_shared_memory_type": "mmap"}

    trio.run(main)

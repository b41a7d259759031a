"""Promise: a backup is the whole installation, is private, and restores into an empty place and no other."""

import json
import stat
import tarfile

import pytest
import trio

from hivemind import cli, keyfiles
from hivemind.persistence import Database, migrate


@pytest.fixture
def hivemind(capsys):
    def run(*arguments, code=0):
        capsys.readouterr()
        assert cli.run(list(arguments)) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    return run


@pytest.fixture
def at(monkeypatch, tmp_path):
    """Works in a folder of its own on a database: `folder = at(name, url)`."""

    def go(name, url):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("DATABASE_URL", url)
        return folder

    return go


@pytest.fixture
def backed_up(at, tmp_path, database_url, hivemind):
    folder = at("old", database_url)
    keyfiles.ensure(folder / "secrets")
    (folder / "data").mkdir()
    (folder / "data" / "audit_heads.ndjson").write_text("{}\n")

    async def fill():
        async with Database(database_url, size=1) as database:
            await migrate(database, report=lambda _: None)
            await database.execute("update agent_profiles set name = 'Kept' where slug = 'hello'")

    trio.run(fill)
    file = tmp_path / "kept.tar"
    assert json.loads(hivemind("backup", str(file), "--json"))["bytes"] == file.stat().st_size
    return file


def name_of_hello(url):
    async def ask():
        async with Database(url, size=1) as database:
            return (await database.fetch_one("select name from agent_profiles where slug = 'hello'"))["name"]

    return trio.run(ask)


def test_it_restores_into_an_empty_place(at, backed_up, fresh_database, hivemind, tmp_path):
    with fresh_database() as url:
        folder = at("new", url)
        assert "start the server" in hivemind("restore", str(backed_up))
        assert name_of_hello(url) == "Kept"
        old = tmp_path / "old"
        for path in sorted((old / "secrets").iterdir()):
            copy = folder / "secrets" / path.name
            assert copy.read_bytes() == path.read_bytes()
            assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        keyfiles.ensure(folder / "secrets")  # takes them for private and whole
        assert (folder / "data" / "audit_heads.ndjson").read_text() == "{}\n"
        assert "is not empty" in hivemind("restore", str(backed_up), code=3)


def test_keys_of_another_installation_are_left_alone(at, backed_up, fresh_database, hivemind):
    with fresh_database() as url:
        folder = at("other", url)
        before = keyfiles.ensure(folder / "secrets").admin_api_key
        assert "is another key than the backup's" in hivemind("restore", str(backed_up), code=3)
        assert keyfiles.read_admin_api_key(folder / "secrets") == before


def test_the_file_is_private_and_never_written_over(backed_up, hivemind):
    assert stat.S_IMODE(backed_up.stat().st_mode) == 0o600
    before = backed_up.read_bytes()
    assert "is there already" in hivemind("backup", str(backed_up), code=3)
    assert backed_up.read_bytes() == before
    assert [path.name for path in backed_up.parent.iterdir() if "hivemind-backup" in path.name] == []


def test_what_is_no_backup_is_refused(at, tmp_path, database_url, hivemind):
    at("new", database_url)
    (tmp_path / "x.tar").write_text("nothing")
    assert "is no backup" in hivemind("restore", str(tmp_path / "x.tar"), code=2)
    with tarfile.open(tmp_path / "y.tar", "w"):
        pass
    assert "is no backup of Hivemind" in hivemind("restore", str(tmp_path / "y.tar"), code=2)


def test_a_database_that_is_away_is_said(at, hivemind, tmp_path):
    at("new", "postgresql://nobody@127.0.0.1:1/none")
    assert "(database_unavailable)" in hivemind("backup", str(tmp_path / "z.tar"), code=4)
    assert not (tmp_path / "z.tar").exists()

"""Promise: `hivemind directives`, `tasks` and `schedules` do on a running server what they say."""

import json

import pytest
import trio

from hivemind import cli


@pytest.fixture
def with_cli(with_site, folders, monkeypatch, capsys):
    """Run `await test(site, hivemind)`: `hivemind` runs one command against the site, in a thread."""
    monkeypatch.setenv("HIVEMIND_DATA_SECRETS_FOLDER", str(folders["secrets_folder"]))

    def run(test):
        async def inner(site):
            async def hivemind(*arguments, code=0):
                capsys.readouterr()
                ended = await trio.to_thread.run_sync(cli.run, [*arguments, "--url", site.server.url])
                said = capsys.readouterr()
                assert ended == code, said.err
                return said.out if code == 0 else said.err

            await test(site, hivemind)

        with_site(inner, directives={"poll_seconds": 0.05})

    return run


def test_directives(with_cli):
    async def test(site, hivemind):
        site.model.says("Forty-\x1b[31mtwo.", when="the answer")
        said = await hivemind("directives", "give", "What is the answer?", "--wait")
        assert "done" in said and "Forty-[31mtwo." in said
        (row,) = json.loads(await hivemind("directives", "list", "--json"))
        assert row["result"].startswith("Forty")
        assert "What is the answer?" in await hivemind("directives", "list")
        later = json.loads(
            await hivemind("directives", "give", "Later", "--not-before", "2100-01-01T00:00:00Z", "--json")
        )
        assert "cancelled" in await hivemind("directives", "cancel", later["id"])
        assert "cancelled" in await hivemind("directives", "show", later["id"])
        assert "has ended" in await hivemind("directives", "cancel", later["id"], code=1)

    with_cli(test)


def test_tasks(with_cli):
    async def test(site, hivemind):
        made = json.loads(await hivemind("tasks", "add", "Paint", "Green", "--profile", "hello", "--json"))
        assert "Green" in await hivemind("tasks", "show", made["id"])
        assert "directive" in await hivemind("tasks", "run", made["id"])
        await hivemind("tasks", "set", made["id"], "dropped")
        assert "dropped" in await hivemind("tasks", "list")
        await hivemind("tasks", "delete", made["id"])
        assert "There are no tasks." in await hivemind("tasks", "list")

    with_cli(test)


def test_schedules(with_cli):
    async def test(site, hivemind):
        cron = ("--cron", "30 2 * * *", "--time-zone", "Europe/Berlin")
        assert "due next" in await hivemind("schedules", "add", "Morning report", "Write it.", *cron)
        assert "Morning report" in await hivemind("schedules", "list")
        assert len((await hivemind("schedules", "next", "Morning report")).split()) == 5
        assert (await hivemind("schedules", "run", "Morning report")).startswith("fired: directive")
        assert "by hand" in await hivemind("schedules", "ticks", "Morning report")
        assert "paused" in await hivemind("schedules", "pause", "Morning report")
        assert "due next" in await hivemind("schedules", "resume", "Morning report")
        assert "+05:30" in await hivemind("schedules", "preview", "0 9 * * *", "--time-zone", "Asia/Kolkata")
        assert "cron takes five fields" in await hivemind("schedules", "preview", "x", code=1)
        await hivemind("schedules", "delete", "Morning report")
        assert "no schedule named" in await hivemind("schedules", "next", "Morning report", code=1)

    with_cli(test)

"""Promise: what the command line says of work, documents, people and keys, it does on a running server."""

import io
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
        assert "has ended" in await hivemind("directives", "cancel", later["id"], code=3)

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
        assert "cron takes five fields" in await hivemind("schedules", "preview", "x", code=3)
        await hivemind("schedules", "delete", "Morning report")
        assert "no schedule named" in await hivemind("schedules", "next", "Morning report", code=3)

    with_cli(test)


def test_what_waits_can_be_edited_and_what_has_ended_removed(with_cli):
    async def test(site, hivemind):
        later = ("--not-before", "2100-01-01T00:00:00Z", "--json")
        made = json.loads(await hivemind("directives", "give", "Later", *later))["id"]
        changed = json.loads(await hivemind("directives", "edit", made, "--set", "text=Sooner", "--json"))
        assert changed["text"] == "Sooner"
        assert "--set" in await hivemind("directives", "edit", made, code=2)
        await hivemind("directives", "cancel", made)
        assert made in await hivemind("directives", "delete", made)
        assert "no such directive" in (await hivemind("directives", "show", made, code=3)).lower()

        task = json.loads(await hivemind("tasks", "add", "Paint", "--json"))["id"]
        assert "Plaster" in await hivemind("tasks", "edit", task, "--set", "title=Plaster")

        await hivemind("schedules", "add", "night", "Rest.", "--cron", "0 3 * * *")
        await hivemind("schedules", "edit", "night", "--set", "cron=30 4 * * *")
        assert "30 4 * * *" in await hivemind("schedules", "show", "night")

    with_cli(test)


def test_caps_and_costs(with_cli):
    async def test(site, hivemind):
        assert "Nothing was spent." in await hivemind("costs")
        cap = json.loads(
            await hivemind("caps", "add", "install", "day", "$2.50", "--soft-share", "0.5", "--json")
        )
        assert cap["limit_micros"] == 2_500_000
        assert "$4.00" in await hivemind("caps", "set", cap["id"], "--limit", "4", "--on-soft", "ask")
        listed = await hivemind("caps", "list")
        assert cap["id"] in listed and "50% ask" in listed and "$4.00" in listed
        assert "acknowledged" in await hivemind("caps", "acknowledge", cap["id"])
        await site.say("Hi")
        (row,) = json.loads(await hivemind("costs", "--by", "profile,model", "--json"))
        assert (row["profile_slug"], row["model"], row["turns"]) == ("hello", "fake", 1)
        assert "hello" in await hivemind("costs", "--by", "profile")
        assert "is not known" in await hivemind("costs", "--by", "moon", code=2)
        assert cap["id"] in await hivemind("caps", "delete", cap["id"])
        (of_the_demo,) = json.loads(await hivemind("caps", "--json"))
        await hivemind("caps", "delete", of_the_demo["id"])
        assert "There is no cap" in await hivemind("caps")
        assert "There is no cap" in await hivemind("budget")

    with_cli(test)


def test_conversations(with_cli):
    async def test(site, hivemind):
        assert "Nobody has said anything." in await hivemind("conversations")
        said = await site.say("Good day")
        name = said["conversation_id"]
        assert name in await hivemind("conversations", "list")
        shown = await hivemind("conversations", "show", name)
        assert "user: Good day" in shown and "assistant: Hello there." in shown
        assert "erased 2 messages" in await hivemind("conversations", "erase", name, "--yes")
        assert "Good day" not in await hivemind("conversations", "show", name)

    with_cli(test)


def test_supervision_and_health(with_cli):
    async def test(site, hivemind):
        assert "backoff_initial_seconds = 1.0  (" in await hivemind(
            "supervision", "show", "/workers/watchdog"
        )
        changed = await hivemind("supervision", "set", "agents", "--set", "max_restarts=10")
        assert "agents.max_restarts = 10" in changed
        taken_back = await hivemind("supervision", "set", "agents", "--set", "max_restarts=null")
        assert "agents.max_restarts = 10" not in taken_back
        assert "max_restart" in await hivemind(
            "supervision", "set", "agents", "--set", "max_restart=1", code=3
        )
        assert (await hivemind("health")).startswith("ok  ")
        assert json.loads(await hivemind("health", "--json"))["status"] == "ok"
        tree = json.loads(await hivemind("actors", "--json"))
        assert tree["address"] == "/"
        done = await hivemind("actors", "/workers/watchdog", "--do", "restart", "--json")
        assert json.loads(done)["address"] == "/workers/watchdog"

    with_cli(test)


def test_knowledge(with_cli, tmp_path):
    async def test(site, hivemind):
        terms, page, large = (tmp_path / name for name in ("terms.md", "page.html", "large.txt"))
        terms.write_text("# Terms\n\nRefunds take fourteen days.")
        page.write_text("<title>Leave</title><script>let x</script><p>Parents get ninety days.")
        large.write_text("Nothing to see. " * 60_000 + "\n\nThe elephant is grey.")
        said = await hivemind("knowledge", "add", str(terms), str(page), "--collection", "house")
        assert "terms.md" in said and "page.html" in said
        rows = json.loads(await hivemind("knowledge", "list", "--json"))
        assert [(row["title"], row["collection"]) for row in rows] == [
            ("terms.md", "house"),
            ("page.html", "house"),
        ]
        shown = await hivemind("knowledge", "show", rows[1]["id"])
        assert "Parents get ninety days." in shown and "let x" not in shown
        # Larger than any other body may be.
        assert large.stat().st_size > 3 * site.server.settings.server.max_body_bytes
        await hivemind("knowledge", "add", str(large), "--title", "Zoo")
        assert "elephant is grey" in await hivemind("knowledge", "search", "elephant")
        assert "Nothing is found." in await hivemind(
            "knowledge", "search", "elephant", "--collection", "house"
        )
        terms.write_text("Refunds take thirty days.")
        await hivemind("knowledge", "add", str(terms), "--replace", rows[0]["id"], "--collection", "house")
        (found,) = json.loads(await hivemind("knowledge", "search", "refunds", "--json"))
        assert found["text"] == "Refunds take thirty days."
        (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\xff\xfe\0")
        assert "pdftotext" in await hivemind("knowledge", "add", str(tmp_path / "a.pdf"), code=3)
        await hivemind("knowledge", "remove", rows[0]["id"])
        assert "Nothing is found." in await hivemind("knowledge", "search", "refunds")

    with_cli(test)


def test_a_document_that_is_too_large_is_refused(with_site):
    async def test(site):
        key = {"X-API-Key": site.admin_key}
        for path, body, status in (
            ("knowledge", {"title": "x", "text": "y" * 5_000}, 201),
            ("knowledge", {"title": "x", "text": "y" * 10_000}, 413),
            ("tasks", {"title": "x", "text": "y" * 5_000}, 413),
        ):
            answered = await site.client.post(f"/api/v1/{path}", json=body, headers=key)
            assert answered.status_code == status, path

    with_site(test, server={"max_body_bytes": 3_000, "max_document_bytes": 9_000})


def test_users(with_cli, monkeypatch):
    async def test(site, hivemind):
        async def signs_in(password):
            body = {"username": "grace", "password": password}
            response = await site.client.post("/auth/login", json=body)
            site.client.cookies.clear()
            return response.status_code

        assert "first one" in await hivemind("users")
        await hivemind("users", "add", "root", "--role", "admin")
        first = (await hivemind("users", "add", "grace", "--role", "operator")).strip()
        assert "\n" not in first  # the password alone, for a pipe
        assert await signs_in(first) == 200
        second = json.loads(await hivemind("users", "password", "grace", "--json"))["password"]
        assert (await signs_in(first), await signs_in(second)) == (401, 200)
        monkeypatch.setattr("sys.stdin", io.StringIO("a sentence of my own\n"))
        assert "a sentence" not in await hivemind("users", "password", "grace", "--password-stdin")
        assert await signs_in("a sentence of my own") == 200
        seen = json.loads(await hivemind("users", "show", "grace", "--json"))
        assert len(seen["sessions"]) == 1 and seen["role"] == "operator"
        assert seen["sessions"][0]["id"] in await hivemind("users", "show", seen["id"])
        assert "Ended 1 " in await hivemind("users", "sign-out", "grace")
        assert "Not signed in" in await hivemind("users", "show", "grace")
        assert "grace is viewer" in await hivemind("users", "role", "grace", "viewer")
        assert "disabled" in await hivemind("users", "disable", "grace")
        assert "disabled" not in await hivemind("users", "enable", "grace")
        assert "no groups" in await hivemind("users", "role", "grace", "by-groups", code=3)
        there = ("--issuer", "https://id.example.org", "--subject", "s-1")
        assert "https://id.example.org" in await hivemind("users", "add", "ada", *there)
        assert "is admin" in await hivemind("users", "role", "ada", "admin")
        assert "is admin" in await hivemind("users", "role", "ada", "by-groups")
        assert "neither of them" in await hivemind("users", "add", "eve", "--issuer", "x", code=2)
        assert "grace" in await hivemind("users", "delete", "grace")
        assert "`hivemind users`" in await hivemind("users", "show", "grace", code=3)

    with_cli(test)


def test_keys(with_cli):
    async def test(site, hivemind):
        async def counts(key):
            return (await site.client.get("/api/v1/agents", headers={"X-API-Key": key})).is_success

        assert "keys create" in await hivemind("keys")
        key = (await hivemind("keys", "create", "ci", "--role", "viewer", "--days", "90")).strip()
        assert key.startswith("hm-") and await counts(key)
        (row,) = json.loads(await hivemind("keys", "--json"))
        assert row["role"] == "viewer" and key not in str(row)
        shown = await hivemind("keys")
        assert row["id"] in shown and "until 2" in shown
        later = json.loads(await hivemind("keys", "rotate", row["id"], "--json"))
        assert await counts(key) and await counts(later["key"])
        assert "ended" in await hivemind("keys", "revoke", later["api_key"]["id"])
        assert not await counts(later["key"])
        assert "revoked" in await hivemind("keys")

    with_cli(test)


def test_the_history_of_health(with_cli):
    async def test(site, hivemind):
        await site.rows(
            """insert into health_checks (at, status, checks)
               select now() - n * interval '5 minutes', 'ok', jsonb_build_object('provider',
                      case when n = 3 then '{"status": "degraded", "message": "it sleeps"}' else '{"status": "ok"}' end::jsonb)
               from (select n from generate_series(1, 5) n order by n desc) looks returning 1"""
        )
        told = await hivemind("health", "--history", "1")
        assert told.index("it sleeps") < told.index(" ok ")
        assert len(json.loads(await hivemind("health", "--history", "1", "--json"))) >= 5
        assert "it sleeps" not in await hivemind("health")

    with_cli(test)

"""Promise: owners make, edit and put away profiles, and nobody's edit is lost or unseen."""

import json

import trio
from click.testing import CliRunner

from hivemind.cli import hivemind

PATH = "/api/v1/agent-profiles"


class Owner:
    """Asks with the admin key."""

    def __init__(self, site):
        self._client, self._key = site.client, {"X-API-Key": site.admin_key}

    async def ask(self, method, path="", body=None, headers=None, *, expect=200):
        response = await self._client.request(
            method, PATH + path, json=body, headers=self._key | (headers or {})
        )
        assert response.status_code == expect, response.text
        return response

    async def profile(self, method, path="", body=None, headers=None, *, expect=200):
        return (await self.ask(method, path, body, headers, expect=expect)).json()["profile"]

    async def wrong(self, method, path, body, expect=422):
        error = (await self.ask(method, path, body, expect=expect)).json()["error"]
        return {field["field"] for field in error.get("fields", ())} or error["code"]


NEW = {"slug": "support", "name": "Support", "prompt": "Help."}


def test_a_profile_from_its_making_to_its_end(with_site):
    async def test(site):
        owner = Owner(site)
        made = await owner.profile("POST", "", NEW | {"tier": 1, "max_steps": 3}, expect=201)
        assert made["max_steps"] == 3 and made["max_input_chars"] == 8000 and made["tools"] == {}
        # Seen at once in this process, by the public and as a model.
        site.model.says("One.")
        await site.say("hi", slug="support")
        changed = await owner.profile(
            "PATCH", "/support", {"prompt": "Help kindly.", "model": "fake", "injection_threshold": 0.6}
        )
        assert (changed["prompt"], changed["model"], changed["injection_threshold"]) == (
            "Help kindly.",
            "fake",
            0.6,
        )
        assert changed["max_steps"] == 3 and changed["updated_at"] > made["updated_at"]
        await site.say("hi", slug="support")
        assert site.model.requests[-1]["messages"][0]["content"] == "Help kindly."
        assert (await owner.profile("PATCH", "/support", {"model": None}))["model"] is None
        assert await owner.profile("PATCH", "/support", {"name": "Support"}) == await owner.profile(
            "GET", "/support"
        )
        # It has conversations: it is put away, and taken out again.
        assert await owner.wrong("DELETE", "/support", None, 409) == "conflict"
        assert (await owner.profile("POST", "/support/archive"))["archived_at"]
        assert (await site.post("hi", slug="support")).status_code == 404
        slugs = [item["slug"] for item in (await owner.ask("GET")).json()["items"]]
        assert slugs == ["hello"]
        assert len((await owner.ask("GET", "?archived=true")).json()["items"]) == 2
        assert await owner.wrong("POST", "", NEW, 409) == "conflict"
        assert (await owner.profile("POST", "/support/restore"))["archived_at"] is None
        await site.say("hi", slug="support")
        # One that nothing was done with can go.
        await owner.profile("POST", "", NEW | {"slug": "idle"}, expect=201)
        await owner.ask("DELETE", "/idle", expect=204)
        assert await owner.wrong("GET", "/idle", None, 404) == "not_found"
        rows = await site.rows(
            "select action, detail from audit_log where action like 'admin:profile:%%' order by id"
        )
        assert [(row["action"].removeprefix("admin:profile:"), row["detail"]) for row in rows] == [
            ("created", {"slug": "support", "fields": ["max_steps", "name", "prompt", "tier"]}),
            ("changed", {"slug": "support", "fields": ["injection_threshold", "model", "prompt"]}),
            ("changed", {"slug": "support", "fields": ["model"]}),
            ("archived", {"slug": "support"}),
            ("restored", {"slug": "support"}),
            ("created", {"slug": "idle", "fields": ["name", "prompt"]}),
            ("deleted", {"slug": "idle"}),
        ]

    with_site(test)


def test_an_edit_by_what_was_read_before_is_refused(with_site):
    async def test(site):
        owner = Owner(site)
        read = await owner.ask("GET", "/hello")
        tag, at = read.headers["ETag"], read.json()["profile"]["updated_at"]
        changed = await owner.ask("PATCH", "/hello", {"name": "Mine"}, {"If-Match": tag})
        assert changed.headers["ETag"] != tag
        late = await owner.ask("PATCH", "/hello", {"name": "Yours"}, {"If-Match": tag}, expect=409)
        assert late.json()["error"]["remedy"] == "read it again"
        await owner.ask("PATCH", "/hello", {"name": "Yours", "updated_at": at}, expect=409)
        await owner.ask("DELETE", "/hello", None, {"If-Match": tag}, expect=409)
        await owner.ask("PATCH", "/hello", {"name": "Yours"}, {"If-Match": "nonsense"}, expect=400)
        assert (await owner.profile("GET", "/hello"))["name"] == "Mine"
        # Of two at once by the same reading, one counts.
        statuses = []

        async def edit(name):
            response = await site.client.patch(
                f"{PATH}/hello",
                json={"name": name},
                headers={"X-API-Key": site.admin_key, "If-Match": changed.headers["ETag"]},
            )
            statuses.append(response.status_code)

        async with trio.open_nursery() as nursery:
            for name in "abcd":
                nursery.start_soon(edit, name)
        assert sorted(statuses) == [200, 409, 409, 409]

    with_site(test)


def test_what_cannot_be_is_refused_by_its_field(with_site):
    async def test(site):
        owner = Owner(site)
        assert await owner.wrong("POST", "", {"slug": "Bad Slug", "name": "n", "prompt": ""}) == {"slug"}
        assert await owner.wrong("POST", "", {"slug": "ok"}) == {"name", "prompt"}
        for field, value in (
            ("tier", 4),
            ("name", None),
            ("max_steps", 0),
            ("max_steps", 40_000),
            ("max_turn_micros", 0),
            ("on_injection", "shrug"),
            ("injection_threshold", 0),
            ("when_busy", "panic"),
            ("documents_only", "yes"),
            ("tools", {"teleport": {"policy": "allow"}}),
            ("tools", {"http_fetch": {"policy": "perhaps"}}),
            ("slug", "other"),
            ("archived_at", "2026-01-01T00:00:00Z"),
            ("unknown", 1),
        ):
            assert await owner.wrong("PATCH", "/hello", {field: value}) == {field}, (field, value)
        assert (await site.client.get(PATH)).status_code == 401
        assert await site.value("select count(*) from audit_log where action like 'admin:profile:%%'") == 0

    with_site(test)


def test_lists_come_a_page_at_a_time(with_site):
    async def test(site):
        owner = Owner(site)
        for slug in ("b", "a", "c"):
            await owner.profile("POST", "", NEW | {"slug": slug}, expect=201)
        first = (await owner.ask("GET", "?limit=3")).json()
        assert [item["slug"] for item in first["items"]] == ["a", "b", "c"]
        rest = (await owner.ask("GET", f"?limit=3&cursor={first['next_cursor']}")).json()
        assert [item["slug"] for item in rest["items"]] == ["hello"] and rest["next_cursor"] is None

    with_site(test)


def test_an_archived_profile_takes_no_directive_either(with_site):
    async def test(site):
        owner = Owner(site)
        given = await site.client.post(
            "/api/v1/directives",
            json={"profile": "hello", "text": "work", "not_before": "2099-01-01T00:00:00Z"},
            headers={"X-API-Key": site.admin_key},
        )
        await owner.profile("POST", "/hello/archive")
        key = given.json()["directive"]["id"]
        await site.client.patch(
            f"/api/v1/directives/{key}",
            json={"not_before": "2020-01-01T00:00:00Z"},
            headers={"X-API-Key": site.admin_key},
        )
        while (row := await site.rows("select state, failure_code from directives"))[0]["state"] != "failed":
            await trio.lowlevel.checkpoint()
        assert row == [{"state": "failed", "failure_code": "not_permitted"}]
        assert not site.model.requests

    with_site(test)


def test_the_command_line(with_site, folders, monkeypatch, tmp_path):
    monkeypatch.setenv("HIVEMIND_DATA_SECRETS_FOLDER", str(folders["secrets_folder"]))
    monkeypatch.chdir(tmp_path)

    async def test(site):
        async def run(*arguments, code=0):
            def call():
                return CliRunner().invoke(hivemind, ["profiles", *arguments, "--url", site.server.url])

            result = await trio.to_thread.run_sync(call)
            assert result.exit_code == code, result.output
            return result.output

        created = await run("create", "support", "--prompt", "Help.", "--set", "tier=1", "--json")
        assert json.loads(created)["tier"] == 1
        (tmp_path / "more.json").write_text('{"max_steps": 4, "name": "Ours", "id": "kept"}')
        edited = await run("edit", "support", "--file", "more.json", "--set", "model=fake", "--json")
        document = json.loads(edited)
        assert (document["max_steps"], document["name"], document["model"]) == (4, "Ours", "fake")
        assert [row["slug"] for row in json.loads(await run("list", "--json"))] == ["hello", "support"]
        assert "support" in await run("list") and "Help." in await run("show", "support")
        # In the editor: what was changed there is sent, and nothing else.
        editor = tmp_path / "editor"
        editor.write_text("#!/bin/sh\nsed -i 's/Help\\./Help well./' \"$1\"\n")
        editor.chmod(0o755)
        monkeypatch.setenv("EDITOR", str(editor))
        monkeypatch.setenv("VISUAL", str(editor))
        assert "Help well." in await run("edit", "support")
        assert "Nothing was changed." in await run("edit", "support")
        assert json.loads(await run("archive", "support", "--json"))["archived_at"]
        assert json.loads(await run("restore", "support", "--json"))["archived_at"] is None
        assert await run("delete", "support") == "Deleted support.\n"
        fields = await site.rows(
            "select detail->'fields' as fields from audit_log where action = 'admin:profile:changed' order by id"
        )
        assert [row["fields"] for row in fields] == [["max_steps", "model", "name"], ["prompt"]]

    with_site(test)

"""People and programs get in with what they were given, and not otherwise."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import trio

from hivemind.auth import attempts, covers
from hivemind.http.access import COOKIE
from hivemind.http.roles import ROUTES

PASSWORD = "correct horse battery"
LOW = "what a low password"


class Browser:
    """Keeps the cookie and sends the token along, as a page of ours does."""

    def __init__(self, site):
        self.client, self.cookie, self.csrf = site.client, None, None
        self.host = site.client.base_url.netloc.decode()

    async def ask(self, method, path, *, json=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        if self.cookie:
            headers.setdefault("Cookie", f"{COOKIE}={self.cookie}")
            headers.setdefault("X-CSRF-Token", self.csrf)
        headers.setdefault("Origin", f"http://{self.host}")
        response = await self.client.request(method, path, json=json, headers=headers)
        self.client.cookies.clear()
        return response

    async def enter(self, path, username, password=PASSWORD, **more):
        response = await self.ask("POST", path, json={"username": username, "password": password, **more})
        if response.status_code in (200, 201):
            self.cookie = re.match(rf"{COOKIE}=([^;]+)", response.headers["set-cookie"])[1]
            self.csrf = response.json()["csrf_token"]
        return response


async def first(site):
    browser = Browser(site)
    assert (await browser.enter("/auth/register", "Ada")).status_code == 201
    return browser


async def signed_in(site, admin, username, role):
    made = await admin.ask(
        "POST", "/api/v1/users", json={"username": username, "password": PASSWORD, "role": role}
    )
    assert made.status_code == 201, made.text
    browser = Browser(site)
    assert (await browser.enter("/auth/login", username)).status_code == 200
    return browser


def code(response):
    return response.status_code, response.json()["error"]["code"]


def test_the_first_to_come_is_the_admin_and_there_is_one(with_site):
    async def test(site):
        assert (await site.client.get("/auth/state")).json()["first_run"] is True
        answers = []

        async def comes(name):
            answers.append(await Browser(site).enter("/auth/register", name))

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(comes, f"user{number}")
        assert sorted(a.status_code for a in answers) == [201] + [409] * 5
        assert {code(a)[1] for a in answers if a.status_code == 409} == {"already_registered"}
        assert (await site.client.get("/auth/state")).json()["first_run"] is False
        (row,) = await site.rows("select role, password_hash from users")
        assert row["role"] == "admin" and row["password_hash"].startswith("$argon2id$")

    with_site(test)


def test_the_cookie_is_kept_from_scripts_and_other_sites(with_site):
    async def test(site):
        browser = Browser(site)
        response = await browser.enter("/auth/register", "ada")
        cookie = response.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie and "path=/" in cookie
        assert "secure" not in cookie  # plain http on this machine
        me = await browser.ask("GET", "/auth/me")
        assert me.json()["user"]["username"] == "ada" and me.json()["csrf_token"] == browser.csrf
        (row,) = await site.rows("select hash from web_sessions")
        assert browser.cookie.encode() not in bytes(row["hash"])

    with_site(test)


def test_a_change_needs_the_token_and_our_own_origin(with_site):
    async def test(site):
        browser = await first(site)
        body = {"username": "bob", "password": PASSWORD}
        for headers in (
            {"X_CSRF_Token": ""},
            {"X_CSRF_Token": "0" * 64},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": f"http://{browser.host}.evil.example"},
        ):
            refused = await browser.ask("POST", "/api/v1/users", json=body, **headers)
            assert code(refused) == (403, "not_permitted"), headers
        assert (await browser.ask("GET", "/api/v1/users", X_CSRF_Token="")).status_code == 200
        assert (await browser.ask("POST", "/api/v1/users", json=body)).status_code == 201
        # Who has only the cookie cannot sign somebody out either.
        assert (await browser.ask("POST", "/auth/logout", X_CSRF_Token="")).status_code == 403
        assert (await browser.ask("GET", "/auth/me")).status_code == 200

    with_site(test)


def test_signing_in_gives_a_new_session_and_signing_out_ends_it(with_site):
    async def test(site):
        browser = await first(site)
        before = browser.cookie
        # A session that somebody else put into the browser is not taken over.
        assert (await browser.enter("/auth/login", "ADA")).status_code == 200
        assert browser.cookie != before
        gone = await browser.ask("POST", "/auth/logout")
        assert gone.json() == {"continue_at": None}
        assert code(await browser.ask("GET", "/auth/me")) == (401, "not_authenticated")
        browser.cookie = before
        browser.csrf = None
        assert (await browser.ask("GET", "/auth/me", X_CSRF_Token="")).status_code == 200

    with_site(test)


def test_a_wrong_name_is_told_as_a_wrong_password_and_takes_the_same_work(with_site, monkeypatch):
    from hivemind.auth import passwords

    checked = []
    real = passwords._fits
    monkeypatch.setattr(passwords, "_fits", lambda p, stored: checked.append(stored) or real(p, stored))

    async def test(site):
        await first(site)
        wrong = await Browser(site).enter("/auth/login", "ada", "not the password")
        unknown = await Browser(site).enter("/auth/login", "nobody", "not the password")
        assert wrong.status_code == unknown.status_code == 401
        assert wrong.json() == unknown.json()
        assert len(checked) == 2 and checked[0] and checked[1] is None

    with_site(test)


def test_who_guesses_has_to_wait_however_many_at_once(with_site, monkeypatch):
    monkeypatch.setattr(attempts, "FIRST_WAIT_SECONDS", 60.0)

    async def test(site):
        await first(site)
        answers = []

        async def guess():
            answers.append(await Browser(site).enter("/auth/login", "ada", "not the password"))

        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(guess)
        statuses = sorted(a.status_code for a in answers)
        assert statuses == [401] * 5 + [429] * 7
        late = next(a for a in answers if a.status_code == 429)
        assert int(late.headers["retry-after"]) >= 1 and code(late)[1] == "rate_limited"
        # The right password waits as well: else one could tell that it is the right one.
        assert (await Browser(site).enter("/auth/login", "ada")).status_code == 429
        assert (await Browser(site).enter("/auth/login", "bob", "whatever it is")).status_code == 401

    with_site(test)


def test_another_spelling_of_a_name_is_no_way_round_the_wait(with_site):
    async def test(site):
        await first(site)
        for _ in range(5):
            assert (await Browser(site).enter("/auth/login", "ada", LOW)).status_code == 401
        for name in ("\uff41da", "a\uff44a", "\U0001d41ada", " ADA "):
            refused = await Browser(site).enter("/auth/login", name, LOW)
            assert code(refused) == (429, "rate_limited"), name

    with_site(test)


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaa", "ada-ada", "x" * 300])
def test_a_password_that_is_guessed_at_once_is_none(with_site, password):
    async def test(site):
        refused = await Browser(site).enter("/auth/register", "ada", password)
        assert code(refused) == (422, "invalid_fields")
        assert refused.json()["error"]["fields"][0]["field"] == "password"

    with_site(test)


def test_a_new_password_ends_the_other_sessions(with_site):
    async def test(site):
        browser = await first(site)
        other = Browser(site)
        await other.enter("/auth/login", "ada")
        assert (await other.ask("GET", "/auth/me")).status_code == 200
        wrong = await browser.ask("POST", "/auth/password", json={"current": LOW, "new": "a newer password"})
        assert code(wrong) == (403, "not_permitted")
        body = {"current": PASSWORD, "new": "a newer password"}
        assert (await browser.ask("POST", "/auth/password", json=body)).status_code == 204
        assert (await browser.ask("GET", "/auth/me")).status_code == 200
        assert (await other.ask("GET", "/auth/me")).status_code == 401
        assert (await Browser(site).enter("/auth/login", "ada")).status_code == 401
        assert (await Browser(site).enter("/auth/login", "ada", "a newer password")).status_code == 200

    with_site(test)


def test_who_signs_in_while_the_password_changes_stays_out(with_site, monkeypatch):
    from hivemind.auth import passwords

    real, proven, changed = passwords.fits, trio.Event(), trio.Event()

    async def held(password, stored):
        right = await real(password, stored)
        if not proven.is_set():
            proven.set()
            await changed.wait()
        return right

    async def test(site):
        browser, late = await first(site), Browser(site)
        monkeypatch.setattr(passwords, "fits", held)
        answers = []

        async def comes():
            answers.append(await late.enter("/auth/login", "ada"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(comes)
            await proven.wait()
            body = {"current": PASSWORD, "new": "a newer password"}
            assert (await browser.ask("POST", "/auth/password", json=body)).status_code == 204
            changed.set()
        assert code(answers[0]) == (401, "not_authenticated")
        assert (await browser.ask("GET", "/auth/me")).status_code == 200

    with_site(test)


def test_an_admin_looks_after_accounts_and_stays_able_to(with_site):
    async def test(site):
        admin = await first(site)
        bob = await signed_in(site, admin, "bob", "operator")
        users = {u["username"]: u for u in (await admin.ask("GET", "/api/v1/users")).json()["items"]}
        assert users["bob"]["role"] == "operator" and "password_hash" not in users["bob"]
        here = f"/api/v1/users/{users['bob']['id']}"
        (session,) = (await admin.ask("GET", f"{here}/sessions")).json()["items"]
        assert (await admin.ask("DELETE", f"{here}/sessions/{session['id']}")).status_code == 204
        assert (await bob.ask("GET", "/auth/me")).status_code == 401
        await bob.enter("/auth/login", "bob")
        assert (await admin.ask("PATCH", here, json={"disabled": True})).json()["user"]["disabled_at"]
        assert (await bob.ask("GET", "/auth/me")).status_code == 401
        assert (await bob.enter("/auth/login", "bob")).status_code == 401
        ada = f"/api/v1/users/{users['ada']['id']}"
        for change in ({"role": "viewer"}, {"disabled": True}):
            assert code(await admin.ask("PATCH", ada, json=change)) == (409, "conflict")
        assert code(await admin.ask("DELETE", ada)) == (409, "conflict")
        await admin.ask("PATCH", here, json={"disabled": False, "role": "admin"})
        assert (await admin.ask("PATCH", ada, json={"role": "viewer"})).status_code == 200
        assert (await admin.ask("GET", "/auth/me")).status_code == 401  # what it had is over
        said = await site.rows(
            "select action, detail->>'by' as by from audit_log where action like 'admin:user:%' order by id"
        )
        assert {row["by"] for row in said} == {"operator:user:ada"}

    with_site(test)


def test_keys_are_told_once_rotate_without_a_gap_and_end(with_site):
    async def test(site):
        admin = await first(site)
        made = (await admin.ask("POST", "/api/v1/api-keys", json={"name": "ci", "role": "viewer"})).json()
        key, key_id = made["key"], made["api_key"]["id"]
        assert key.startswith("hm-") and made["api_key"]["hint"] == key[-4:]

        async def ask(key, path="/api/v1/agents", header="X-API-Key"):
            shown = key if header == "X-API-Key" else f"Bearer {key}"
            return (await site.client.get(path, headers={header: shown})).status_code

        assert await ask(key) == await ask(key, header="Authorization") == 200
        assert await ask(key, "/api/v1/users") == 403
        assert await ask(key[:-1] + ("a" if key[-1] != "a" else "b")) == 401
        listed = (await admin.ask("GET", "/api/v1/api-keys")).json()["items"]
        assert key not in str(listed) and listed[0]["used_at"] and listed[0]["made_by"] == "operator:user:ada"
        (row,) = await site.rows("select hash from api_keys")
        assert key.encode() not in bytes(row["hash"])
        later = (
            await admin.ask("POST", f"/api/v1/api-keys/{key_id}/rotate", json={"overlap_seconds": 60})
        ).json()
        assert later["api_key"]["replaces"] == key_id and later["api_key"]["name"] == "ci"
        assert await ask(key) == await ask(later["key"]) == 200
        at_once = (
            await admin.ask("POST", f"/api/v1/api-keys/{key_id}/rotate", json={"overlap_seconds": 0})
        ).json()
        assert await ask(key) == 401 and await ask(at_once["key"]) == 200
        assert code(await admin.ask("POST", f"/api/v1/api-keys/{key_id}/rotate")) == (409, "conflict")
        assert (await admin.ask("DELETE", f"/api/v1/api-keys/{later['api_key']['id']}")).status_code == 200
        assert await ask(later["key"]) == 401
        past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        refused = await admin.ask("POST", "/api/v1/api-keys", json={"name": "old", "expires_at": past})
        assert code(refused) == (422, "invalid_fields")

    with_site(test)


def test_a_key_that_has_ended_does_not_count(with_site):
    async def test(site):
        admin = await first(site)
        soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        made = (await admin.ask("POST", "/api/v1/api-keys", json={"name": "ci", "expires_at": soon})).json()
        await site.rows("update api_keys set expires_at = now() returning 1")
        assert (
            await site.client.get("/api/v1/agents", headers={"X-API-Key": made["key"]})
        ).status_code == 401

    with_site(test)


def filled(path):
    """The path with something in each place of it: an id that nobody has, or a deed."""
    for name, value in {
        "deed": "restart",
        "address": "workers/nobody",
        "slug": "nobody",
        "passage_id": "1",
    }.items():
        path = path.replace(f"{{{name}}}", value)
    return re.sub(r"\{\w+\}", str(uuid4()), path)


def test_every_route_asks_for_its_role(with_site):
    async def test(site):
        admin = await first(site)
        keys = {None: None}
        for role in ("viewer", "operator", "admin"):
            made = await admin.ask("POST", "/api/v1/api-keys", json={"name": role, "role": role})
            keys[role] = made.json()["key"]
        for route, needs in ROUTES.items():
            method, path = route.split()
            if method == "WS" or needs is None or path.endswith("/events"):
                continue
            for has, key in keys.items():
                headers = {"X-API-Key": key} if key else {}
                response = await site.client.request(method, filled(path), headers=headers)
                refused = response.status_code if response.status_code in (401, 403) else None
                if response.headers.get("location", "").startswith("/sign-in"):
                    refused = 401  # a page says it so
                wanted = 401 if has is None else None if covers(has, needs) else 403
                assert refused == wanted, (route, has, response.status_code, response.text)

    with_site(test)


FORWARD = {
    "forward_auth": True,
    "forward_auth_trusted_nets": ["127.0.0.1/32"],
    "group_roles": {"ops": "operator"},
}


def named(username="ada", groups="people|ops", **more):
    return {"X-authentik-username": username, "X-authentik-groups": groups, **more}


def test_the_proxy_in_front_says_who_it_is(with_site):
    async def test(site):
        me = await site.client.get("/auth/me", headers=named(**{"X-authentik-email": "ada@example.org"}))
        (account,) = await site.rows("select id, issuer, subject from users")
        assert (account["issuer"], account["subject"]) == ("forward-auth", "ada")
        assert me.json()["user"] == {
            "id": str(account["id"]),
            "username": "ada",
            "role": "operator",
            "email": "ada@example.org",
        }
        assert (await site.client.get("/api/v1/agents", headers=named(groups="people"))).status_code == 401
        assert (await site.client.get("/api/v1/agents")).status_code == 401
        assert (await site.client.get("/api/v1/users", headers=named())).status_code == 403
        # A key is looked at by the server itself, and goes before what the headers say.
        as_owner = {"X-API-Key": site.admin_key}
        assert (await site.client.get("/api/v1/users", headers=named() | as_owner)).status_code == 200
        # The proxy's own cookie goes along with whatever asks: a change has to come from our page.
        here, body = "/api/v1/kill-switch", {"stage": 1, "reason": "a try"}
        assert code(await site.client.put(here, json=body, headers=named())) == (403, "not_permitted")
        token = {"X-CSRF-Token": me.json()["csrf_token"]}
        assert (await site.client.put(here, json=body, headers=named() | token)).status_code == 200
        (row,) = await site.rows(
            "select detail->>'by' as by from audit_log where action like '%kill-switch:raised'"
        )
        assert row["by"] == "operator:user:ada"
        for path in ("/auth/login", "/auth/register"):
            body = {"username": "ada", "password": PASSWORD}
            assert code(await site.client.post(path, json=body)) == (409, "passwords_off")

    with_site(test, auth=FORWARD)


def test_from_anybody_else_identity_headers_are_refused(with_site):
    async def test(site):
        refused = await site.client.get("/auth/me", headers=named())
        assert code(refused) == (403, "not_permitted")
        assert (await site.client.get("/auth/me", headers={"X-API-Key": site.admin_key})).status_code == 200

    with_site(test, auth=FORWARD | {"forward_auth_trusted_nets": ["10.9.8.0/24"]})


def test_an_identity_header_that_comes_twice_is_refused(with_site):
    async def test(site):
        twice = [*named().items(), ("X-authentik-groups", "admins|x")]
        assert code(await site.client.get("/auth/me", headers=twice)) == (403, "not_permitted")

    with_site(test, auth=FORWARD | {"group_roles": {"ops": "operator", "admins": "admin"}})


def test_without_forward_auth_identity_headers_mean_nothing(with_site):
    async def test(site):
        assert (await site.client.get("/auth/me", headers=named())).status_code == 401

    with_site(test)


def test_an_admin_says_who_somebody_is_whom_the_proxy_names(with_site):
    async def test(site):
        async def me(**how):
            response = await site.client.get("/auth/me", headers=named(**how))
            return response.json()["user"]["role"] if response.is_success else code(response)

        async def patch(body):
            owner = {"X-API-Key": site.admin_key}
            return (
                await site.client.patch(f"/api/v1/users/{account['id']}", json=body, headers=owner)
            ).is_success

        uid = {"X-authentik-uid": "f00"}
        assert await me(**uid) == "operator"
        (account,) = await site.rows("select id from users where subject = 'f00'")
        assert await patch({"role": "viewer"})
        assert await me(**uid) == "viewer"
        assert await me(groups="people", **uid) == "viewer"  # bound: no group is needed
        assert await patch({"bound": False})
        assert await me(**uid) == "operator"
        assert await me(groups="people", **uid) == (401, "not_authenticated")
        assert await patch({"disabled": True})
        assert await me(**uid) == (403, "not_permitted")
        # Another who is called the same is somebody else.
        assert await me(**{"X-authentik-uid": "ba7"}) == "operator"
        assert len({row["username"] for row in await site.rows("select username from users")}) == 2

    with_site(test, auth=FORWARD)


def test_what_is_open_ends_when_the_key_does(with_site, monkeypatch):
    from hivemind.http import access

    monkeypatch.setattr(access, "LOOK_AGAIN_SECONDS", 0.05)

    async def test(site):
        owner = {"X-API-Key": site.admin_key}
        made = await site.client.post("/api/v1/api-keys", json={"name": "ci"}, headers=owner)
        key, path = made.json()["key"], f"/api/v1/api-keys/{made.json()['api_key']['id']}"
        async with site.client.stream("GET", "/api/v1/actors/events", headers={"X-API-Key": key}) as feed:
            lines = feed.aiter_lines()
            assert await anext(lines) == "event: listening"
            assert (await site.client.delete(path, headers=owner)).is_success
            told = [line async for line in lines if "not_authenticated" in line]
        assert len(told) == 1

    with_site(test)

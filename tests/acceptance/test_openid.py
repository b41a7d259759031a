"""Who an identity provider vouches for gets in, with the role of their groups; what proves nothing does not."""

import base64
import contextlib
import hashlib
import json
import re
import time
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlsplit

import httpx2
import pytest
import trio
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from hivemind.auth import issuer as issuers
from hivemind.http.access import COOKIE

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SECRET = "it is a secret"  # noqa: S105 - of a provider that lives as long as a test
REDIRECT = "https://hivemind.example.org/auth/oidc/callback"


class Browser:
    """Keeps the cookies, follows nothing by itself."""

    def __init__(self, site):
        self.client, self.cookies = site.client, {}

    async def get(self, path, accept="application/json", **params):
        return await self.ask("GET", path, params=params or None, headers={"Accept": accept})

    async def ask(self, method, path, headers=None, **more):
        shown = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {**(headers or {}), **({"Cookie": shown} if shown else {})}
        response = await self.client.request(method, path, headers=headers, follow_redirects=False, **more)
        self.client.cookies.clear()
        for line in response.headers.get_list("set-cookie"):
            name, value = re.match(r"([^=]+)=([^;]*)", line).groups()
            self.cookies.pop(name, None)
            if value:
                self.cookies[name] = value
        return response

    async def me(self):
        return await self.get("/auth/me")


class Provider:
    """The far end: signs what a test tells it to, and checks what an honest provider checks."""

    def __init__(self):
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.published = [self.key]
        self.claims, self.groups, self.about = {}, ["crew"], {}
        self.sign = self.signed
        self.document = {}
        self.codes = {}
        self.asked = []
        self.url = ""

    @contextlib.asynccontextmanager
    async def serving(self):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(
                lambda task_status: trio.serve_tcp(self._serve, 0, host="127.0.0.1", task_status=task_status)
            )
            self.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            yield self
            nursery.cancel_scope.cancel()

    def signed(self, claims):
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key, algorithms=["RS256"])

    def consents(self, location, code="a-code"):
        """Somebody signs in: what their browser is sent back with."""
        asked = dict(parse_qsl(urlsplit(location).query))
        assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
        assert asked["redirect_uri"] == REDIRECT and "openid" in asked["scope"].split()
        self.codes[code] = (asked["code_challenge"], asked["nonce"])
        return {"code": code, "state": asked["state"], "iss": self.url}

    async def _serve(self, stream):
        # Who has heard enough hangs up.
        with contextlib.suppress(trio.BrokenResourceError):
            await self._converse(stream)

    async def _converse(self, stream):
        async with stream:
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    more = await stream.receive_some()
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                headers = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])
                }
                while len(data) < int(headers.get("content-length", 0)):
                    data += await stream.receive_some()
                path = lines[0].split()[1]
                self.asked.append(path)
                status, body = self._answer(path, headers, data.decode())
                data = b""
                text = body if isinstance(body, bytes) else json.dumps(body).encode()
                await stream.send_all(
                    b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (status, len(text), text)
                )

    def _answer(self, path, headers, body):
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize?tenant=1",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "end_session_endpoint": f"{self.url}/logout",
                **self.document,
            } if isinstance(self.document, dict) else self.document
        if path == "/keys":
            return 200, {"keys": [key.as_dict(private=False) for key in self.published]}
        if path == "/userinfo":
            assert headers["authorization"] == "Bearer for-userinfo"
            return 200, {"sub": "subject-1", "groups": self.groups, **self.about}
        assert path == "/token"
        return self._token(headers, parse_qs(body))

    def _token(self, headers, form):
        pair = base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode().split(":")
        assert [unquote_plus(part) for part in pair] == ["hivemind", SECRET]
        assert form["grant_type"] == ["authorization_code"] and form["redirect_uri"] == [REDIRECT]
        challenge, nonce = self.codes.pop(form["code"][0], (None, None))
        digest = hashlib.sha256(form["code_verifier"][0].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != challenge:
            return 400, {"error": "invalid_grant"}
        claims = {
            "iss": self.url,
            "sub": "subject-1",
            "aud": "hivemind",
            "iat": int(time.time()),
            "exp": int(time.time()) + 300,
            "nonce": nonce,
            "preferred_username": "Ada Lovelace",
            "email": "ada@example.org",
            **self.claims,
        }
        return 200, {
            "id_token": self.sign({name: value for name, value in claims.items() if value is not None}),
            "access_token": "for-userinfo",
            "token_type": "Bearer",
        }


@pytest.fixture
def with_provider(running_server, database_url):
    """Run `await test(site, provider)`; what a test changes of the settings goes over these."""

    def run(test, *, auth=None, **oidc):
        async def main():
            with trio.fail_after(60):
                async with (
                    Provider().serving() as provider,
                    running_server(
                        database_url,
                        auth={
                            "public_url": "https://hivemind.example.org",
                            "group_roles": {"crew": "operator", "bosses": "admin"},
                            **(auth or {}),
                        },
                        oidc={
                            "issuer": provider.url,
                            "client_id": "hivemind",
                            "client_secret": SECRET,
                            **oidc,
                        },
                    ) as site,
                ):
                    await test(site, provider)

        trio.run(main)

    return run


async def signs_in(site, provider, browser=None, accept="application/json", **wrong):
    """The whole way, as a browser goes it; `wrong` goes over what the provider sends back."""
    browser = browser or Browser(site)
    sent = await browser.get("/auth/oidc/login", next="/agents")
    assert sent.status_code == 303, sent.text
    answered = provider.consents(sent.headers["location"]) | wrong
    params = {name: value for name, value in answered.items() if value is not None}
    return browser, await browser.get("/auth/oidc/callback", accept, **params)


def code(response):
    return response.status_code, response.json()["error"]["code"]


def test_who_the_provider_vouches_for_is_in_with_the_role_of_their_groups(with_provider):
    async def test(site, provider):
        assert (await site.client.get("/auth/state")).json()["oidc"] == "your organisation"
        browser, back = await signs_in(site, provider)
        assert back.status_code == 303 and back.headers["location"] == "/agents"
        lines = {line.split("=")[0]: line.lower() for line in back.headers.get_list("set-cookie")}
        assert all(
            "httponly" in line and "samesite=lax" in line and "secure" in line for line in lines.values()
        )
        assert set(browser.cookies) == {COOKIE}
        user = (await browser.me()).json()["user"]
        assert (user["username"], user["role"], user["email"]) == (
            "ada-lovelace",
            "operator",
            "ada@example.org",
        )
        (row,) = await site.rows("select issuer, subject, password_hash, bound from users")
        assert row == {"issuer": provider.url, "subject": "subject-1", "password_hash": None, "bound": False}
        # The same subject is the same account, whatever they are called by now.
        provider.claims = {"preferred_username": "ada.king", "email": "king@example.org"}
        again, _ = await signs_in(site, provider)
        assert (await again.me()).json()["user"] == user | {"email": "king@example.org"}
        # No password opens it.
        body = {"username": "ada-lovelace", "password": "whatever it may be"}
        assert code(await Browser(site).ask("POST", "/auth/login", json=body)) == (401, "not_authenticated")

    with_provider(test)


def key_of(kind):
    return {
        "rsa": RSAKey.generate_key(2048, {"kid": "other"}),
        "ec": ECKey.generate_key("P-256", {"kid": "other"}),
    }[kind]


def unsigned(provider, claims):
    parts = (json.dumps(part).encode() for part in ({"alg": "none", "kid": "one"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def with_the_secret(provider, claims):
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET), algorithms=["HS256"])


def with_the_public_key(provider, claims):
    public = provider.key.as_pem(private=False)
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "HS256", "kid": "one"}, claims)
    )
    import hmac

    seal = hmac.new(public, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(seal).rstrip(b'=').decode()}"


def by_a_stranger(provider, claims):
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, key_of("rsa"), algorithms=["RS256"])


def by_an_unknown_key(provider, claims):
    return jwt.encode({"alg": "ES256", "kid": "other"}, claims, key_of("ec"), algorithms=["ES256"])


@pytest.mark.parametrize(
    ("claims", "sign", "about", "sent"),
    [
        ({"nonce": "another"}, None, {}, {}),
        ({"nonce": None}, None, {}, {}),
        ({"aud": "somebody-else"}, None, {}, {}),
        ({"aud": ["hivemind", "somebody-else"]}, None, {}, {}),
        ({"azp": "somebody-else"}, None, {}, {}),
        ({"iss": "https://evil.example"}, None, {}, {}),
        ({"exp": 1_700_000_000}, None, {}, {}),
        ({"exp": None}, None, {}, {}),
        ({"iat": None}, None, {}, {}),
        ({"iat": 4_000_000_000}, None, {}, {}),
        ({"sub": None}, None, {}, {}),
        ({"sub": "x" * 300}, None, {}, {}),
        ({}, unsigned, {}, {}),
        ({}, with_the_secret, {}, {}),
        ({}, with_the_public_key, {}, {}),
        ({}, by_a_stranger, {}, {}),
        ({}, by_an_unknown_key, {}, {}),
        ({}, lambda provider, claims: "no.token", {}, {}),
        ({}, lambda provider, claims: "", {}, {}),
        ({}, None, {"sub": "somebody-else"}, {}),
        ({}, None, {}, {"state": "another"}),
        ({}, None, {}, {"state": None}),
        ({}, None, {}, {"iss": "https://evil.example"}),
        ({}, None, {}, {"code": "never-given"}),
        ({}, None, {}, {"code": None}),
        ({}, None, {}, {"error": "access_denied", "code": None}),
    ],
)
def test_what_proves_nothing_opens_nothing(with_provider, claims, sign, about, sent):
    async def test(site, provider):
        provider.claims, provider.about = claims, about
        if sign is not None:
            provider.sign = lambda claims: sign(provider, claims)
        browser, refused = await signs_in(site, provider, **sent)
        assert code(refused) == (401, "sign_in_failed")
        assert browser.cookies == {}
        assert await site.rows("select 1 from users") == []
        (row,) = await site.rows("select detail from audit_log where action = 'auth:session:refused'")
        assert row["detail"]["way"] == "oidc" and row["detail"]["reason"]

    with_provider(test)


def test_an_answer_counts_once_and_in_the_browser_that_asked(with_provider):
    async def test(site, provider):
        browser = Browser(site)
        sent = await browser.get("/auth/oidc/login")
        pending = dict(browser.cookies)
        answered = provider.consents(sent.headers["location"])
        stranger = Browser(site)
        assert code(await stranger.get("/auth/oidc/callback", **answered)) == (401, "sign_in_failed")
        # Somebody begins on their own and is given the answer to another's sign-in.
        await stranger.get("/auth/oidc/login")
        assert code(await stranger.get("/auth/oidc/callback", **answered)) == (401, "sign_in_failed")
        tampered = Browser(site)
        tampered.cookies = {
            "hm_oidc": pending["hm_oidc"][:-1] + ("0" if pending["hm_oidc"][-1] != "0" else "1")
        }
        assert code(await tampered.get("/auth/oidc/callback", **answered)) == (401, "sign_in_failed")
        assert (await browser.get("/auth/oidc/callback", **answered)).status_code == 303
        assert (await browser.me()).status_code == 200
        again = Browser(site)
        again.cookies = pending
        assert code(await again.get("/auth/oidc/callback", **answered)) == (401, "sign_in_failed")

    with_provider(test)


def test_keys_that_the_provider_changes_count_and_are_asked_for_sparingly(with_provider, monkeypatch):
    async def test(site, provider):
        assert (await signs_in(site, provider))[1].status_code == 303
        provider.key = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
        # Not published yet: asked for, at most every half minute.
        assert code((await signs_in(site, provider))[1]) == (401, "sign_in_failed")
        assert provider.asked.count("/keys") == 1
        monkeypatch.setattr(issuers, "NEW_KEYS_SECONDS", 0.0)
        provider.published = [provider.key]
        assert (await signs_in(site, provider))[1].status_code == 303
        assert provider.asked.count("/keys") == 2
        assert (await signs_in(site, provider))[1].status_code == 303
        assert provider.asked.count("/keys") == 2
        assert provider.asked.count("/.well-known/openid-configuration") == 1

    with_provider(test)


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": None},
        b"<html>hello</html>",
        b"[]",
        b"x" * 2_000_000,
    ],
)
def test_a_provider_that_cannot_be_asked_is_told_as_such(with_provider, document):
    async def test(site, provider):
        provider.document = document
        browser = Browser(site)
        refused = await browser.get("/auth/oidc/login")
        assert code(refused) == (503, "identity_provider_unavailable")
        # A person sees a page that says so, and can try again.
        seen = await browser.get("/auth/oidc/login", accept=HTML["Accept"], next="/agents")
        assert seen.status_code == 303
        assert seen.headers["location"] == "/sign-in?refused=identity_provider_unavailable&next=%2Fagents"
        provider.document = {}
        assert (await signs_in(site, provider))[1].status_code == 303

    with_provider(test)


def test_groups_say_the_role_each_time_unless_an_admin_has(with_provider):
    async def test(site, provider):
        owner = {"X-API-Key": site.admin_key}

        async def patch(body):
            response = await site.client.patch(here, json=body, headers=owner)
            return response.json()["user"] if response.is_success else code(response)

        local = {"username": "root", "password": "a sentence of its own", "role": "admin"}
        assert (await site.client.post("/api/v1/users", json=local, headers=owner)).is_success
        browser, _ = await signs_in(site, provider)
        user = (await browser.me()).json()["user"]
        here = f"/api/v1/users/{user['id']}"
        provider.groups = ["bosses", "crew"]
        other, _ = await signs_in(site, provider)
        assert (await other.me()).json()["user"]["role"] == "admin"
        assert (await browser.me()).status_code == 401  # what was open under the former role is over
        assert (await patch({"role": "viewer"}))["bound"] is True
        third, _ = await signs_in(site, provider)
        assert (await third.me()).json()["user"]["role"] == "viewer"
        provider.groups = []
        assert (await signs_in(site, provider))[1].status_code == 303  # bound, whatever the groups
        assert (await patch({"bound": False}))["bound"] is False
        _, refused = await signs_in(site, provider)
        assert code(refused) == (403, "not_permitted")
        assert (await third.me()).status_code == 401
        assert await patch({"password": "a sentence of its own"}) == (409, "conflict")
        provider.groups = ["crew"]
        fourth, _ = await signs_in(site, provider)
        assert await patch({"disabled": True})
        assert (await fourth.me()).status_code == 401
        assert code((await signs_in(site, provider))[1]) == (403, "not_permitted")
        said = [row["action"] for row in await site.rows("select action from audit_log order by id")]
        assert said.count("auth:user:arrived") == 1 and said.count("auth:user:changed") == 2

    with_provider(test)


def test_an_account_is_made_before_somebody_comes_and_no_name_makes_one_another(with_provider):
    async def test(site, provider):
        owner = {"X-API-Key": site.admin_key}

        async def make(**body):
            return await site.client.post("/api/v1/users", json=body, headers=owner)

        assert (
            await make(username="ada-lovelace", password="a sentence of its own", role="admin")
        ).is_success
        provider.groups = []
        assert code((await signs_in(site, provider))[1]) == (403, "not_permitted")
        bound = {"username": "countess", "issuer": provider.url, "subject": "subject-1", "role": "operator"}
        assert (await make(**bound)).json()["user"]["bound"] is True
        assert code(await make(**bound)) == (409, "conflict")
        browser, _ = await signs_in(site, provider)
        user = (await browser.me()).json()["user"]
        assert (user["username"], user["role"]) == ("countess", "operator")
        # The name that another has here already is not theirs.
        provider.claims, provider.about = {"sub": "subject-2"}, {"sub": "subject-2"}
        provider.groups = ["crew"]
        other, _ = await signs_in(site, provider)
        user = (await other.me()).json()["user"]
        assert re.fullmatch("ada-lovelace-[0-9a-f]{8}", user["username"]) and user["role"] == "operator"
        for half in (
            {},
            {"issuer": "x"},
            {"subject": "x"},
            {"issuer": "x", "subject": "y", "password": "p" * 20},
        ):
            refused = await make(username="bob", **half)
            assert code(refused) == (422, "invalid_fields"), refused.text
            assert "issuer and subject" in refused.text

    with_provider(test)


def test_signing_out_leads_to_the_provider_where_one_came_from_there(with_provider):
    async def test(site, provider):
        browser, _ = await signs_in(site, provider)
        token = {"X-CSRF-Token": (await browser.me()).json()["csrf_token"]}
        gone = await browser.ask("POST", "/auth/logout", headers=token)
        onward = urlsplit(gone.json()["continue_at"])
        assert f"{onward.scheme}://{onward.netloc}{onward.path}" == f"{provider.url}/logout"
        assert dict(parse_qsl(onward.query)) == {
            "client_id": "hivemind",
            "post_logout_redirect_uri": "https://hivemind.example.org/sign-in",
        }
        assert (await browser.me()).status_code == 401

    with_provider(test)


def test_without_a_provider_there_is_nothing_at_these_addresses(with_site):
    async def test(site):
        for path in ("login", "callback"):
            assert code(await site.client.get(f"/auth/oidc/{path}")) == (404, "not_found")

    with_site(test)


async def at_the_provider(location, issuer, who):
    """What a person does on the pages of the real provider; the address that it sends them back to."""
    async with httpx2.AsyncClient(trust_env=False) as pages:
        while location.startswith(issuer):
            page = await pages.get(location)
            if page.status_code == 200:
                (action,) = re.findall(r'<form[^>]* action="([^"]+)"', page.text)
                (prompt,) = re.findall(r'name="prompt" value="(\w+)"', page.text)
                page = await pages.post(action, data={"prompt": prompt, "login": who, "password": "any"})
            assert page.status_code in (302, 303), page.text
            location = str(httpx2.URL(location).join(page.headers["location"]))
        return location


def test_the_certified_provider(with_site, openid_provider):
    async def arrives(site, who):
        browser = Browser(site)
        sent = await browser.get("/auth/oidc/login", next="/agents")
        back = await at_the_provider(sent.headers["location"], openid_provider.issuer, who)
        assert back.startswith(f"{openid_provider.site}/auth/oidc/callback?")
        return browser, await browser.get(back)

    async def test(site):
        browser, back = await arrives(site, "ada+admins")
        assert back.status_code == 303 and back.headers["location"] == "/agents"
        user = (await browser.me()).json()["user"]
        assert (user["username"], user["role"], user["email"]) == ("ada", "admin", "ada@example.org")
        _, refused = await arrives(site, "eve+nobodies")
        assert code(refused) == (403, "not_permitted")
        # It starts anew, with another key.
        openid_provider.stop()
        refused = await Browser(site).get("/auth/oidc/callback", code="x", state="y")
        assert code(refused) == (401, "sign_in_failed")
        openid_provider.start()
        browser, back = await arrives(site, "bob+crew")
        assert back.status_code == 303, back.text
        assert (await browser.me()).json()["user"]["role"] == "operator"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(issuers, "NEW_KEYS_SECONDS", 0.0)
        with_site(test, **openid_provider.sections)

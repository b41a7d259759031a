"""What a browser keeps of a sign-in is ours alone; what the provider is asked and publishes is read to the letter."""

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from hivemind.auth.openid import (
    CLOCK_SECONDS,
    SIGN_IN_SECONDS,
    Metadata,
    Pending,
    authorization_url,
    code_of,
    end_session_url,
    key_id,
    person_of,
)
from hivemind.errors import SignInFailed

ISSUER = "https://id.example.org/realms/one"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth?kc=1",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
}
NOW = 1_800_000_000.0


def test_what_the_browser_keeps_comes_back_whole_and_within_its_time():
    pending = Pending.begin("/agents", NOW)
    sealed = pending.sealed(b"secret")
    for later in (0, SIGN_IN_SECONDS, -CLOCK_SECONDS):
        assert Pending.opened(sealed, b"secret", NOW + later) == pending
    for later in (SIGN_IN_SECONDS + 1, -CLOCK_SECONDS - 1):
        with pytest.raises(SignInFailed, match="too long"):
            Pending.opened(sealed, b"secret", NOW + later)
    assert len({pending.state, pending.nonce, pending.verifier}) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[1:],
        lambda text: text + "0",
        lambda _: "",
        lambda _: "a.b",
        lambda _: "\ud800.x",
        lambda _: None,
    ],
)
def test_what_is_not_ours_is_not_read(change):
    sealed = Pending.begin("/", NOW).sealed(b"secret")
    with pytest.raises(SignInFailed):
        Pending.opened(change(sealed), b"secret", NOW)
    with pytest.raises(SignInFailed):
        Pending.opened(sealed, b"another secret", NOW)


def test_the_request_carries_only_the_hash_of_the_verifier():
    # The pair of RFC 7636, appendix B.
    pending = replace(Pending.begin("/", NOW), verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    url = authorization_url(
        Metadata.read(DOCUMENT, ISSUER),
        pending,
        client_id="hm",
        scopes=("openid", "email"),
        redirect_uri="https://h/cb",
    )
    assert dict(parse_qsl(urlsplit(url).query)) == {
        "kc": "1",
        "response_type": "code",
        "client_id": "hm",
        "redirect_uri": "https://h/cb",
        "scope": "openid email",
        "state": pending.state,
        "nonce": pending.nonce,
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    assert pending.verifier not in url


def test_a_document_of_another_issuer_is_not_believed():
    for wrong in ({"issuer": ISSUER + "/"}, {"issuer": None}, {"jwks_uri": None}, {"token_endpoint": 1}):
        with pytest.raises(ValueError, match="document of|does not name"):
            Metadata.read(DOCUMENT | wrong, ISSUER)


@pytest.mark.parametrize(
    ("methods", "in_body"),
    [(None, False), (["client_secret_basic", "client_secret_post"], False), (["client_secret_post"], True)],
)
def test_the_secret_goes_where_the_provider_wants_it(methods, in_body):
    document = DOCUMENT | ({"token_endpoint_auth_methods_supported": methods} if methods else {})
    assert Metadata.read(document, ISSUER).secret_in_body is in_body


def test_an_answer_names_its_issuer_where_the_provider_says_that_it_does():
    pending = Pending.begin("/", NOW)
    answered = {"state": pending.state, "code": "c"}
    silent = Metadata.read(DOCUMENT, ISSUER)
    naming = replace(silent, names_itself=True)
    assert code_of(silent, pending, answered) == "c"
    assert code_of(naming, pending, answered | {"iss": ISSUER}) == "c"
    for metadata, iss in ((naming, {}), (naming, {"iss": "https://evil"}), (silent, {"iss": "https://evil"})):
        with pytest.raises(SignInFailed, match="another provider"):
            code_of(metadata, pending, answered | iss)


def test_a_provider_without_a_way_out_has_none():
    metadata = Metadata.read(DOCUMENT, ISSUER)
    assert end_session_url(metadata, client_id="hm", onward="https://h/sign-in") is None


@pytest.mark.parametrize("token", ["", "x", "W10.x.y", "bnVsbA.x.y", "\u00e9.x.y", ".."])
def test_what_is_no_token_is_refused(token):
    with pytest.raises(SignInFailed):
        key_id(token)
    assert key_id("e30.e30.e30") is None  # one that names no key


@pytest.mark.parametrize(
    ("claims", "username", "groups"),
    [
        ({"preferred_username": "ada"}, "ada", ()),
        ({"email": "ada@example.org"}, "ada@example.org", ()),
        ({}, "s-1", ()),
        ({"preferred_username": 7, "groups": {"a": 1}}, "s-1", ()),
        ({"groups": "crew"}, "s-1", ("crew",)),
        ({"groups": ["crew", 1, None, "ops"]}, "s-1", ("crew", "ops")),
    ],
)
def test_who_the_claims_are_about(claims, username, groups):
    person = person_of({"iss": ISSUER, "sub": "s-1", **claims}, "groups")
    assert (person.username, person.groups, person.subject) == (username, groups, "s-1")

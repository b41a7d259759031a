"""OpenID Connect, decided: what is asked of a provider, and what is believed of its answers; without I/O.

Authorization code with PKCE (OpenID Connect Core 1.0 section 3.1, RFC 7636, RFC 9207). What belongs to a
sign-in under way is in the browser, in a cookie that is signed: no row is made for who does not come back.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from hivemind.auth.person import MAX_CHARS, Person
from hivemind.errors import SignInFailed

SIGN_IN_SECONDS = 600.0
CLOCK_SECONDS = 60
# Signed by a key that only the provider has: what anybody with the client's secret could sign is no proof.
ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider publishes of itself (OpenID Connect Discovery 1.0 section 3), as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    secret_in_body: bool = False
    names_itself: bool = False

    @classmethod
    def read(cls, document: Mapping[str, Any], issuer: str) -> Self:
        """Take the document apart; raises `ValueError` for another issuer's, or one that lacks something."""
        if document.get("issuer") != issuer:
            raise ValueError(f"it is the document of {document.get('issuer')!r}, not of {issuer!r}")
        needed = {}
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if (endpoint := _text(document.get(name))) is None:
                raise ValueError(f"it does not name its {name}")
            needed[name] = endpoint
        methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return cls(
            issuer,
            needed["authorization_endpoint"],
            needed["token_endpoint"],
            needed["jwks_uri"],
            userinfo_endpoint=_text(document.get("userinfo_endpoint")),
            end_session_endpoint=_text(document.get("end_session_endpoint")),
            secret_in_body="client_secret_basic" not in methods,
            names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        )


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in that is under way in one browser; `begun_at` in seconds of the epoch."""

    state: str
    nonce: str
    verifier: str
    onward: str
    begun_at: float

    @classmethod
    def begin(cls, onward: str, now: float) -> Self:
        """A new one, with 256 random bits for each of its three secrets."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, onward, now)

    def sealed(self, secret: bytes) -> str:
        """As the cookie has it."""
        body = base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()
        return f"{body}.{_seal(body, secret)}"

    @classmethod
    def opened(cls, cookie: str | None, secret: bytes, now: float) -> Self:
        """Take a cookie apart; raises `SignInFailed` for none, one that is not ours, and an old one."""
        body, _, seal = (cookie or "").rpartition(".")
        if not hmac.compare_digest(_seal(body, secret).encode(), seal.encode("utf-8", "surrogatepass")):
            raise SignInFailed("This sign-in was not begun in this browser", remedy="begin it here")
        try:
            pending = cls(**json.loads(base64.urlsafe_b64decode(body)))
        except (binascii.Error, ValueError, TypeError):
            raise SignInFailed("This sign-in was begun with another release") from None
        if not 0 <= now - pending.begun_at + CLOCK_SECONDS <= SIGN_IN_SECONDS + CLOCK_SECONDS:
            raise SignInFailed("The sign-in took too long", remedy="begin again")
        return pending


def authorization_url(
    metadata: Metadata, pending: Pending, *, client_id: str, scopes: Sequence[str], redirect_uri: str
) -> str:
    """Where the browser is sent to sign in."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(pending.verifier.encode()).digest()).rstrip(b"=")
    return _with_query(
        metadata.authorization_endpoint,
        {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(scopes),
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
        },
    )


def end_session_url(metadata: Metadata, *, client_id: str, onward: str) -> str | None:
    """Where the browser is sent to sign out at the provider too (RP-Initiated Logout 1.0); None: nowhere."""
    if metadata.end_session_endpoint is None:
        return None
    return _with_query(
        metadata.end_session_endpoint, {"client_id": client_id, "post_logout_redirect_uri": onward}
    )


def code_of(metadata: Metadata, pending: Pending, answered: Mapping[str, str]) -> str:
    """The code of an authorization response; raises `SignInFailed` where it is none, or another browser's."""
    if not hmac.compare_digest(answered.get("state", "").encode(), pending.state.encode()):
        raise SignInFailed("The answer belongs to another sign-in", remedy="begin again")
    named = answered.get("iss")
    if named != metadata.issuer and (named is not None or metadata.names_itself):
        raise SignInFailed("The answer comes from another provider")
    if "error" in answered:
        said = "access_denied" if answered["error"] == "access_denied" else "an error"
        raise SignInFailed(f"The provider answered with {said}: {answered['error'][:100]!r}")
    code = answered.get("code", "")
    if not code:
        raise SignInFailed("The provider sent no code")
    return code


def key_id(id_token: str) -> str | None:
    """Which key a token says it is signed with; raises `SignInFailed` for what is no token."""
    try:
        head = id_token.split(".", 1)[0]
        kid = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))).get("kid")
    except (binascii.Error, ValueError, AttributeError):
        raise SignInFailed("The provider sent no ID token") from None
    return kid if isinstance(kid, str) else None


def claims_of(
    id_token: str, keys: KeySet, *, issuer: str, client_id: str, nonce: str, now: float
) -> Mapping[str, Any]:
    """The claims of an ID token (Core section 3.1.3.7); raises `SignInFailed` unless all of it is right."""
    try:
        claims = jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims
        jwt.JWTClaimsRegistry(
            now=int(now), leeway=CLOCK_SECONDS, exp={"essential": True}, iat={"essential": True}
        ).validate(claims)
    except (JoseError, ValueError, TypeError) as error:
        raise SignInFailed(f"The ID token does not hold: {error}") from error
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    party = claims.get("azp")
    subject = claims.get("sub")
    wrong = {
        "issuer": claims.get("iss") != issuer,
        "audience": client_id not in audiences or (len(audiences) > 1 and party is None),
        "authorized party": party is not None and party != client_id,
        "nonce": not hmac.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()),
        "subject": not isinstance(subject, str) or not 0 < len(subject) <= MAX_CHARS,
    }
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise SignInFailed(f"The ID token does not hold: its {name} is not ours")
    return claims


def person_of(claims: Mapping[str, Any], groups_claim: str) -> Person:
    """Who the claims are about."""
    subject, email = claims["sub"], _text(claims.get("email"))
    groups = claims.get(groups_claim)
    found = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    name = _text(claims.get("preferred_username")) or email or subject
    return Person.told(
        claims["iss"], subject, name, email, tuple(group for group in found if isinstance(group, str))
    )


def _seal(body: str, secret: bytes) -> str:
    return hmac.new(
        secret, b"hivemind.openid.1" + body.encode("utf-8", "surrogatepass"), hashlib.sha256
    ).hexdigest()


def _with_query(endpoint: str, parameters: Mapping[str, str]) -> str:
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

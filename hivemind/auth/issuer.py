"""The OpenID provider of an installation, as it is spoken to: its documents are kept, its answers bounded."""

import base64
import json
import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import trio
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from hivemind.auth import openid
from hivemind.auth.openid import Metadata, Pending
from hivemind.auth.person import Person
from hivemind.errors import ConfigError, IdentityProviderUnavailable, SignInFailed, Unreachable
from hivemind.outbound import HttpClient, Target
from hivemind.settings import OidcSettings

log = logging.getLogger("hivemind.auth")

ANSWER_SECONDS = 10.0
FRESH_SECONDS = 3_600.0
# A token may name a key that is new. Who sends nonsense must not make us ask for keys all day.
NEW_KEYS_SECONDS = 30.0
MAX_BYTES = 1_000_000
WELL_KNOWN = "/.well-known/openid-configuration"


class Issuer:
    """One provider. What it publishes is asked for when it is needed first and then every hour."""

    def __init__(self, client: HttpClient, settings: OidcSettings, public_url: str) -> None:
        assert settings.issuer is not None
        assert settings.client_id is not None
        self.name = settings.name
        self.issuer = settings.issuer
        self.redirect_uri = redirect_uri(public_url)
        self._client = client
        self._settings = settings
        self._client_id = settings.client_id
        self._public_url = public_url
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def metadata(self) -> Metadata:
        """What it says of itself; raises `IdentityProviderUnavailable`."""
        if self._metadata is None or trio.current_time() - self._metadata[0] > FRESH_SECONDS:
            document = await self._get(self.issuer.rstrip("/") + WELL_KNOWN)
            try:
                self._metadata = (trio.current_time(), Metadata.read(document, self.issuer))
            except ValueError as error:
                raise IdentityProviderUnavailable(
                    f"What {self.issuer} publishes cannot be used: {error}"
                ) from None
        return self._metadata[1]

    async def sign_in_url(self, pending: Pending) -> str:
        """Where to send a browser."""
        return openid.authorization_url(
            await self.metadata(),
            pending,
            client_id=self._client_id,
            scopes=self._settings.scopes,
            redirect_uri=self.redirect_uri,
        )

    async def sign_out_url(self) -> str | None:
        """Where to send a browser that has signed out here."""
        onward = f"{self._public_url}/sign-in"
        return openid.end_session_url(await self.metadata(), client_id=self._client_id, onward=onward)

    async def person(self, pending: Pending, answered: Mapping[str, str]) -> Person:
        """Who came back from there.

        Raises:
            SignInFailed: what came back does not prove it.
            IdentityProviderUnavailable: it cannot be asked.
        """
        metadata = await self.metadata()
        tokens = await self._redeem(metadata, openid.code_of(metadata, pending, answered), pending.verifier)
        id_token = tokens.get("id_token")
        if not isinstance(id_token, str):
            raise SignInFailed("The provider sent no ID token", remedy="is `openid` among its scopes?")
        claims = openid.claims_of(
            id_token,
            await self._keys_for(metadata, openid.key_id(id_token)),
            issuer=self.issuer,
            client_id=self._client_id,
            nonce=pending.nonce,
            now=time.time(),
        )
        access_token = tokens.get("access_token")
        if metadata.userinfo_endpoint is not None and isinstance(access_token, str):
            claims = {
                **await self._userinfo(metadata.userinfo_endpoint, access_token, claims["sub"]),
                **claims,
            }
        return openid.person_of(claims, self._settings.groups_claim)

    async def _redeem(self, metadata: Metadata, code: str, verifier: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": verifier,
        }
        headers = [(b"Content-Type", b"application/x-www-form-urlencoded")]
        secret = self._settings.client_secret
        if secret is None:
            form["client_id"] = self._client_id
        elif metadata.secret_in_body:
            form |= {"client_id": self._client_id, "client_secret": secret.get_secret_value()}
        else:
            both = f"{quote(self._client_id, safe='')}:{quote(secret.get_secret_value(), safe='')}"
            headers.append((b"Authorization", b"Basic " + base64.b64encode(both.encode())))
        status, document = await self._ask(metadata.token_endpoint, headers, urlencode(form).encode())
        if status != 200:
            said = str(document.get("error"))[:100]
            log.warning("the identity provider took no code: %d %s", status, said)
            raise SignInFailed(f"The provider did not take the code ({said})", remedy="begin again")
        return document

    async def _keys_for(self, metadata: Metadata, kid: str | None) -> KeySet:
        now = trio.current_time()
        if self._keys is not None:
            age = now - self._keys[0]
            known = kid is None or any(key.kid == kid for key in self._keys[1])
            if age < NEW_KEYS_SECONDS or (known and age < FRESH_SECONDS):
                return self._keys[1]
        document = await self._get(metadata.jwks_uri)
        try:
            keys = KeySet.import_key_set({"keys": [key for key in document["keys"] if _signs(key)]})
        except (JoseError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise IdentityProviderUnavailable(f"The keys of {self.issuer} cannot be read: {error}") from error
        self._keys = (now, keys)
        return keys

    async def _userinfo(self, endpoint: str, access_token: str, subject: str) -> Mapping[str, Any]:
        """What else it says of somebody: many keep the groups out of the token."""
        document = await self._get(endpoint, (b"Authorization", b"Bearer " + access_token.encode()))
        if document.get("sub") != subject:
            raise SignInFailed("The provider spoke of somebody else")
        return document

    async def _get(self, url: str, *headers: tuple[bytes, bytes]) -> Mapping[str, Any]:
        status, document = await self._ask(url, list(headers), None)
        if status != 200:
            raise IdentityProviderUnavailable(f"{url} answered with status {status}")
        return document

    async def _ask(
        self, url: str, headers: list[tuple[bytes, bytes]], body: bytes | None
    ) -> tuple[int, Mapping[str, Any]]:
        """One request; a body of JSON comes back, whatever the status."""
        method = b"GET" if body is None else b"POST"
        lines = [(b"Accept", b"application/json"), *headers]
        try:
            with trio.fail_after(ANSWER_SECONDS):
                async with self._client.call(Target.parse(url), lines, body, method=method) as reply:
                    text = await reply.start(MAX_BYTES)
        except trio.TooSlowError:
            raise IdentityProviderUnavailable(f"{url} did not answer within {ANSWER_SECONDS:g} s") from None
        except (Unreachable, ConfigError) as error:
            raise IdentityProviderUnavailable(f"{url} cannot be reached: {error.message}") from error
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise IdentityProviderUnavailable(
                f"{url} answered with something that is not JSON ({reply.status})"
            )
        return reply.status, document


def redirect_uri(public_url: str) -> str:
    """What has to be registered at the provider."""
    return f"{public_url}/auth/oidc/callback"


def _signs(key: Mapping[str, Any]) -> bool:
    return key.get("use") in (None, "sig") and key.get("kty") != "oct"

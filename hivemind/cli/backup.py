"""`hivemind backup` and `hivemind restore`: database, keys and signed heads of the audit log as one file.

The file is a tar archive with `about.json`, `database.dump`, `secrets/…` and `audit_heads.ndjson`. Nothing
that is there is ever overwritten: what a restore finds has to be the same, or absent.
"""

import json
import os
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click
import trio

from hivemind import __version__, persistence
from hivemind.audit import HEADS_FILE
from hivemind.cli import stored
from hivemind.cli.examples import example
from hivemind.cli.output import say
from hivemind.errors import ConfigError, Conflict
from hivemind.settings import DataSettings, Settings
from hivemind.settings_load import load

ABOUT, DUMP, SECRETS = "about.json", "database.dump", "secrets"
_PRIVATE = 0o600
_json = click.option("--json", "as_json", is_flag=True, help="For machines.")


@click.command(epilog=example("hivemind backup hivemind-2026-11-25.tar"))
@click.argument("file", type=click.Path(path_type=Path))
@_json
def backup(file: Path, as_json: bool) -> None:
    """Write database and keys into FILE, also while the server runs.

    The file holds all that was said and the keys that sign and open: keep it as you keep those.
    """
    if file.exists():
        raise Conflict(f"{file} is there already", remedy="name another, or remove it")
    settings = load().settings
    about = {"version": __version__, "made_at": datetime.now(UTC).isoformat()}
    with tempfile.TemporaryDirectory(prefix="hivemind-backup-", dir=file.absolute().parent) as name:
        folder = Path(name)
        trio.run(_dump, settings, folder / DUMP)
        (folder / ABOUT).write_text(json.dumps(about))
        unfinished = folder / "whole.tar"
        unfinished.touch(_PRIVATE)
        with tarfile.open(unfinished, "w") as archive:
            for path, arcname in [(folder / ABOUT, ABOUT), (folder / DUMP, DUMP), *_kept(settings.data)]:
                archive.add(path, arcname)
        unfinished.rename(file)
    size = file.stat().st_size
    say({"file": str(file), "bytes": size, **about}, f"{file}: {size:,} bytes", as_json=as_json)


@click.command(epilog=example("hivemind restore hivemind-2026-11-25.tar"))
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_json
def restore(file: Path, as_json: bool) -> None:
    """Fill an empty database and the folder of keys from FILE, which `backup` made.

    Run it with the settings that the new server is to have, before that is started.
    """
    settings = load().settings
    with tempfile.TemporaryDirectory(prefix="hivemind-restore-") as name:
        folder = Path(name)
        _unpack(file, folder)
        about = json.loads((folder / ABOUT).read_text())
        _check_keys(folder / SECRETS, settings.data.secrets_folder)
        trio.run(_restore, settings, folder / DUMP)
        _put_keys(folder / SECRETS, settings.data.secrets_folder)
        heads = settings.data.folder / HEADS_FILE
        if (folder / HEADS_FILE).exists() and not heads.exists():
            heads.parent.mkdir(parents=True, exist_ok=True)
            heads.write_bytes((folder / HEADS_FILE).read_bytes())
    told = f"restored what {about['version']} had on {about['made_at']}: start the server"
    say(about, told, as_json=as_json)


def _kept(data: DataSettings) -> list[tuple[Path, str]]:
    """What is not in the database: the keys, and the heads that were signed."""
    kept = [
        (path, f"{SECRETS}/{path.name}") for path in sorted(data.secrets_folder.iterdir()) if path.is_file()
    ]
    heads = data.folder / HEADS_FILE
    return [*kept, (heads, HEADS_FILE)] if heads.exists() else kept


async def _dump(settings: Settings, path: Path) -> None:
    async with stored.located(settings) as conninfo:
        await persistence.dump(conninfo, path)


async def _restore(settings: Settings, path: Path) -> None:
    async with stored.located(settings) as conninfo:
        await persistence.restore(conninfo, path)


def _unpack(file: Path, folder: Path) -> None:
    try:
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise ConfigError(f"{file} is no backup: {error}") from error
    if not (folder / ABOUT).exists() or not (folder / DUMP).exists():
        raise ConfigError(f"{file} is no backup of Hivemind")


def _check_keys(kept: Path, folder: Path) -> None:
    for path in kept.iterdir():
        present = folder / path.name
        if present.exists() and present.read_bytes() != path.read_bytes():
            raise Conflict(
                f"{present} is another key than the backup's",
                remedy=f"move {folder} away, then restore again",
            )


def _put_keys(kept: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in kept.iterdir():
        target = folder / path.name
        if not target.exists():
            opened = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
            with os.fdopen(opened, "wb") as file:
                file.write(path.read_bytes())

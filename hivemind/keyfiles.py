"""The keys that an installation makes for itself: files in the secrets folder, made at the first start.

A key appears whole or not at all, is never overwritten, and is never read from a place that other users
can read. What the keys are used for is their readers' business.
"""

import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hivemind.errors import ConfigError

ADMIN_API_KEY = "admin_api_key"
SIGNING_KEY = "signing_key"
CALLER_KEY = "caller_key"
AUDIT_KEY = "audit_key"
FORMER_AUDIT_KEYS = "audit_keys.pub"
FOLDER_MODE = 0o700
FILE_MODE = 0o600
_API_KEY_PREFIX = "hm-"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of an installation, whole and private; `made` names the files this start created.

    `signing_keys` are all that are accepted: the one that signs first, then the former ones.
    """

    admin_api_key: str = field(repr=False)
    signing_key: bytes = field(repr=False)
    signing_keys: tuple[bytes, ...] = field(repr=False)
    caller_key: bytes = field(repr=False)
    audit_key: bytes = field(repr=False)
    made: tuple[Path, ...]


def ensure(folder: Path) -> Keys:
    """The keys in `folder`, making those that are missing.

    Raises:
        ConfigError: a file or the folder is open to others, unreadable, or does not hold a key.
    """
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        _check_private(folder, FOLDER_MODE)
        made = tuple(
            path
            for path, fresh in (
                (folder / ADMIN_API_KEY, _new_api_key),
                (folder / SIGNING_KEY, _new_signing_key),
                (folder / CALLER_KEY, _new_signing_key),
                (folder / AUDIT_KEY, _new_signing_key),
            )
            if _make(path, fresh)
        )
    except OSError as error:
        raise ConfigError(
            f"the secrets folder {folder} cannot be used: {error.strerror}",
            remedy="let this user write there, or set HIVEMIND_DATA_SECRETS_FOLDER",
        ) from error
    signing_keys = read_signing_keys(folder)
    return Keys(
        read_admin_api_key(folder),
        signing_keys[0],
        signing_keys,
        _read_signing_key(folder / CALLER_KEY),
        read_audit_key(folder),
        made,
    )


def read_admin_api_key(folder: Path) -> str:
    """The key for `X-API-Key`."""
    path = folder / ADMIN_API_KEY
    text = _read(path)
    if not (text.startswith(_API_KEY_PREFIX) and len(text) == len(_new_api_key()) and text.isascii()):
        raise _not_a_key(path)
    return text


def read_signing_keys(folder: Path) -> tuple[bytes, ...]:
    """The key behind conversation tokens, then every `signing_key.*` that is accepted until it is removed."""
    former = sorted(folder.glob(f"{SIGNING_KEY}.*"))
    return (read_signing_key(folder), *(_read_signing_key(path) for path in former))


def read_signing_key(folder: Path) -> bytes:
    """The key that signs."""
    return _read_signing_key(folder / SIGNING_KEY)


def read_audit_key(folder: Path) -> bytes:
    """The seed of the key that signs the audit log."""
    return _read_signing_key(folder / AUDIT_KEY)


def read_former_audit_keys(folder: Path) -> tuple[bytes, ...]:
    """The public keys whose seeds signed the audit log before this one."""
    path = folder / FORMER_AUDIT_KEYS
    if not path.exists():
        return ()
    try:
        keys = tuple(map(bytes.fromhex, _read(path).split()))
    except ValueError as error:
        raise _not_a_key(path) from error
    if any(len(key) != _KEY_BYTES for key in keys):
        raise _not_a_key(path)
    return keys


def rotate_caller_key(folder: Path) -> None:
    """Make a new key for the hashes of addresses; the former is gone, and with it the way to link them."""
    read_signing_key(folder)
    _replace(folder / CALLER_KEY)


def rotate_audit_key(folder: Path, public: bytes) -> None:
    """Make a new key that signs the audit log; the former leaves its `public` part, which verifies."""
    former = read_former_audit_keys(folder)
    path = folder / FORMER_AUDIT_KEYS
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _make(draft, lambda: "\n".join(key.hex() for key in dict.fromkeys((*former, public))))
    draft.replace(path)
    _replace(folder / AUDIT_KEY)


def _replace(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _make(draft, _new_signing_key)
    draft.replace(path)
    _sync_folder(path.parent)


def _read_signing_key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(_read(path))
    except ValueError as error:
        raise _not_a_key(path) from error
    if len(key) != _KEY_BYTES:
        raise _not_a_key(path)
    return key


def check_modes(folder: Path) -> None:
    """Refuse a folder, or a key in it, that other users can open.

    Raises:
        ConfigError: with the `chmod` that mends it.
    """
    _check_private(folder, FOLDER_MODE)
    for name in (ADMIN_API_KEY, SIGNING_KEY, CALLER_KEY, AUDIT_KEY):
        if (folder / name).exists():
            _check_private(folder / name, FILE_MODE)


def _new_api_key() -> str:
    return _API_KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def _new_signing_key() -> str:
    return secrets.token_hex(_KEY_BYTES)


def _make(path: Path, fresh: Callable[[], str]) -> bool:
    """Create `path` unless it is there. The link is what publishes it: whole, once, whoever else tries."""
    if path.exists():
        return False
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(fresh() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        _sync_folder(path.parent)
    finally:
        draft.unlink()
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> str:
    try:
        _check_private(path.parent, FOLDER_MODE)
        _check_private(path, FILE_MODE)
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} does not exist", remedy="start the server once (`hivemind serve` makes it)"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}",
            remedy="run as the user who started the server, or become its owner",
        ) from error
    except UnicodeDecodeError as error:
        raise _not_a_key(path) from error


def _check_private(path: Path, mode: int) -> None:
    found = stat.S_IMODE(path.stat().st_mode)
    if found & 0o077:
        raise ConfigError(
            f"{path} can be opened by other users (mode {found:04o})", remedy=f"chmod {mode:o} {path}"
        )


def _not_a_key(path: Path) -> ConfigError:
    return ConfigError(
        f"{path} does not hold a key",
        remedy="restore it from a backup, or move it away: the next start makes a new one",
    )

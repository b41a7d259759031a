"""The system account that runs the embedded Postgres, and what that account can reach.

Postgres refuses to run as root; root therefore picks an unprivileged account for it. Everybody else runs
it as themselves. No account is made and no mode is changed here outside a folder that we own.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from hivemind.errors import ConfigError

CANDIDATES = ("hivemind", "postgres", "nobody")


class ProcessOptions(TypedDict, total=False):
    """What `subprocess` needs to start a program as another account; empty for our own."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server; never root."""

    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Whether this process has to change into it."""
        return os.geteuid() != self.uid

    @property
    def options(self) -> ProcessOptions:
        """How to start a program as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}

    def reaches(self, *paths: Path) -> bool:
        """Tell whether the account can enter or execute each path: the kernel is asked, as that account."""
        if not self.is_other:
            return all(os.access(path, os.X_OK) for path in paths)
        test = 'for path; do test -x "$path" || exit 1; done'
        try:
            done = subprocess.run(  # noqa: S603
                ["/bin/sh", "-c", test, "sh", *map(str, paths)], cwd="/", check=False, **self.options
            )
        except PermissionError as error:
            raise ConfigError(
                f"this process may not start programs as the user {self.name}, and Postgres refuses root",
                remedy="run Hivemind as an ordinary user, or set DATABASE_URL",
            ) from error
        return done.returncode == 0

    def own(self, folder: Path, mode: int = 0o700) -> None:
        """Make sure that a folder exists and is the account's own."""
        folder.mkdir(parents=True, exist_ok=True)
        # A folder that someone else put at a guessable place is not taken over.
        found = folder.lstat()
        if folder.is_symlink() or found.st_uid not in (os.geteuid(), self.uid):
            raise ConfigError(
                f"{folder} belongs to someone else", remedy="remove it or choose another folder"
            )
        if self.is_other:
            os.chown(folder, self.uid, self.gid)
        folder.chmod(mode)


def choose_account(data: Path, user: str | None = None) -> Account:
    """Pick the account: ourselves; for root the owner of existing data, `user` or the first that exists."""
    uid = os.geteuid()
    if uid != 0:
        return _account(pwd.getpwuid(uid))
    try:
        owner = data.stat().st_uid
        if owner != 0:
            return _account(pwd.getpwuid(owner))
    except FileNotFoundError:
        pass
    except KeyError:
        raise ConfigError(f"{data} belongs to user {owner}, who does not exist on this machine") from None
    for name in (user,) if user else CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return _account(entry)
    raise ConfigError(
        f"Postgres refuses root, and there is no user {user or ', '.join(CANDIDATES)} to run it as",
        remedy="make one (useradd --system hivemind), or set DATABASE_URL",
    )


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)

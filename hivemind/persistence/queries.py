"""Named SQL: a file of queries becomes a mapping from name to text.

    -- name: admit
    -- Takes a message in, with its turn and its reservation, or says why not.
    insert into ...

The comment under the name is for people and is not sent. Running a query is `database`'s business.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from hivemind.errors import ConfigError

_HEADER = re.compile(r"^--\s*name:\s*([a-z][a-z0-9_]*)\s*$", re.MULTILINE)
_ABOUT = re.compile(r"\A(?:\s*--[^\n]*\n|\s*\n)*")


def load_queries(package: str, filename: str) -> Mapping[str, str]:
    """Read a file of named queries that lies in a package."""
    return parse_queries(files(package).joinpath(filename).read_text("utf-8"), f"{package}/{filename}")


def parse_queries(text: str, source: str = "the text") -> Mapping[str, str]:
    """Split a text into its named queries."""
    preamble, *parts = _HEADER.split(text)
    if _ABOUT.sub("", preamble + "\n").strip():
        raise ConfigError(f"{source} has SQL before its first '-- name:'")
    queries: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        sql = _ABOUT.sub("", body + "\n").strip().removesuffix(";").rstrip()
        if name in queries:
            raise ConfigError(f"{source} has two queries named {name}")
        if not sql:
            raise ConfigError(f"{source}: the query {name} is empty")
        queries[name] = sql
    return MappingProxyType(queries)

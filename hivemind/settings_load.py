"""Loads the settings: defaults, then `hivemind.toml`, then the environment, then files named by `*_FILE`.

Later wins, and where each value came from is kept. Whatever cannot be meant (an unknown key or variable, an
impossible value) is a `ConfigError` that names the line or the variable; all of them are told at once.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args, get_origin

from pydantic import SecretStr, ValidationError
from pydantic_core import to_jsonable_python

from hivemind.errors import ConfigError
from hivemind.settings import Section, Settings

PREFIX = "HIVEMIND_"
CONFIG_VARIABLE = "HIVEMIND_CONFIG"
CONFIG_NAME = "hivemind.toml"
HIDDEN = "(hidden)"
# Read by the test suite, never by the product.
TEST_PREFIX = "HIVEMIND_TEST_"

# Variables that the published product names otherwise than the rule would.
PUBLISHED_NAMES: Mapping[str, str] = {
    "database.url": "DATABASE_URL",
    "llm.timeout_seconds": "HIVEMIND_LLM_TIMEOUT_SECS",
    "auth.forward_auth": "HIVEMIND_FORWARD_AUTH",
    "auth.forward_auth_trusted_nets": "HIVEMIND_FORWARD_AUTH_TRUSTED_NETS",
    "plane.api_key": "PLANE_API_KEY",
    "plane.base_url": "PLANE_BASE_URL",
    "plane.workspace": "PLANE_WORKSPACE",
    "plane.projects": "PLANE_PROJECTS",
    "plane.webhook_secret": "PLANE_WEBHOOK_SECRET",
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting: where it stands in the file, which variable sets it, what it is for."""

    path: str
    variable: str
    annotation: object
    default: object
    doc: str
    secret: bool

    @property
    def file_variable(self) -> str | None:
        """The variable that names a file with the value; secrets only."""
        return f"{self.variable}_FILE" if self.secret else None


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force and, for each leaf by its path, where its value came from."""

    settings: Settings
    sources: Mapping[str, str]

    def value(self, path: str) -> object:
        """The value in force at a path such as `llm.model`."""
        found: object = self.settings
        for name in path.split("."):
            found = getattr(found, name)
        return found


def explained(loaded: Loaded, shown: Iterable[Leaf]) -> Iterator[dict[str, object]]:
    """Each setting as JSON: its value in force, its source, its variable, its doc. Secrets stay hidden."""
    for leaf in shown:
        yield {
            "path": leaf.path,
            "value": plain(loaded.value(leaf.path)),
            "source": loaded.sources.get(leaf.path, "default"),
            "variable": leaf.variable,
            "doc": leaf.doc,
        }


def plain(value: object) -> object:
    """A value as JSON."""
    return HIDDEN if isinstance(value, SecretStr) else to_jsonable_python(value)


@dataclass(slots=True)
class _Layers:
    """What has been read so far; a later layer overwrites an earlier one leaf by leaf."""

    values: dict[str, object] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def put(self, path: str, value: object, source: str) -> None:
        self.values[path] = value
        self.sources[path] = source


def leaves(section: type[Section] = Settings, prefix: str = "") -> Iterator[Leaf]:
    """Every setting there is, in the order of `hivemind.settings`."""
    for name, info in section.model_fields.items():
        path = f"{prefix}{name}"
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from leaves(annotation, f"{path}.")
            continue
        yield Leaf(
            path=path,
            variable=PUBLISHED_NAMES.get(path, _ruled_name(path)),
            annotation=annotation,
            default=info.get_default(call_default_factory=True, validated_data={}),
            doc=info.description or "",
            secret=annotation is SecretStr or SecretStr in get_args(annotation),
        )


def _ruled_name(path: str) -> str:
    return PREFIX + path.replace(".", "_").upper()


def load(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Loaded:
    """Read every source once.

    Args:
        environ: the environment; the process's own by default.
        folder: where `hivemind.toml` is looked for; the working directory by default.

    Raises:
        ConfigError: something was set that cannot be used.
    """
    environ = os.environ if environ is None else environ
    table = {leaf.path: leaf for leaf in leaves()}
    layers = _Layers()
    _read_file(layers, table, environ, folder or Path())
    _read_environment(layers, table, environ)
    settings = _validate(layers, table)
    sources = {path: layers.sources.get(path, "default") for path in table}
    return Loaded(settings, sources)


def _read_file(layers: _Layers, table: Mapping[str, Leaf], environ: Mapping[str, str], folder: Path) -> None:
    named = environ.get(CONFIG_VARIABLE)
    path = Path(named) if named else folder / CONFIG_NAME
    try:
        text = path.read_bytes().decode()
        document = tomllib.loads(text)
    except FileNotFoundError as error:
        if named:
            raise ConfigError(
                f"{CONFIG_VARIABLE} names {path}, which does not exist",
                remedy=f"create the file or unset {CONFIG_VARIABLE}",
            ) from error
        return
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", remedy="let this user read it"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", remedy="correct that line") from error
    lines = _line_numbers(text)
    sections = {known.partition(".")[0] for known in table}
    spellings = {known: known for known in (*table, *sorted(sections))}
    for key, value in _flatten(document, table):
        where = f"{path}:{lines.get(key) or lines.get(key.rpartition('.')[0], 1)}"
        if key in table:
            layers.put(key, value, where)
        elif any(known.startswith(f"{key}.") for known in table):
            layers.problems.append(f"{where}: [{key}] must be a table")
        else:
            layers.problems.append(f"{where}: unknown key {key}{_suggestion(key, spellings)}")


def _flatten(
    node: Mapping[str, object], table: Mapping[str, Leaf], prefix: str = ""
) -> Iterator[tuple[str, object]]:
    """The document's leaves; a table that no setting lies below is one unknown key, not many."""
    for name, value in node.items():
        path = f"{prefix}{name}"
        below = any(known.startswith(f"{path}.") for known in table)
        if isinstance(value, dict) and below:
            yield from _flatten(value, table, f"{path}.")
        else:
            yield path, value


def _line_numbers(text: str) -> dict[str, int]:
    """Where each key of a TOML text stands. Good enough for messages: it knows no multi-line strings."""
    lines: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare.startswith("["):
            section = bare.partition("]")[0].strip("[ ")
            lines.setdefault(section, number)
        elif "=" in bare and not bare.startswith("#"):
            key = ".".join(part.strip(" \"'") for part in bare.partition("=")[0].split("."))
            lines.setdefault(f"{section}.{key}" if section else key, number)
    return lines


def _read_environment(layers: _Layers, table: Mapping[str, Leaf], environ: Mapping[str, str]) -> None:
    # Compose passes a variable that nobody set as an empty string: it counts as unset.
    for leaf in table.values():
        if text := environ.get(leaf.variable):
            try:
                layers.put(leaf.path, _structured(leaf, text), leaf.variable)
            except ValueError as error:
                layers.problems.append(f"{leaf.variable}: must be JSON: {error}")
        if leaf.file_variable and (named := environ.get(leaf.file_variable)):
            _read_secret(layers, leaf, Path(named))
    known = {CONFIG_VARIABLE}
    known.update(leaf.variable for leaf in table.values())
    known.update(leaf.file_variable for leaf in table.values() if leaf.file_variable)
    spellings = {name: name for name in sorted(known)}
    spellings.update({_ruled_name(path): table[path].variable for path in PUBLISHED_NAMES})
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and not name.startswith(TEST_PREFIX):
            layers.problems.append(f"{name}: unknown variable{_suggestion(name, spellings)}")


def _read_secret(layers: _Layers, leaf: Leaf, file: Path) -> None:
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        layers.problems.append(f"{leaf.file_variable}: {file} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        layers.problems.append(f"{leaf.file_variable}: {file} is not UTF-8 text")
    else:
        if secret:
            layers.put(leaf.path, secret, f"{leaf.file_variable} ({file})")
        else:
            layers.problems.append(f"{leaf.file_variable}: {file} is empty")


def _structured(leaf: Leaf, text: str) -> object:
    """A variable's text as what the leaf holds: a list may be comma-separated, a table is JSON."""
    origin = get_origin(leaf.annotation)
    if origin is dict or (origin is tuple and text.lstrip().startswith("[")):
        return json.loads(text)
    if origin is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _validate(layers: _Layers, table: Mapping[str, Leaf]) -> Settings:
    nested: dict[str, object] = {}
    for path, value in layers.values.items():
        *parents, name = path.split(".")
        node = nested
        for parent in parents:
            below = node.setdefault(parent, {})
            assert isinstance(below, dict)
            node = below
        node[name] = value
    settings = None
    try:
        settings = Settings.model_validate(nested)
    except ValidationError as error:
        told: set[str] = set()
        for problem in error.errors(include_url=False, include_context=False):
            inside = ".".join(str(step) for step in problem["loc"])
            message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
            path = next((known for known in table if inside == known or inside.startswith(f"{known}.")), "")
            if not path:
                # Settings that do not fit together; the message names them.
                layers.problems.append(f"{_where(inside, layers.sources)}{message}")
                continue
            if path in told:
                continue
            told.add(path)
            shown = "" if table[path].secret else f", not {problem['input']!r}"
            layers.problems.append(f"{layers.sources[path]}: {path} {message}{shown}")
    if layers.problems or settings is None:
        raise ConfigError(
            "\n".join(layers.problems),
            remedy="correct the above; docs/reference/settings.md lists every setting",
        )
    return settings


def _where(section: str, sources: Mapping[str, str]) -> str:
    """Where something of a section was set first."""
    found = [sources[path] for path in sources if section and path.startswith(f"{section}.")]
    return next((f"{source}: " for source in found if source != "default"), "")


def _suggestion(name: str, spellings: Mapping[str, str]) -> str:
    """A closing `did you mean`, by the whole name first, else by its last part in any section."""
    close = difflib.get_close_matches(name, spellings, n=1, cutoff=0.75)
    if close:
        return f": did you mean {spellings[close[0]]}?"
    by_last = {spelling.rpartition(".")[2]: spelling for spelling in reversed(list(spellings))}
    close = difflib.get_close_matches(name.rpartition(".")[2], by_last, n=1, cutoff=0.75)
    return f": did you mean {spellings[by_last[close[0]]]}?" if close else ""

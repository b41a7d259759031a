"""Rules: their fields, and the files they are read from.

A rule is data. `trigger` is what Vectorscan looks for; it must fire inside every span that the rule can
match, so it is written without a boundary at its end. `pattern` is what RE2 then measures; its group `v`, or
else the whole match, is the span. `check` names a function of `checks` that has the last word.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources

from hivemind.guards.verdict import Severity

CATEGORIES = ("injection", "pii", "secret", "leak")
READINGS = ("any", "text", "decoded", "letters")
FILES = (
    "injection.toml",
    "clauses.toml",
    "languages.toml",
    "spelt.toml",
    "secrets.toml",
    "leaks.toml",
    "pii.toml",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `id` is unique and `version` grows with every change of meaning."""

    id: str
    version: int
    category: str
    type: str
    severity: Severity
    pattern: str
    trigger: str
    weight: float = 0.0
    check: str | None = None
    until: str | None = None
    """Everything after the span goes too, up to where this matches."""
    context: bool = False
    """The pattern begins in what stands before the value (`password is`), not at the value itself."""
    reading: str = "any"
    """Where a hit counts: in `any` reading, in the `text` as it came, in what was `decoded`; or in the
    `letters` of a text, its pattern written in letters and groups only."""
    language: str = ""
    """The language that it is in, where that is not English."""
    examples: tuple[str, ...] = field(default=(), repr=False)
    counterexamples: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.category not in CATEGORIES:
            raise ValueError(f"rule {self.id}: unknown category {self.category}")
        if self.reading not in READINGS:
            raise ValueError(f"rule {self.id}: unknown reading {self.reading}")
        if not 0 <= self.weight <= 1:
            raise ValueError(f"rule {self.id}: weight {self.weight} is not between 0 and 1")


def read(source: str) -> Iterator[Rule]:
    """Parse one rule file: a category, and a table per rule."""
    data = tomllib.loads(source)
    category = data.pop("category")
    for key, table in data.items():
        table.setdefault("trigger", table["pattern"])
        table["severity"] = Severity(table["severity"])
        for name in ("examples", "counterexamples"):
            table[name] = tuple(table.get(name, ()))
        yield Rule(id=f"{category}.{key}", category=category, **table)


def load() -> tuple[Rule, ...]:
    """Read the rules that ship with the product, in their order of precedence."""
    folder = resources.files("hivemind.guards") / "rules"
    rules = tuple(rule for name in FILES for rule in read((folder / name).read_text(encoding="utf-8")))
    ids = [rule.id for rule in rules]
    if len(set(ids)) != len(ids):
        raise ValueError("two rules have the same id")
    return rules

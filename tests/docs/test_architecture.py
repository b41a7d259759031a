"""Promise: what docs/architecture.md draws is what is there: the tree, the packages, the tables."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGE = ROOT / "hivemind"


def section(title):
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def named(text):
    return set(re.findall(r"`([a-z_0-9]+)`", text))


def test_the_tree_is_that_of_app():
    tree = section("The tree").partition("```text")[2].partition("```")[0]
    drawn = set(re.findall(r"[├└]─ ([a-z-]+)", tree))
    calls = [
        node for node in ast.walk(ast.parse((PACKAGE / "app.py").read_text())) if isinstance(node, ast.Call)
    ]
    built = {
        call.args[0].value
        for call in calls
        if ast.unparse(call.func) == "ChildSpec" and isinstance(call.args[0], ast.Constant)
    }
    assert built == drawn


def test_every_package_has_its_layer():
    there = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there - {"__init__", "__main__"} - named(section("Layers")) == set()


def test_every_table_is_told():
    migrations = "".join(path.read_text() for path in sorted((PACKAGE / "migrations").glob("*.sql")))
    made = set(
        re.findall(r"^create (?:unlogged )?table (?:if not exists )?([a-z_]+)", migrations, re.MULTILINE)
    )
    told = named("".join(re.findall(r"^\| `.*?\|", section("Persistence"), re.MULTILINE)))
    assert made == told

"""The Python in the README and in the docs runs, the shell lines name real commands, the links lead somewhere."""

import re
from pathlib import Path

import pytest

from hivemind.cli import VERBS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


SNIPPETS = [
    pytest.param(snippet, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, snippet in enumerate(blocks(page, "python"), 1)
]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippet_runs(snippet):
    namespace = {"__name__": "snippet"}
    exec(compile(snippet, "snippet", "exec"), namespace)
    tests = [value for name, value in namespace.items() if name.startswith("test_")]
    assert tests, "a snippet shows something only when a test of its own says so"
    for test in tests:
        test()


def test_the_readme_shows_how_to_test_an_actor():
    assert any("run_alone" in snippet for snippet in blocks(ROOT / "README.md", "python"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page):
    verbs = re.findall(r"(?:\.venv/bin/|`)hivemind ([a-z][a-z-]+)", page.read_text())
    assert set(verbs) <= set(VERBS)

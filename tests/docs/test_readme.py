"""The links of the README and the docs lead somewhere, and what they name in passing is there."""

import re
from pathlib import Path

import pytest

from hivemind.cli import VERBS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


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


def test_the_index_leads_to_every_page():
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+)", index.read_text())}
    pages = {page for page in (ROOT / "docs").rglob("*.md") if page != index}
    assert pages - linked == set()

"""Promise: every setting is explained with its source, no secret is shown, and the reference page is current."""

import json
from pathlib import Path

from hivemind import cli
from hivemind.cli.config import reference_page
from hivemind.settings_load import leaves

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"


def explain(monkeypatch, tmp_path, capsys, *options, **environ) -> str:
    monkeypatch.chdir(tmp_path)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert cli.run(["config", "explain", *options]) == 0
    return capsys.readouterr().out


def test_the_reference_page_is_current():
    assert PAGE.read_text() == reference_page(), "run `make docs`"


def test_the_reference_page_names_every_setting():
    page = reference_page()
    assert all(f"`{leaf.variable}`" in page and leaf.doc in page for leaf in leaves())


def test_every_value_has_its_source_and_its_line_of_doc(monkeypatch, tmp_path, capsys):
    (tmp_path / "hivemind.toml").write_text("[log]\nlevel = 'DEBUG'\n")
    shown = json.loads(
        explain(monkeypatch, tmp_path, capsys, "--json", HIVEMIND_SERVER_PORT="9000", DATABASE_URL="x://pw")
    )
    assert shown["server.port"]["value"] == 9000
    assert shown["server.port"]["source"] == "HIVEMIND_SERVER_PORT"
    assert shown["log.level"]["source"] == "hivemind.toml:2"
    assert shown["log.format"]["source"] == "default"
    assert shown["database.url"]["value"] == "(hidden)"
    assert set(shown) == {leaf.path for leaf in leaves()}


def test_no_form_shows_a_secret(monkeypatch, tmp_path, capsys):
    for options in ((), ("--json",), ("--changed",)):
        shown = explain(monkeypatch, tmp_path, capsys, *options, HIVEMIND_LLM_API_KEY="sk-secret-key")
        assert "(hidden)" in shown
        assert "sk-secret-key" not in shown


def test_changed_leaves_the_defaults_out(monkeypatch, tmp_path, capsys):
    assert explain(monkeypatch, tmp_path, capsys, "--changed") == "everything is at its default\n"
    shown = explain(monkeypatch, tmp_path, capsys, "--changed", HIVEMIND_LLM_PACE_MS="7")
    assert "pace_ms = 7" in shown
    assert "max_retries" not in shown

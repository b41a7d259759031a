"""Promise: settings come from four places in a fixed order, each value knows its source, and what cannot be
meant is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hivemind.errors import ConfigError
from hivemind.settings import Settings
from hivemind.settings_load import leaves, load


def refusal(environ, folder) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(environ, folder)
    assert caught.value.remedy
    return caught.value


def test_nothing_set_gives_the_defaults(tmp_path):
    loaded = load({}, tmp_path)
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {"default"}


def test_later_sources_win_leaf_by_leaf(tmp_path):
    (tmp_path / "hivemind.toml").write_text('[llm]\nmodel = "from-file"\nmax_retries = 7\napi_key = "one"\n')
    (tmp_path / "key").write_text("three\n")
    loaded = load(
        {
            "HIVEMIND_LLM_MODEL": "from-env",
            "HIVEMIND_LLM_API_KEY": "two",
            "HIVEMIND_LLM_API_KEY_FILE": str(tmp_path / "key"),
        },
        tmp_path,
    )
    assert loaded.settings.llm.model == "from-env"
    assert loaded.settings.llm.max_retries == 7
    assert loaded.settings.llm.api_key.get_secret_value() == "three"
    assert loaded.sources["llm.model"] == "HIVEMIND_LLM_MODEL"
    assert loaded.sources["llm.max_retries"] == f"{tmp_path / 'hivemind.toml'}:3"
    assert loaded.sources["llm.api_key"] == f"HIVEMIND_LLM_API_KEY_FILE ({tmp_path / 'key'})"
    assert loaded.sources["llm.endpoint"] == "default"
    assert loaded.value("llm.model") == "from-env"


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("HIVEMIND_LLM_TIMEOUT_SECS", "12.5", "llm.timeout_seconds", 12.5),
        ("HIVEMIND_LLM_PACE_MS", "0", "llm.pace_ms", 0),
        ("HIVEMIND_LLM_ENDPOINT", "http://x:1/v1/", "llm.endpoint", "http://x:1/v1"),
        ("HIVEMIND_LOCAL_MODEL_THREADS", "3", "local_model.threads", 3),
        (
            "HIVEMIND_SERVER_TRUSTED_PROXIES",
            "10.0.0.0/8, ::1/128",
            "server.trusted_proxies",
            ("10.0.0.0/8", "::1/128"),
        ),
        ("HIVEMIND_SERVER_TRUSTED_PROXIES", '["10.0.0.0/8"]', "server.trusted_proxies", ("10.0.0.0/8",)),
        ("HIVEMIND_BUDGETS_PRICES", '{"m": [1, 2]}', "budgets.prices", {"m": (1, 2)}),
        (
            "HIVEMIND_SUPERVISION",
            '{"agents": {"max_restarts": 1}}',
            "supervision",
            {"agents": {"max_restarts": 1}},
        ),
    ],
)
def test_variables_reach_their_leaf(tmp_path, variable, text, path, value):
    assert load({variable: text}, tmp_path).value(path) == value


def test_database_url_keeps_its_published_name(tmp_path):
    loaded = load({"DATABASE_URL": "postgresql://u:pw@h/db"}, tmp_path)
    assert loaded.settings.database.url.get_secret_value() == "postgresql://u:pw@h/db"
    assert "did you mean DATABASE_URL" in str(refusal({"HIVEMIND_DATABASE_URL": "x"}, tmp_path))


def test_every_leaf_has_a_doc_and_a_variable_of_its_own():
    found = list(leaves())
    assert len({leaf.variable for leaf in found}) == len(found) > 30
    assert [leaf.path for leaf in found if not leaf.doc] == []


def test_an_empty_variable_counts_as_unset(tmp_path):
    assert load({"HIVEMIND_LLM_API_KEY": "", "DATABASE_URL": ""}, tmp_path).settings == Settings()


def test_variables_of_others_and_of_the_test_suite_are_left_alone(tmp_path):
    environ = {"HIVEMIND_TEST_DATABASE_URL": "x", "PATH": "/bin", "hivemind_port": "1"}
    assert load(environ, tmp_path).settings == Settings()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HIVEMIND_SERVER_PRT", "HIVEMIND_SERVER_PORT"),
        ("HIVEMIND_LLM_TIMEOUT_SECONDS", "HIVEMIND_LLM_TIMEOUT_SECS"),
        ("HIVEMIND_LLM_APIKEY", "HIVEMIND_LLM_API_KEY"),
    ],
)
def test_an_unknown_variable_is_answered_with_a_suggestion(tmp_path, name, meant):
    assert f"{name}: unknown variable: did you mean {meant}?" in str(refusal({name: "1"}, tmp_path))


def test_a_far_off_variable_is_answered_without_one(tmp_path):
    assert str(refusal({"HIVEMIND_ZZZZZZ_QQQQ": "1"}, tmp_path)) == "HIVEMIND_ZZZZZZ_QQQQ: unknown variable"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nhost = 'h'\nprot = 1\n", ":3: unknown key server.prot: did you mean server.port?"),
        ("port = 1\n", ":1: unknown key port: did you mean server.port?"),
        ("\n[sever]\nport = 1\n", ":2: unknown key sever: did you mean server?"),
        ("server = 3\n", ":1: [server] must be a table"),
        ("[server]\nport = 70000\n", ":2: server.port must be less than or equal to 65535, not 70000"),
        ("server.port = -1\n", ":1: server.port must be greater than or equal to 0, not -1"),
        ("[llm]\n\nprovider = 'gpt'\n", ":3: llm.provider must be 'anthropic', 'openai'"),
        ("[llm]\ntimeout_seconds = inf\n", ":2: llm.timeout_seconds must be a finite number"),
        ("[budgets.prices]\nm = [1]\n", "budgets.prices Field required"),
        ("[server]\ntrusted_proxies = ['10.0.0.1/8']\n", "10.0.0.1/8 has host bits set"),
    ],
)
def test_what_the_file_cannot_mean_is_named_with_its_line(tmp_path, text, expected):
    (tmp_path / "hivemind.toml").write_text(text)
    assert expected in str(refusal({}, tmp_path))


def test_all_problems_are_told_at_once(tmp_path):
    (tmp_path / "hivemind.toml").write_text("[server]\nprot = 1\nport = 99999\n")
    problems = str(refusal({"HIVEMIND_LOG_LEVEL": "loud", "HIVEMIND_X": "1"}, tmp_path)).splitlines()
    assert len(problems) == 4


def test_an_impossible_secret_is_not_repeated(tmp_path):
    (tmp_path / "hivemind.toml").write_text("[llm]\napi_key = 123456789\n")
    assert "123456789" not in str(refusal({}, tmp_path))


@pytest.mark.parametrize("content", [b"[server\n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_file_that_is_not_toml_is_refused(tmp_path, content):
    (tmp_path / "hivemind.toml").write_bytes(content)
    assert "is not valid TOML" in str(refusal({}, tmp_path))


def test_a_named_file_must_exist_and_replaces_the_usual_one(tmp_path):
    (tmp_path / "hivemind.toml").write_text("nonsense = 1\n")
    other = tmp_path / "other.toml"
    assert "does not exist" in str(refusal({"HIVEMIND_CONFIG": str(other)}, tmp_path))
    other.write_text("[server]\nport = 1\n")
    assert load({"HIVEMIND_CONFIG": str(other)}, tmp_path).settings.server.port == 1


@pytest.mark.parametrize(
    ("content", "expected"), [(None, "cannot be read"), (b"\xff\xff", "UTF-8"), (b" \n", "is empty")]
)
def test_a_secret_file_that_holds_no_secret_is_refused(tmp_path, content, expected):
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    message = str(refusal({"DATABASE_URL_FILE": str(file)}, tmp_path))
    assert message.startswith("DATABASE_URL_FILE: ")
    assert expected in message


def test_only_secrets_may_come_from_a_named_file():
    assert {leaf.path for leaf in leaves() if leaf.file_variable} >= {"database.url", "llm.api_key"}
    assert not any(leaf.file_variable for leaf in leaves() if leaf.path.startswith("server."))


@given(st.dictionaries(st.sampled_from([leaf.variable for leaf in leaves()]), st.text(max_size=20)))
def test_any_environment_loads_or_is_refused(environ):
    try:
        loaded = load(environ)
    except ConfigError as error:
        assert all(line.split(":")[0] in environ for line in error.message.splitlines())
    else:
        assert {s for s in loaded.sources.values() if s != "default"} <= set(environ)


def test_money_is_held_for_as_long_as_a_step_may_take(tmp_path):
    assert load({}, tmp_path).settings.lease_seconds == 300
    assert load({"HIVEMIND_LLM_TIMEOUT_SECS": "600"}, tmp_path).settings.lease_seconds == 660
    servers = '{"slow": {"command": "x", "call_timeout_seconds": 400}}'
    assert load({"HIVEMIND_MCP_SERVERS": servers}, tmp_path).settings.lease_seconds == 490
    told = refusal({"HIVEMIND_BUDGETS_LEASE_SECONDS": "119"}, tmp_path)
    assert str(told).startswith("budgets.lease_seconds must be at least 120: a call may take 60 s")
    assert load({"HIVEMIND_BUDGETS_LEASE_SECONDS": "120"}, tmp_path).settings.lease_seconds == 120


def test_settings_of_one_section_that_do_not_fit_together_are_told():
    with pytest.raises(ConfigError, match=r"oidc\.issuer and oidc\.client_id belong together"):
        load({"HIVEMIND_OIDC_CLIENT_ID": "hivemind"})

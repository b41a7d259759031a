"""Promise: the doctor sees each fault by its name, says how to mend it, and asks a running server for its own."""

import json
import socket

import pytest
import trio

from hivemind import keyfiles
from hivemind.cli import doctor
from hivemind.settings_load import load


@pytest.fixture
def environ(tmp_path):
    return {
        "HIVEMIND_DATA_FOLDER": str(tmp_path / "data"),
        "HIVEMIND_DATA_SECRETS_FOLDER": str(tmp_path / "secrets"),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def examine(environ, tmp_path) -> dict[str, doctor.Check]:
    environ.setdefault("HIVEMIND_SERVER_PORT", str(free_port()))
    return {check.name: check for check in trio.run(doctor.examine, load(environ, tmp_path))}


def test_a_fresh_machine_is_well_and_left_as_it_is(environ, tmp_path):
    checks = examine(environ, tmp_path)
    assert list(checks) == ["settings", "keys", "data", "disk", "port", "database", "model"]
    assert {name for name, check in checks.items() if check.status == "failed"} <= {"disk"}
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_another_program_has(environ, tmp_path, monkeypatch):
    # The other program listens and never answers: the doctor must not wait for it.
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr(doctor, "HEALTH_SECONDS", 0.05)
        environ["HIVEMIND_SERVER_PORT"] = str(other.getsockname()[1])
        check = examine(environ, tmp_path)["port"]
    assert check.status == "failed"
    assert "HIVEMIND_SERVER_PORT" in check.remedy


def test_keys_that_others_can_read(environ, tmp_path):
    keyfiles.ensure(tmp_path / "secrets")
    (tmp_path / "secrets" / "admin_api_key").chmod(0o644)
    check = examine(environ, tmp_path)["keys"]
    assert (check.status, check.remedy) == ("failed", f"chmod 600 {tmp_path}/secrets/admin_api_key")


def test_a_data_folder_that_is_a_file(environ, tmp_path):
    (tmp_path / "data").write_text("")
    assert examine(environ, tmp_path)["data"].status == "failed"


def test_a_settings_file_with_a_secret_that_others_can_read(environ, tmp_path):
    file = tmp_path / "hivemind.toml"
    file.write_text("[llm]\nprovider = 'scripted'\napi_key = 'k'\n")
    file.chmod(0o644)
    check = examine(environ, tmp_path)["settings"]
    assert (check.status, check.remedy) == ("warning", f"chmod 600 {file}")
    file.chmod(0o600)
    assert examine(environ, tmp_path)["settings"].status == "ok"


def test_a_database_that_is_away(environ, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "DATABASE_SECONDS", 0.05)
    environ["DATABASE_URL"] = f"postgresql://u:hunter2-secret@127.0.0.1:{free_port()}/db"
    check = examine(environ, tmp_path)["database"]
    assert check.status == "failed"
    assert check.remedy
    assert "hunter2-secret" not in check.message + check.remedy


def test_a_database_that_answers(environ, tmp_path, database_url):
    environ["DATABASE_URL"] = database_url
    check = examine(environ, tmp_path)["database"]
    assert check.status == "ok"
    assert check.message.startswith("Postgres ")


def test_a_provider_without_a_key_is_a_warning(environ, tmp_path):
    environ["HIVEMIND_LLM_PROVIDER"] = "anthropic"
    check = examine(environ, tmp_path)["model"]
    assert check.status == "warning"
    assert "HIVEMIND_LLM_API_KEY" in check.message


def test_a_running_server_tells_its_own_health(environ, tmp_path):
    body = json.dumps(
        {
            "status": "degraded",
            "version": "9.9",
            "checks": {
                "database": {"status": "ok"},
                "llm": {"status": "degraded", "message": "m", "remedy": "r"},
            },
        }
    ).encode()

    async def answer(stream):
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async def main():
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, answer, 0)
            environ["HIVEMIND_SERVER_PORT"] = str(listeners[0].socket.getsockname()[1])
            checks = await doctor.examine(load(environ, tmp_path))
            nursery.cancel_scope.cancel()
        return {check.name: check for check in checks}

    checks = trio.run(main)
    assert "9.9" in checks["port"].message
    assert checks["database"].status == "ok"
    assert (checks["llm"].status, checks["llm"].message, checks["llm"].remedy) == ("warning", "m", "r")


def test_what_was_looked_at_here_is_not_told_twice(monkeypatch, environ, tmp_path):
    async def health(*_):
        ok = {"status": "ok"}
        return {"status": "ok", "version": "1", "checks": {"disk": ok, "database": ok}}

    monkeypatch.setattr(doctor, "_health", health)
    names = [check.name for check in trio.run(doctor.examine, load(environ, tmp_path))]
    assert names.count("disk") == 1
    assert "database" in names


def test_an_identity_provider_that_does_not_answer(environ, tmp_path):
    environ |= {
        "HIVEMIND_AUTH_PUBLIC_URL": "https://hivemind.example.org",
        "HIVEMIND_OIDC_ISSUER": f"http://127.0.0.1:{free_port()}",
        "HIVEMIND_OIDC_CLIENT_ID": "hivemind",
    }
    check = examine(environ, tmp_path)["sign-in"]
    assert check.status == "warning"
    assert "cannot be reached" in check.message
    assert "oidc.issuer" in check.remedy


def test_an_identity_provider_that_answers(environ, tmp_path, openid_provider):
    environ |= {
        "HIVEMIND_AUTH_PUBLIC_URL": "https://hivemind.example.org",
        "HIVEMIND_OIDC_ISSUER": openid_provider.issuer,
        "HIVEMIND_OIDC_CLIENT_ID": "hivemind",
    }
    check = examine(environ, tmp_path)["sign-in"]
    assert check.status == "ok"
    assert "https://hivemind.example.org/auth/oidc/callback" in check.message

"""Promise: an installation's keys are made once, whole and private, and are never read when others can."""

import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from hivemind import keyfiles
from hivemind.errors import ConfigError


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "below" / "secrets"


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_start_makes_private_keys(folder):
    keys = keyfiles.ensure(folder)
    assert re.fullmatch(r"hm-[A-Za-z0-9_-]{43}", keys.admin_api_key)
    assert len(keys.signing_key) == 32
    assert [path.name for path in keys.made] == ["admin_api_key", "signing_key", "caller_key", "audit_key"]
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}
    assert {path.name for path in folder.iterdir()} == {path.name for path in keys.made}


def test_the_umask_cannot_open_them(folder):
    before = os.umask(0)
    try:
        keyfiles.ensure(folder)
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}


def test_a_second_start_keeps_them(folder):
    first = keyfiles.ensure(folder)
    second = keyfiles.ensure(folder)
    assert (second.admin_api_key, second.signing_key) == (first.admin_api_key, first.signing_key)
    assert second.made == ()


def test_two_starts_at_once_agree(folder):
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: keyfiles.ensure(folder), range(64)))
    assert len({(keys.admin_api_key, keys.signing_key) for keys in found}) == 1
    assert sum(len(keys.made) for keys in found) == 4


def test_keys_are_not_in_the_repr(folder):
    keys = keyfiles.ensure(folder)
    assert keys.admin_api_key not in repr(keys)
    assert keys.signing_key.hex() not in repr(keys)


@pytest.mark.parametrize(
    ("name", "bad", "right"),
    [("admin_api_key", 0o640, "600"), ("signing_key", 0o604, "600"), (".", 0o750, "700")],
)
def test_a_key_that_others_can_open_is_refused_with_the_command(folder, name, bad, right):
    keyfiles.ensure(folder)
    (folder / name).chmod(bad)
    for refuse in (keyfiles.ensure, keyfiles.check_modes):
        with pytest.raises(ConfigError) as caught:
            refuse(folder)
        assert caught.value.remedy == f"chmod {right} {folder / name}"


def test_no_key_is_made_in_an_open_folder(folder):
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    with pytest.raises(ConfigError):
        keyfiles.ensure(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["admin_api_key", "signing_key"])
@pytest.mark.parametrize("content", [b"", b"hm-short", b"\xff" * 46, b"00" * 31, b"zz" * 32])
def test_a_damaged_key_is_refused_and_left_as_it_is(folder, name, content):
    keyfiles.ensure(folder)
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigError, match="does not hold a key"):
        keyfiles.ensure(folder)
    assert (folder / name).read_bytes() == content


def test_a_missing_key_says_how_to_get_one(folder):
    folder.mkdir(parents=True, mode=0o700)
    with pytest.raises(ConfigError) as caught:
        keyfiles.read_admin_api_key(folder)
    assert "hivemind serve" in caught.value.remedy


def test_a_file_in_the_way_is_a_config_error(tmp_path):
    (tmp_path / "secrets").write_text("")
    with pytest.raises(ConfigError):
        keyfiles.ensure(tmp_path / "secrets")


def test_a_rotated_caller_key_is_another_one_and_the_rest_stays(folder):
    before = keyfiles.ensure(folder)
    keyfiles.rotate_caller_key(folder)
    after = keyfiles.ensure(folder)
    assert after.made == ()
    assert after.caller_key != before.caller_key
    assert (after.signing_key, after.audit_key) == (before.signing_key, before.audit_key)
    assert {mode(path) for path in folder.iterdir()} == {0o600}

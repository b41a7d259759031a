"""A place for servers that a test starts itself."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def folder():
    """A folder that the account which root runs Postgres as can enter."""
    path = Path(tempfile.mkdtemp(prefix=f"hivemind-test-{os.getpid()}-"))
    path.chmod(0o755)
    yield path / "postgres"
    shutil.rmtree(path)

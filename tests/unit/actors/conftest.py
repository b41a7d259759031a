"""Lets the tests here share their sample actors, and keeps provoked errors out of the output."""

import logging
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(autouse=True)
def quiet_runtime(caplog):
    caplog.set_level(logging.DEBUG, "hivemind.actors")

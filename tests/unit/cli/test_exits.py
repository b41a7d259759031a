"""Promise: a script can tell by the exit code whether it failed, was refused, or reached nobody."""

import pytest

from hivemind import errors
from hivemind.cli import exits
from hivemind.errors import RemoteError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.HivemindError(), exits.FAILED),
        (errors.ConfigError(), exits.USAGE),
        (errors.NotFound(), exits.REFUSED),
        (errors.AgentBusy(), exits.REFUSED),
        (errors.MailboxFull(), exits.REFUSED),
        (errors.GuardRefused(), exits.REFUSED),
        (errors.GuardFailed(), exits.FAILED),
        (errors.ProviderUnavailable(), exits.FAILED),
        (errors.Unreachable(), exits.UNREACHABLE),
        (errors.DatabaseUnavailable(), exits.UNREACHABLE),
        (errors.TargetRefused(), exits.REFUSED),
    ],
)
def test_the_nearest_family_counts_here_and_from_a_server(error, code):
    assert exits.code_of(error) == code
    assert exits.code_of(RemoteError(answered_code=error.code)) == code


def test_a_code_of_a_newer_server_is_a_failure():
    assert exits.code_of(RemoteError(answered_code="not_invented_yet")) == exits.FAILED


def test_a_wrong_configuration_is_the_cause_of_the_rest():
    assert exits.code_of_all([errors.Unreachable(), errors.ConfigError()]) == exits.USAGE
    assert exits.code_of_all([errors.Unreachable(), errors.NotFound()]) == exits.UNREACHABLE


def test_every_code_has_its_meaning():
    assert {exits.code_of(cls.__new__(cls)) for cls in errors.families() if cls is not RemoteError} <= set(
        exits.MEANINGS
    )


@pytest.mark.parametrize("cls", list(errors.families()), ids=lambda cls: cls.__name__)
def test_every_error_says_what_to_do(cls):
    assert cls.__dict__.get("advice", "").endswith((".", "`"))

"""Of several groups the highest role counts; nobody without a role is let in."""

from ipaddress import ip_address, ip_network

import pytest

from hivemind.auth.forward import Forward

ROLES = {"admins": "admin", "ops": "operator", "all": "viewer"}


@pytest.mark.parametrize(
    ("groups", "everybody", "role"),
    [
        ("ops", None, "operator"),
        ("all|admins|ops", None, "admin"),
        (" ops |x", None, "operator"),
        ("x", None, None),
        ("", None, None),
        ("x", "viewer", "viewer"),
        ("all", "operator", "operator"),
    ],
)
def test_the_role_of_groups(groups, everybody, role):
    headers = {b"x-authentik-username": "ada", b"x-authentik-groups": groups}
    found = Forward((), ROLES, everybody, b"secret").identity(headers.get)
    assert (found.role if found else None) == role


def test_nobody_named_is_nobody():
    assert Forward((), ROLES, "admin", b"secret").identity({b"x-authentik-groups": "admins"}.get) is None


def test_the_token_is_the_persons_own():
    forward = Forward((), ROLES, "viewer", b"secret")
    ada, bob = (forward.identity({b"x-authentik-username": name}.get) for name in ("ada", "bob"))
    assert ada.csrf != bob.csrf
    assert (
        ada.csrf != Forward((), ROLES, "viewer", b"other").identity({b"x-authentik-username": "ada"}.get).csrf
    )


def test_only_the_proxy_is_believed():
    forward = Forward((ip_network("10.0.0.0/8"), ip_network("fd00::/8")), ROLES, None, b"secret")
    believed = [forward.believes(ip_address(peer)) for peer in ("10.1.2.3", "fd00::1", "11.0.0.1", "::1")]
    assert believed == [True, True, False, False]
    assert not forward.believes(None)

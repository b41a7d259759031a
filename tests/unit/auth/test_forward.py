"""Of several groups the highest role counts; nobody without a role is let in."""

from ipaddress import ip_address, ip_network

import pytest

from hivemind.auth.forward import Forward
from hivemind.auth.person import Person

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
    forward = Forward((), ROLES, everybody, b"secret")
    assert forward.role(forward.person(headers.get)) == role


def test_nobody_named_is_nobody():
    assert Forward((), ROLES, "admin", b"secret").person({b"x-authentik-groups": "admins"}.get) is None


def test_a_person_is_known_by_the_uid_and_else_by_the_name():
    forward = Forward((), ROLES, None, b"secret")
    named = {b"x-authentik-username": "Ada Lovelace", b"x-authentik-email": "ada@example.org"}
    with_uid = named | {b"x-authentik-uid": "f00"}
    assert forward.person(named.get) == Person(
        "forward-auth", "Ada Lovelace", "ada-lovelace", "ada@example.org"
    )
    assert forward.person(with_uid.get).subject == "f00"


def test_the_token_is_the_persons_own():
    here, there = (Forward((), ROLES, "viewer", secret) for secret in (b"secret", b"other"))
    ada, bob = (here.person({b"x-authentik-username": name}.get) for name in ("ada", "bob"))
    assert len({here.csrf(ada), here.csrf(bob), there.csrf(ada)}) == 3


def test_only_the_proxy_is_believed():
    forward = Forward((ip_network("10.0.0.0/8"), ip_network("fd00::/8")), ROLES, None, b"secret")
    believed = [forward.believes(ip_address(peer)) for peer in ("10.1.2.3", "fd00::1", "11.0.0.1", "::1")]
    assert believed == [True, True, False, False]
    assert not forward.believes(None)

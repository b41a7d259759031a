"""Forward auth: a proxy has signed somebody in and says who in headers, as Authentik's outpost does.

The headers are unsigned: they count from a proxy that is trusted, and from nobody else.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hivemind.auth.identity import Identity
from hivemind.auth.role import Role, covers

USERNAME, EMAIL, GROUPS = b"x-authentik-username", b"x-authentik-email", b"x-authentik-groups"
HEADERS = (USERNAME, EMAIL, GROUPS, b"x-authentik-name", b"x-authentik-uid")
_MAX_CHARS = 200

Network = IPv4Network | IPv6Network


class Forward:
    """Turns headers into an identity; `roles` says which role the members of a group have."""

    def __init__(
        self, proxies: Sequence[Network], roles: Mapping[str, Role], everybody: Role | None, secret: bytes
    ) -> None:
        self._proxies = proxies
        self._roles = roles
        self._everybody = everybody
        self._secret = secret

    def believes(self, peer: IPv4Address | IPv6Address | None) -> bool:
        """Whether a connection from there may name somebody."""
        return peer is not None and any(peer.version == net.version and peer in net for net in self._proxies)

    def identity(self, header: Callable[[bytes], str | None]) -> Identity | None:
        """Who the headers name; None where nobody is named, or nobody with a role."""
        name = (header(USERNAME) or "").strip()[:_MAX_CHARS]
        role = self.role((header(GROUPS) or "").split("|"))
        if not name or role is None:
            return None
        csrf = hmac.new(self._secret, b"hivemind.forward.1" + name.encode(), hashlib.sha256).hexdigest()
        return Identity(
            name, role, f"operator:user:{name}", f"user:{name}", email=header(EMAIL) or None, csrf=csrf
        )

    def role(self, groups: list[str]) -> Role | None:
        """The highest role of any of these groups."""
        found = self._everybody
        for group in groups:
            role = self._roles.get(group.strip())
            if role is not None and (found is None or covers(role, found)):
                found = role
        return found

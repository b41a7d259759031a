"""Forward auth: a proxy has signed somebody in and says who in headers, as Authentik's outpost does.

The headers are unsigned: they count from a proxy that is trusted, and from nobody else.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hivemind.auth.person import MAX_CHARS, Person
from hivemind.auth.role import Role

ISSUER = "forward-auth"
USERNAME, EMAIL, GROUPS, UID = (
    b"x-authentik-username",
    b"x-authentik-email",
    b"x-authentik-groups",
    b"x-authentik-uid",
)
HEADERS = (USERNAME, EMAIL, GROUPS, UID, b"x-authentik-name")

Network = IPv4Network | IPv6Network


class Forward:
    """Turns headers into a person; `roles` says which role the members of a group have."""

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

    def person(self, header: Callable[[bytes], str | None]) -> Person | None:
        """Who the headers name, None for nobody. Without a uid the name is what they are known by."""
        name = (header(USERNAME) or "").strip()[:MAX_CHARS]
        if not name:
            return None
        groups = (group.strip() for group in (header(GROUPS) or "").split("|"))
        subject = (header(UID) or "").strip()[:MAX_CHARS] or name
        return Person.told(ISSUER, subject, name, header(EMAIL), tuple(group for group in groups if group))

    def role(self, person: Person) -> Role | None:
        """What their groups give them."""
        return person.role(self._roles, self._everybody)

    def csrf(self, person: Person) -> str:
        """What their pages send along with a change: there is no session that it could belong to."""
        text = b"hivemind.forward.2" + person.subject.encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()

"""Whose request it is: the client's address as far as it is believed, and the keyed hash that stands for it.

Addresses are kept nowhere: limits, rows and audit know a caller by the hash alone.
"""

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_V6_SITE_BITS = 64
_HASH_BYTES = 16
_KEY_ID_CHARS = 8
_HASHES_KEPT = 4096


class Callers:
    """The same hash for the same client (one IPv6 site is one client), and no way back from it."""

    def __init__(self, hash_key: bytes, trusted_proxies: Sequence[Network] = ()) -> None:
        self._hash_key = hash_key
        # Names the key, so that hashes of before and after a rotation are not taken for one another.
        self._key_id = hashlib.sha256(hash_key).hexdigest()[:_KEY_ID_CHARS]
        self._trusted = trusted_proxies
        self._hash = lru_cache(maxsize=_HASHES_KEPT)(self.hash)

    def of(self, peer: str, forwarded_for: str | None) -> str:
        """The hash of the client of a connection from `peer` with this `X-Forwarded-For`."""
        if forwarded_for and self._trusted:
            peer = client_address(peer, forwarded_for, self._trusted)
        return self._hash(peer)

    def believes(self, peer: str) -> bool:
        """Whether the peer is a proxy whose headers count."""
        address = parse_address(peer)
        return address is not None and _in_any(address, self._trusted)

    def hash(self, address: str) -> str:
        """What stands for an address."""
        text = site(address).encode()
        digest = hashlib.blake2b(text, key=self._hash_key, digest_size=_HASH_BYTES).hexdigest()
        return f"{self._key_id}-{digest}"


def networks(cidrs: Iterable[str]) -> tuple[Network, ...]:
    """The networks that settings name."""
    return tuple(ipaddress.ip_network(cidr, strict=False) for cidr in cidrs)


def client_address(peer: str, forwarded_for: str | None, trusted: Sequence[Network]) -> str:
    """The nearest address that no trusted proxy vouches for.

    `X-Forwarded-For` is read from the right, each entry believed only when the one after it is trusted: what
    a client writes there itself is on the left and is never reached.
    """
    nearest = parse_address(peer)
    if nearest is None or not trusted or not forwarded_for:
        return str(nearest) if nearest is not None else peer
    for hop in reversed(forwarded_for.split(",")):
        if not _in_any(nearest, trusted):
            break
        address = parse_address(hop)
        if address is None:
            break
        nearest = address
    return str(nearest)


def parse_address(text: str) -> Address | None:
    """An address as peers and proxies write it: with a port, in brackets, IPv4 inside of IPv6."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def site(address: str) -> str:
    """An IPv4 address, or the /64 that one IPv6 customer has at the least."""
    parsed = parse_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _V6_SITE_BITS), strict=False))
    return str(parsed) if parsed is not None else address


def _in_any(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in trusted)

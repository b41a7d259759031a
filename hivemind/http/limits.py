"""How often callers may ask: the rate decision, its bounded table, and whose request it is.

Addresses are kept only as keyed hashes. The time is passed in; what to do with a refusal is the table of
`problems.py`.
"""

import hashlib
import ipaddress
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hivemind.errors import Overloaded, RateLimited
from hivemind.settings import LimitSettings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_KEYS = 100_000

_V6_SITE_BITS = 64
_HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` requests at once, and one more every `interval_seconds`."""

    interval_seconds: float
    burst: int

    @classmethod
    def per_minute(cls, count: int) -> "Rate":
        """A minute's worth at once, then evenly."""
        return cls(60 / count, count)


def decide(due_at: float, now: float, rate: Rate) -> tuple[float, float]:
    """The generic cell rate algorithm: the key's next due time, and how long to wait (0: admitted).

    `due_at` is when the key would be unused again; a refusal leaves it as it is.
    """
    next_due_at = max(due_at, now) + rate.interval_seconds
    wait_seconds = next_due_at - now - rate.interval_seconds * rate.burst
    # Sums of intervals are off by their last bits, which must not refuse the last of a burst.
    return (next_due_at, 0.0) if wait_seconds <= rate.interval_seconds * 1e-3 else (due_at, wait_seconds)


class Table:
    """Due times by key, never more than `max_keys`: a full table refuses keys that it does not know.

    Keys are in the order of their last use, so that those that mean nothing any more are found in front.
    """

    def __init__(self, rate: Rate, max_keys: int = MAX_KEYS) -> None:
        self.rate = rate
        self._max_keys = max_keys
        self._due_at: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due_at)

    def look(self, key: bytes, now: float) -> tuple[float, float]:
        """Decide on one request of a key; nothing is booked."""
        due_at = self._due_at.get(key)
        if due_at is None:
            self._forget(now)
            if len(self._due_at) >= self._max_keys:
                raise Overloaded(retry_after_seconds=self.rate.interval_seconds * self.rate.burst)
            due_at = now
        return decide(due_at, now, self.rate)

    def book(self, key: bytes, due_at: float) -> None:
        """Note what was decided."""
        self._due_at[key] = due_at
        self._due_at.move_to_end(key)

    def _forget(self, now: float) -> None:
        while self._due_at:
            key, due_at = self._due_at.popitem(last=False)
            if due_at > now:
                self._due_at[key] = due_at
                self._due_at.move_to_end(key, last=False)
                break


class Limiter:
    """A request counts in every limit or in none: one that is refused uses up nothing."""

    def __init__(self, settings: LimitSettings, hash_key: bytes, *, max_keys: int = MAX_KEYS) -> None:
        self._hash_key = hash_key
        self._addresses = Table(Rate.per_minute(settings.per_ip_per_minute), max_keys)
        self._conversations = Table(Rate.per_minute(settings.per_conversation_per_minute), max_keys)
        self._everybody = Table(Rate.per_minute(settings.global_per_minute), 1)

    def admit(self, address: str, conversation: str | None, now: float) -> None:
        """Count a message, or raise `RateLimited` with the time after which it would be admitted."""
        asked = [(self._addresses, self.address_hash(address), "from this address")]
        if conversation is not None:
            asked.append((self._conversations, self._hash(conversation), "in this conversation"))
        asked.append((self._everybody, b"", "to this server"))
        booked: list[tuple[Table, bytes, float]] = []
        longest_seconds, whose = 0.0, ""
        for table, key, where in asked:
            due_at, wait_seconds = table.look(key, now)
            booked.append((table, key, due_at))
            if wait_seconds > longest_seconds:
                longest_seconds, whose = wait_seconds, where
        if longest_seconds:
            raise RateLimited(
                f"Too many messages {whose}: try again later", retry_after_seconds=longest_seconds
            )
        for table, key, due_at in booked:
            table.book(key, due_at)

    def address_hash(self, address: str) -> bytes:
        """What stands for a caller's address: the same for one IPv6 site, and no way back."""
        return self._hash(site(address))

    def _hash(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode(), key=self._hash_key, digest_size=_HASH_BYTES).digest()


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

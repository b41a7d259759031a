"""How often callers may ask: exact windows, kept in memory and decided without waiting.

One process has one limiter and asks it from one loop, so no two requests can take the same place. The time is
passed in. What counted before this process began is brought in by `recount`; until then everything is
refused. What to do with a refusal is the table of `problems.py`.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from uuid import UUID

from hivemind.errors import LimitsUnknown, Overloaded, RateLimited
from hivemind.settings import LimitSettings

MINUTE_SECONDS = 60.0
DAY_SECONDS = 86_400.0
NAMED = ":"
"""In the name of a caller that has a key or an account (`key:admin`), and in no hash of an address."""
MAX_KEYS = 100_000
# Sums of times are off by their last bits, which must not refuse who waited as told.
_INSTANT_SECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class Counted:
    """A message that counted before this process began."""

    age_seconds: float
    caller: str | None
    profile_id: UUID | None
    conversation_id: UUID | None


class Table:
    """When each key was used in the last minute, for at most `max_keys` keys: a full table refuses new ones.

    Keys are in the order of their last use, so that those that mean nothing any more are found in front.
    """

    def __init__(self, limit: int, max_keys: int = MAX_KEYS) -> None:
        self.limit = limit
        self._max_keys = max_keys
        self._used_at: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used_at)

    def wait_seconds(self, key: Hashable, now: float, limit: int | None = None) -> float:
        """How long until the key may be used once more (0: now); nothing is booked."""
        used_at = self._used_at.get(key)
        if used_at is None:
            self._forget(now)
            if len(self._used_at) >= self._max_keys:
                raise Overloaded(retry_after_seconds=MINUTE_SECONDS)
            return 0.0
        old = now - MINUTE_SECONDS + _INSTANT_SECONDS
        while used_at and used_at[0] <= old:
            used_at.popleft()
        allowed = self.limit if limit is None else limit
        return 0.0 if len(used_at) < allowed else used_at[-allowed] + MINUTE_SECONDS - now

    def book(self, key: Hashable, now: float) -> None:
        """Count one use."""
        used_at = self._used_at.get(key)
        if used_at is None:
            used_at = self._used_at[key] = deque()
        else:
            self._used_at.move_to_end(key)
        used_at.append(now)

    def _forget(self, now: float) -> None:
        old = now - MINUTE_SECONDS
        while self._used_at:
            key, used_at = next(iter(self._used_at.items()))
            if used_at and used_at[-1] > old:
                break
            del self._used_at[key]


class Day:
    """How much was used in the last 24 hours, by the minute: a minute counts until all of it is a day old."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._minutes: deque[tuple[float, int]] = deque()
        self._count = 0

    def wait_seconds(self, now: float) -> float:
        """How long until one more fits (0: now); nothing is booked."""
        while self._minutes and self._minutes[0][0] <= now + _INSTANT_SECONDS:
            self._count -= self._minutes.popleft()[1]
        too_many = self._count - self.limit + 1
        if too_many <= 0:
            return 0.0
        for until, count in self._minutes:
            too_many -= count
            if too_many <= 0:
                return until - now
        raise AssertionError("the minutes do not add up to their count")

    def book(self, now: float, count: int = 1) -> None:
        """Count uses of this moment; moments come in their order."""
        self._count += count
        if self._minutes:
            until, before = self._minutes[-1]
            if now + DAY_SECONDS < until:
                self._minutes[-1] = (until, before + count)
                return
        self._minutes.append((now + MINUTE_SECONDS + DAY_SECONDS, count))


class Limiter:
    """A message counts in every limit or in none: one that is refused uses up nothing."""

    def __init__(self, settings: LimitSettings, *, max_keys: int = MAX_KEYS) -> None:
        self._callers = Table(settings.per_ip_per_minute, max_keys)
        self._keyholders = Table(settings.per_key_per_minute, max_keys)
        self._conversations = Table(settings.per_conversation_per_minute, max_keys)
        self._profiles = Table(settings.per_profile_per_minute, max_keys)
        self._everybody = Table(settings.global_per_minute, 1)
        self._day = Day(settings.global_per_day)
        self._known = False

    def begin(self, minute: Iterable[Counted], day: Iterable[tuple[int, int]], now: float) -> None:
        """Count what counted before, and let messages in from now on.

        `minute` holds the messages of the last minute, `day` (minutes ago, how many) of the last 24 hours,
        both from the oldest to the newest.
        """
        for counted in minute:
            at = now - counted.age_seconds
            if counted.caller is not None:
                keyed = NAMED in counted.caller
                (self._keyholders if keyed else self._callers).book(counted.caller, at)
            if counted.profile_id is not None:
                self._profiles.book(counted.profile_id, at)
            if counted.conversation_id is not None:
                self._conversations.book(counted.conversation_id, at)
            self._everybody.book("", at)
        for minutes_ago, count in day:
            self._day.book(now - (minutes_ago + 1) * MINUTE_SECONDS, count)
        self._known = True

    def admit(
        self,
        caller: str | None,
        now: float,
        *,
        key: str | None = None,
        conversation_id: UUID | None = None,
        profile_id: UUID | None = None,
        per_profile: int | None = None,
    ) -> None:
        """Count a message, or refuse it; `per_profile` is the profile's own limit where it has one.

        A caller who has a key is None here, and `key` names it: only what strangers ask for counts by where
        they are.

        Raises:
            RateLimited: with the time after which the message would be admitted.
            LimitsUnknown: `begin` has not been called.
        """
        if not self._known:
            raise LimitsUnknown(retry_after_seconds=1)
        asked: list[tuple[Table, Hashable, int | None, str]] = [
            (self._everybody, "", None, "to this server"),
        ]
        if caller is not None:
            asked.append((self._callers, caller, None, "from this address"))
        if key is not None:
            asked.append((self._keyholders, key, None, "with this key"))
        if profile_id is not None:
            asked.append((self._profiles, profile_id, per_profile, "to this agent"))
        if conversation_id is not None:
            asked.append((self._conversations, conversation_id, None, "in this conversation"))
        longest_seconds, whose = self._day.wait_seconds(now), "to this server today"
        for table, name, limit, where in asked:
            wait_seconds = table.wait_seconds(name, now, limit)
            if wait_seconds > longest_seconds:
                longest_seconds, whose = wait_seconds, where
        if longest_seconds:
            raise RateLimited(
                f"Too many messages {whose}: try again later", retry_after_seconds=longest_seconds
            )
        for table, name, _, _ in asked:
            table.book(name, now)
        self._day.book(now)

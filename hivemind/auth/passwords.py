"""Passwords as Argon2id (RFC 9106), in threads: each takes about 50 ms and 64 MiB on purpose."""

import unicodedata
from functools import cache

import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_CHARS = 10
MAX_CHARS = 200

_HASHER = PasswordHasher()
# Each takes 64 MiB while it runs.
_AT_ONCE = trio.CapacityLimiter(2)


async def hashed(password: str) -> str:
    """What is stored of a password."""
    return await trio.to_thread.run_sync(_HASHER.hash, _form(password), limiter=_AT_ONCE)


async def fits(password: str, stored: str | None) -> bool:
    """Whether this is the password; without a stored one the same work is done and the answer is no."""
    return await trio.to_thread.run_sync(_fits, _form(password), stored, limiter=_AT_ONCE)


def mistake(password: str, username: str) -> str | None:
    """Why this cannot be somebody's password (NIST SP 800-63B: long, and not guessed at once)."""
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        return f"has to have {MIN_CHARS} to {MAX_CHARS} characters"
    plain = password.lower()
    if len(set(plain)) < 4 or (username in plain and len(plain) < 2 * len(username)):
        return "is too easy to guess"
    return None


def _form(password: str) -> bytes:
    """The same bytes however a keyboard composes its letters."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _fits(password: bytes, stored: str | None) -> bool:
    try:
        right = _HASHER.verify(stored or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False
    return right and stored is not None


@cache
def _nobody() -> str:
    return _HASHER.hash(b"nobody has this password")

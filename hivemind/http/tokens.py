"""Tokens of conversations: signed, and valid for a time.

To clients a token is opaque, and nothing of it is stored. Every accepted key verifies and the first signs, so
that the key can be exchanged while tokens of the old one are still about.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from itsdangerous import BadSignature, SignatureExpired, TimestampSigner

from hivemind.errors import NotPermitted, TokenExpired

_PURPOSE = b"hivemind.conversation.1"


class Tokens:
    """A token proves that its bearer was given it here, for one conversation, not too long ago."""

    def __init__(
        self, keys: Sequence[bytes], lifetime_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        # The library signs with the last of its keys.
        self._signer = _Signer(clock, list(reversed(keys)))
        self._lifetime_seconds = int(lifetime_seconds)

    def issue(self, conversation_id: UUID) -> str:
        """A fresh token."""
        signed = self._signer.sign(conversation_id.hex).decode()
        return signed.partition(".")[2]

    def check(self, conversation_id: UUID, token: str | None) -> None:
        """Accept the token, or say what to do about it.

        Raises:
            TokenExpired: it was good once.
            NotPermitted: it never was, for this conversation.
        """
        signed = f"{conversation_id.hex}.{token or ''}".encode("utf-8", "surrogatepass")
        try:
            self._signer.unsign(signed, max_age=self._lifetime_seconds)
        except SignatureExpired:
            raise TokenExpired(remedy="leave conversation_id out: that opens a new conversation") from None
        except BadSignature:
            raise NotPermitted(
                "The conversation token does not belong to this conversation",
                remedy="send the conversation_token that came with the latest reply",
            ) from None


class _Signer(TimestampSigner):
    """The library's signer by the clock that it is given."""

    def __init__(self, clock: Callable[[], float], keys: list[bytes]) -> None:
        super().__init__(keys, salt=_PURPOSE, digest_method=hashlib.sha256)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock())

"""The signature over the end of the chain: Ed25519, with a key that the database never sees.

When a head is signed is the sealer's business; what a missing or wrong one means is the verifier's.
"""

import hashlib
import json
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain ended at a time; `signed_at` is in the form of the export."""

    seq: int
    hash: str
    signed_at: str
    key_id: str
    signature: str


class HeadKey:
    """Signs heads; the seed never leaves it."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key().public_bytes_raw()
        self.key_id = key_id(self.public)

    def sign(self, seq: int, hash_hex: str, signed_at: str) -> Head:
        """The signed head."""
        signature = self._private.sign(message(seq, hash_hex, signed_at)).hex()
        return Head(seq, hash_hex, signed_at, self.key_id, signature)


def key_id(public: bytes) -> str:
    """The short name of a public key."""
    return hashlib.sha256(public).hexdigest()[:16]


def message(seq: int, hash_hex: str, signed_at: str) -> bytes:
    """What is signed."""
    return json.dumps(["hivemind-audit-head-1", seq, hash_hex, signed_at]).encode()


def is_signed(head: Head, public: bytes) -> bool:
    """Whether the head was signed with the key that belongs to `public`."""
    try:
        signature = bytes.fromhex(head.signature)
        Ed25519PublicKey.from_public_bytes(public).verify(
            signature, message(head.seq, head.hash, head.signed_at)
        )
    except (ValueError, InvalidSignature):
        return False
    return True

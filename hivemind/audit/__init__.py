"""The audit log: who did what, in one vocabulary, append-only and sealed into a chain.

Turns are audited inside the statements that admit and commit them; `record` writes everything else. Details
hold verdicts and scrubbed text only: never raw text that a guard has touched, never an address.
"""

from hivemind.audit.actions import Action
from hivemind.audit.entries import Filter, Verdict, chain, lines, page
from hivemind.audit.log import Erasure, erase, expire, record, seal
from hivemind.audit.sealer import HEADS_FILE, Sealer
from hivemind.audit.signature import HeadKey

__all__ = [
    "HEADS_FILE",
    "Action",
    "Erasure",
    "Filter",
    "HeadKey",
    "Sealer",
    "Verdict",
    "chain",
    "erase",
    "expire",
    "lines",
    "page",
    "record",
    "seal",
]

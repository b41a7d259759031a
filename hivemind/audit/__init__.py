"""The audit log: who did what, in one vocabulary, append-only.

Turns are audited inside the statements that admit and commit them; `record` writes everything else. Details
hold verdicts and scrubbed text only: never raw text that a guard has touched, never an address.
"""

from hivemind.audit.actions import Action
from hivemind.audit.log import record

__all__ = ["Action", "record"]

"""What a call may cost at most and what it did cost; caps, and what is held and spent in them.

Holding and settling happens inside the statements that admit and commit a turn (`migrations/0001`), so that
no path reaches a provider without them.
"""

from hivemind.budgets.caps import EVERYONE, Cap, Rule, strained
from hivemind.budgets.prices import Price, Prices
from hivemind.budgets.reservations import hold, refusal, release_expired

__all__ = ["EVERYONE", "Cap", "Price", "Prices", "Rule", "hold", "refusal", "release_expired", "strained"]

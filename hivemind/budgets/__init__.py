"""What a call may cost at most, what it did cost, and the sweep that gives back what a crash left held.

The caps themselves are rows; holding and settling them happens inside the statements that admit and commit
a turn (`migrations/0001`), so that no path reaches a provider without them.
"""

from hivemind.budgets.prices import Price, Prices
from hivemind.budgets.reservations import release_expired

__all__ = ["Price", "Prices", "release_expired"]

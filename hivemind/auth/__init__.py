"""Accounts, sessions, API keys and roles: who is asking, and what they may do."""

from hivemind.auth.identity import Identities, Identity
from hivemind.auth.role import ROLES, Role, covers

__all__ = ["ROLES", "Identities", "Identity", "Role", "covers"]

"""The roles, each with all that the one below it has."""

from typing import Literal, get_args

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


def covers(has: Role, needs: Role) -> bool:
    """Whether who has one role may do what needs the other."""
    return ROLES.index(has) >= ROLES.index(needs)

"""Every page that the navigation knows, in its order. Which role a page asks for is in `http/roles.py`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

from hivemind.auth import Role, covers
from hivemind.http.roles import ROUTES


@dataclass(frozen=True, slots=True)
class Page:
    """A page at `path`, made of `templates/<name>.html`; without a group it is not in the navigation.

    A page below another names that in `under`: the navigation marks it as the one where the visitor is.
    """

    path: str
    name: str
    title: str
    group: str | None = None
    icon: str = ""
    under: str | None = None

    @property
    def role(self) -> Role | None:
        """Who may see it; None: everybody."""
        return ROUTES[f"GET {self.path}"]


PAGES: tuple[Page, ...] = (
    Page("/", "chat", "Chat", "Talk", "chat"),
    Page("/agents", "agents", "Agents", "Watch", "agents"),
    Page("/agents/{id}", "agent", "Agent", under="agents"),
    Page("/approvals", "approvals", "Approvals", "Watch", "approvals"),
    Page("/actors", "actors", "Actors", "Watch", "actors"),
    Page("/health", "health", "Health", "Watch", "health"),
    Page("/work", "work", "Work", "Work", "work"),
    Page("/schedules", "schedules", "Schedules", "Work", "schedules"),
    Page("/knowledge", "knowledge", "Knowledge", "Work", "knowledge"),
    Page("/profiles", "profiles", "Profiles", "Govern", "profiles"),
    Page("/profiles/{slug}", "profile", "Profile", under="profiles"),
    Page("/guards", "guards", "Guards", "Govern", "guards"),
    Page("/costs", "costs", "Costs", "Govern", "costs"),
    Page("/audit", "audit", "Audit", "Govern", "audit"),
    Page("/users", "users", "Users", "Admin", "users"),
    Page("/keys", "keys", "API keys", "Admin", "keys"),
    Page("/settings", "settings", "Settings", "Admin", "settings"),
    Page("/api/docs", "api-docs", "API", "Admin", "link"),
    Page("/sign-in", "sign-in", "Sign in"),
    Page("/first-run", "first-run", "Welcome"),
)


def seen_by(role: Role | None, pages: tuple[Page, ...] = PAGES) -> list[tuple[str, list[Page]]]:
    """The navigation of somebody with a role: each group with the pages that they may see."""
    if role is None:
        return []
    return list(_grouped(pages, lambda page: page.role is not None and covers(role, page.role)))


def _grouped(pages: tuple[Page, ...], fits: Callable[[Page], bool]) -> Iterator[tuple[str, list[Page]]]:
    shown = [page for page in pages if page.group is not None and fits(page)]
    for group, members in groupby(shown, key=lambda page: page.group or ""):
        yield group, list(members)

"""A work item of Plane, from its JSON to a task. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from typing import Any

from hivemind.agents.tasks import Mirrored, State

SOURCE = "plane"
MAX_TITLE_CHARS = 500
MAX_TEXT_CHARS = 100_000

# The groups that every workflow of Plane is made of, whatever its states are called.
_STATES: Mapping[str, State] = {
    "triage": "open",
    "backlog": "open",
    "unstarted": "open",
    "started": "doing",
    "completed": "done",
    "cancelled": "dropped",
}
_CLOUD_API, _CLOUD_WEB = "https://api.plane.so", "https://app.plane.so"
_BREAKS = ("<br", "</li>", "</tr>")
_BLOCKS = ("</p>", "</div>", "</ul>", "</ol>", "</h1>", "</h2>", "</h3>", "</pre>", "</table>")


class Unusable(ValueError):
    """A row that is no work item: it is skipped, and its words are logged."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where items are: the API's address, the workspace and the project."""

    base_url: str
    workspace: str
    project: str

    def page_of(self, item_id: str) -> str:
        """Where people look at an item."""
        web = _CLOUD_WEB if self.base_url == _CLOUD_API else self.base_url
        return f"{web}/{self.workspace}/projects/{self.project}/issues/{item_id}"


def id_of(row: object) -> str:
    """The id of a row.

    Raises:
        Unusable: it has none.
    """
    found = row.get("id") if isinstance(row, dict) else None
    if not isinstance(found, str) or not 0 < len(found) <= 100:
        raise Unusable("it has no id")
    return found


def updated_at(row: Mapping[str, Any]) -> datetime:
    """When an item was changed last.

    Raises:
        Unusable: that cannot be told.
    """
    text = row.get("updated_at")
    try:
        moment = datetime.fromisoformat(text or "")
    except (ValueError, TypeError):
        raise Unusable(f"updated_at is {text!r}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def task_of(row: Mapping[str, Any], place: Place, groups: Mapping[str, str]) -> Mirrored:
    """The task that mirrors an item; `groups` tells the group of a state by its id.

    Raises:
        Unusable: it lacks what a task needs.
    """
    item_id = id_of(row)
    title = row.get("name")
    if not isinstance(title, str) or not title.strip():
        raise Unusable("it has no name")
    state = row.get("state")
    group = state.get("group") if isinstance(state, dict) else groups.get(str(state))
    return Mirrored(
        SOURCE,
        item_id,
        place.project,
        _clean(title)[:MAX_TITLE_CHARS],
        _clean(_text(row))[:MAX_TEXT_CHARS],
        "dropped" if row.get("archived_at") else _STATES.get(str(group), "open"),
        place.page_of(item_id),
        updated_at(row),
    )


def plain(html: str) -> str:
    """The text of an item's description: tags gone, blocks on lines of their own."""
    for tag in _BREAKS:
        html = html.replace(tag, f"\n{tag}")
    for tag in _BLOCKS:
        html = html.replace(tag, f"\n\n{tag}")
    # Not for showing it in a browser again: what is left of the markup does no harm in a text.
    pieces = [piece.partition(">")[2] if number else piece for number, piece in enumerate(html.split("<"))]
    lines = [line.strip() for line in unescape("".join(pieces)).splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _text(row: Mapping[str, Any]) -> str:
    stripped = row.get("description_stripped")
    html = row.get("description_html")
    if isinstance(html, str) and html.strip():
        return plain(html)
    return stripped if isinstance(stripped, str) else ""


def _clean(text: str) -> str:
    """Without what Postgres cannot store."""
    return text.replace("\0", "").encode("utf-8", "replace").decode().strip()

"""Promise: a work item of Plane becomes a task, and what is no work item is named and skipped."""

from datetime import UTC, datetime

import pytest

from hivemind.plane.item import MAX_TITLE_CHARS, Place, Unusable, id_of, plain, task_of

CLOUD = Place("https://api.plane.so", "acme", "p-1")
ROW = {
    "id": "4af68566-94a4-4eb3-94aa-50dc9427067b",
    "name": "Fix the login",
    "description_html": "<p>It <b>loops</b> &amp; loops.</p><p>Badly.</p>",
    "description_stripped": "It loops",
    "state": "s-2",
    "priority": "high",
    "sequence_id": 7,
    "updated_at": "2026-11-20T09:22:41.123456Z",
    "archived_at": None,
}
GROUPS = {"s-1": "backlog", "s-2": "started", "s-3": "completed", "s-4": "cancelled", "s-5": "unstarted"}


def test_all_of_it():
    task = task_of(ROW, CLOUD, GROUPS)
    assert (task.source, task.external_id, task.group) == ("plane", ROW["id"], "p-1")
    assert (task.title, task.text, task.state) == ("Fix the login", "It loops & loops.\n\nBadly.", "doing")
    assert task.url == f"https://app.plane.so/acme/projects/p-1/issues/{ROW['id']}"
    assert task.updated_at == datetime(2026, 11, 20, 9, 22, 41, 123456, UTC)


@pytest.mark.parametrize(
    ("state", "ours"),
    [
        ("s-1", "open"),
        ("s-2", "doing"),
        ("s-3", "done"),
        ("s-4", "dropped"),
        ("s-5", "open"),
        ("unheard of", "open"),
        (None, "open"),
        ({"id": "x", "group": "completed"}, "done"),
    ],
)
def test_states_by_their_group(state, ours):
    assert task_of({**ROW, "state": state}, CLOUD, GROUPS).state == ours


def test_archived_is_dropped():
    assert task_of({**ROW, "archived_at": "2026-01-01"}, CLOUD, GROUPS).state == "dropped"


def test_a_server_of_ones_own_shows_its_own_pages():
    place = Place("https://plane.example.org", "acme", "p-1")
    assert task_of(ROW, place, GROUPS).url.startswith("https://plane.example.org/acme/projects/p-1/")


def test_what_cannot_be_stored_is_taken_out():
    task = task_of({**ROW, "name": "a\0b\ud800" + "x" * 1000, "description_html": None}, CLOUD, GROUPS)
    assert task.title.startswith("ab?x") and len(task.title) == MAX_TITLE_CHARS
    assert task.text == "It loops"


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        {},
        {**ROW, "id": 7},
        {**ROW, "name": "  "},
        {**ROW, "name": None},
        {**ROW, "updated_at": "yesterday"},
        {**ROW, "updated_at": None},
        {**ROW, "updated_at": 7},
    ],
)
def test_what_is_no_work_item(row):
    with pytest.raises(Unusable):
        id_of(row)
        task_of(row, CLOUD, GROUPS)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("<ul><li>one</li><li>two</li></ul>", "one\ntwo"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("1 &lt; 2", "1 < 2"),
        ("<p>a</p><p></p><p></p><p>b</p>", "a\n\nb"),
        ("broken <b", "broken"),
    ],
)
def test_descriptions_as_text(html, text):
    assert plain(html) == text

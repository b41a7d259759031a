"""Promise: a question of an agent is shown exactly and is answered in the browser, with a note."""

import pytest
from playwright.sync_api import expect

TASK = {"title": "Paint the shed"}
PLANNER = {
    "slug": "planner",
    "name": "Planner",
    "prompt": "Be brief.",
    "tools": {"create_task": {"policy": "ask"}},
}


@pytest.fixture
def sections():
    return {"directives": {"poll_seconds": 0.05}}


@pytest.fixture
def asking(stage):
    """Makes an agent that asks, and gives its id."""
    stage.api("POST", "/api/v1/agent-profiles", PLANNER)
    stage.model.says({"create_task": TASK}, when="plan it")
    return lambda: stage.api("POST", "/api/v1/agents", {"profile": "planner", "directive": "plan it"})[
        "agent"
    ]["id"]


def test_a_question_comes_without_reload_and_is_answered_with_a_note(stage, admin, asking, inspect):
    admin.goto("/approvals")
    expect(admin.locator("#waiting")).to_contain_text("Nothing waits")
    asking()
    card = admin.get_by_role("article", name="create_task, pending")
    expect(card.locator("pre")).to_contain_text('"title": "Paint the shed"')
    admin.reload()
    expect(admin.locator('[data-nav="approvals"] .count')).to_have_text("1")
    inspect(admin, "approvals")
    card.get_by_label("Note").fill("It is time")
    card.get_by_role("button", name="Approve").click()
    done = admin.locator("#answered").get_by_role("article")
    expect(done).to_contain_text("approved by user:ada")
    expect(done).to_contain_text("It is time")
    expect(admin.locator('[data-nav="approvals"] .count')).to_have_count(0)
    told = stage.rows("select state, answered_by, reason from approvals")
    assert told == [{"state": "approved", "answered_by": "operator:user:ada", "reason": "It is time"}]
    asking()
    card.get_by_role("button", name="Deny").click()
    expect(admin.locator("#answered").get_by_role("article").first).to_contain_text("denied by user:ada")
    inspect(admin, "approvals-answered")


def test_a_viewer_sees_questions_and_answers_none(asking, member):
    asking()
    page = member("viewer")
    page.goto("/approvals")
    card = page.get_by_role("article", name="create_task, pending")
    expect(card).to_be_visible()
    expect(card.get_by_role("button")).to_have_count(0)

"""Promise: one makes an agent, sees what it does step by step as it happens, answers it, talks to it, ends it."""

import re

import pytest
import trio
from playwright.sync_api import expect

PLANNER = {
    "slug": "planner",
    "name": "Planner",
    "prompt": "Be brief.",
    "tools": {"create_task": {"policy": "ask"}},
}


@pytest.fixture
def sections():
    return {"directives": {"poll_seconds": 0.05}}


def test_an_agent_is_made_asks_answers_and_is_killed(stage, admin, inspect):
    stage.api("POST", "/api/v1/agent-profiles", PLANNER)
    stage.model.says({"create_task": {"title": "Paint the shed"}}, when="plan it")
    admin.goto("/agents")
    expect(admin.locator("#list")).to_contain_text("No agent yet")
    admin.get_by_role("button", name="New agent").click()
    dialog = admin.get_by_role("dialog", name="New agent")
    dialog.get_by_label("Profile").select_option("planner")
    dialog.get_by_label("Directive").fill("plan it")
    dialog.get_by_role("button", name="Make it").click()
    expect(admin).to_have_url(re.compile("/agents/[0-9a-f-]{36}$"))
    question = admin.get_by_role("article", name="create_task, pending")
    expect(question).to_contain_text("Paint the shed")
    expect(admin.locator("#life")).to_have_text("waiting approval")
    inspect(admin, "agent-asks")
    question.get_by_label("Note").fill("Go on")
    question.get_by_role("button", name="Approve").click()
    expect(admin.locator(".call")).to_contain_text("approved by user:ada")
    expect(admin.locator(".call .state")).to_have_text("done")
    held = stage.call(trio.Event)
    stage.model.says("Half of ", held, "it.", when="tell me")
    expect(admin.locator("#life")).to_have_text(re.compile("idle|done"))
    admin.get_by_label("Message").fill("tell me")
    admin.get_by_role("button", name="Send").click()
    expect(admin.locator("#live")).to_contain_text("Half of")
    inspect(admin, "agent-live", full=False)
    stage.call(held.set)
    expect(admin.locator(".turn").first).to_contain_text("Half of it.")
    expect(admin.locator("#live")).to_be_hidden()
    admin.locator(".turn").first.get_by_text("Run it again").click()
    newest = stage.rows("select id from turns order by admitted_at desc limit 1")[0]["id"]
    expect(admin.locator(".turn").first).to_contain_text(f"hivemind replay {newest}")
    inspect(admin, "agent")
    admin.get_by_role("button", name="Kill").click()
    ask = admin.get_by_role("dialog")
    expect(ask).to_contain_text("never resumed")
    ask.get_by_label("Reason").fill("Enough")
    ask.get_by_role("button", name="Kill").click()
    expect(admin.locator("#life")).to_have_text("killed")
    expect(admin.get_by_role("button", name="Pause")).to_have_count(0)
    assert stage.rows("select state from agents") == [{"state": "killed"}]
    admin.goto("/agents")
    row = admin.get_by_role("row").filter(has_text="planner")
    expect(row).to_contain_text("killed")
    inspect(admin, "agents")
    admin.get_by_label("State").select_option("paused")
    expect(admin.locator("#list")).to_contain_text("None of these")
    admin.get_by_label("State").select_option("killed")
    expect(row).to_be_visible()


def test_a_viewer_looks_and_does_nothing(stage, member):
    stage.model.says("Fine.", when="hi")
    stage.api("POST", "/api/v1/public/agents/chat/hello", {"message": "hi"})
    page = member("viewer")
    page.goto("/agents")
    expect(page.get_by_role("button", name="New agent")).to_have_count(0)
    page.locator("tbody a").first.click()
    expect(page.locator(".turn")).to_contain_text("Fine.")
    expect(page.get_by_role("button", name="Kill")).to_have_count(0)
    expect(page.get_by_label("Message")).to_have_count(0)

"""Promise: one makes a profile, sets how it works, tries it and puts it away, all in the browser."""

import re

from playwright.sync_api import expect


def test_a_profile_is_made_set_tried_and_archived(stage, admin, inspect):
    stage.model.says("Prune in **March**.")
    admin.goto("/profiles")
    expect(admin.locator(".profile")).to_have_count(1)
    admin.get_by_role("button", name="New profile").click()
    dialog = admin.get_by_role("dialog")
    dialog.get_by_label("Name").fill("The gardener")
    dialog.get_by_label("Slug").fill("gardener")
    dialog.get_by_label("Prompt").fill("You know when to prune.")
    dialog.get_by_role("button", name="Make the profile").click()
    expect(admin).to_have_url(re.compile("/profiles/gardener$"))
    expect(admin.get_by_role("heading", level=1)).to_have_text("The gardener")
    admin.get_by_label("Steps of a turn").fill("many")
    admin.get_by_role("button", name="Save").click()
    expect(admin.locator("#max_steps-problem")).to_have_text("is not a number")
    admin.get_by_label("Steps of a turn").fill("4")
    admin.get_by_label("Cost of a turn").fill("0.25")
    admin.get_by_label("Tier").select_option("1")
    admin.get_by_role("button", name="Add a tool").click()
    admin.get_by_label("Tool", exact=True).fill("http_fetch")
    admin.get_by_label("Options").fill('{"hosts": ["garden.example"]}')
    admin.get_by_role("button", name="Save").click()
    expect(admin.locator(".toast")).to_contain_text("Saved")
    kept = stage.api("GET", "/api/v1/agent-profiles/gardener")["profile"]
    assert (kept["max_steps"], kept["max_turn_micros"], kept["tier"]) == (4, 250_000, 1)
    assert kept["tools"] == {"http_fetch": {"policy": "ask", "hosts": ["garden.example"]}}
    admin.get_by_role("button", name="Dismiss").click()
    admin.get_by_label("Message", exact=True).fill("When?")
    admin.get_by_role("button", name="Send").click()
    expect(admin.locator(".trial strong")).to_have_text("March")
    inspect(admin, "profile")
    admin.get_by_role("button", name="Archive").click()
    admin.get_by_role("dialog").get_by_role("button", name="Archive").click()
    expect(admin.get_by_role("button", name="Restore")).to_be_visible()
    admin.goto("/profiles")
    expect(admin.locator(".profile")).to_have_count(1)
    admin.get_by_label("Show archived").check()
    expect(admin.locator(".profile")).to_have_count(2)
    inspect(admin, "profiles")


def test_what_the_server_does_not_like_is_said_at_its_field(stage, admin, watch):
    slug = stage.rows("select slug from agent_profiles")[0]["slug"]
    admin.goto(f"/profiles/{slug}")
    admin.get_by_role("button", name="Add a tool").click()
    admin.get_by_label("Tool", exact=True).last.fill("no_such_tool")
    with watch.expecting("status 422", "status 400", "400 (", "422 ("):
        admin.get_by_role("button", name="Save").click()
        expect(admin.locator("#tools-problem")).to_contain_text("no_such_tool")

"""Promise: one gives an agent work for given times, sees when they are, and what came of them."""

from playwright.sync_api import expect


def test_a_schedule_is_previewed_made_run_paused_and_removed(stage, admin, inspect, watch):
    admin.goto("/schedules")
    expect(admin.get_by_text("No schedule yet")).to_be_visible()
    admin.get_by_role("button", name="New schedule").click()
    dialog = admin.get_by_role("dialog")
    expect(dialog.get_by_role("listitem")).to_have_count(5)
    dialog.get_by_label("Name").fill("Morning news")
    with watch.expecting("status 422: POST", "status 400: POST", "422 (", "400 ("):
        dialog.get_by_label("When").fill("0 99 * * *")
        expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_label("When").fill("30 6 * * *")
    dialog.get_by_label("Time zone").fill("Asia/Tokyo")
    expect(dialog.get_by_role("listitem").first).to_contain_text("06:30")
    dialog.get_by_label("What is to be done").fill("Sum up the news.")
    inspect(admin, "schedule-new", full=False)
    dialog.get_by_role("button", name="Make the schedule").click()
    card = admin.get_by_role("article", name="Morning news")
    expect(card).to_contain_text("Asia/Tokyo")
    card.get_by_role("button", name="Run now").click()
    expect(admin.locator(".toast").last).to_contain_text("given to the agent")
    card.get_by_role("button", name="History").click()
    expect(dialog.get_by_role("row").nth(1)).to_contain_text("by hand")
    dialog.get_by_role("button", name="Close").click()
    card.get_by_role("button", name="Pause").click()
    expect(card).to_contain_text("paused")
    card.get_by_role("button", name="Change").click()
    dialog.get_by_label("Name").fill("Evening news")
    dialog.get_by_role("button", name="Save").click()
    card = admin.get_by_role("article", name="Evening news")
    expect(card).to_be_visible()
    while admin.locator(".toast").count():
        admin.get_by_role("button", name="Dismiss").first.click()
    inspect(admin, "schedules")
    card.get_by_role("button", name="Remove").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(admin.get_by_text("No schedule yet")).to_be_visible()
    assert stage.api("GET", "/api/v1/schedules")["items"] == []

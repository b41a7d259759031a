"""Promise: an admin sees what the server started with, where each value came from, and never a secret."""

from playwright.sync_api import expect


def test_settings_are_found_with_their_sources_and_a_changed_policy_is_taken_back(stage, admin, inspect):
    admin.goto("/settings")
    row = admin.locator(".setting", has_text="timeout_seconds").first
    expect(row).to_contain_text("default; set HIVEMIND_")
    assert stage.site.admin_key not in admin.content()
    expect(admin.locator("#policy")).to_contain_text("open an actor")
    stage.api("PATCH", "/api/v1/supervision", {"agents": {"max_restarts": 9}})
    admin.reload()
    expect(admin.locator("#policy")).to_contain_text("agents: max_restarts")
    inspect(admin, "settings")
    admin.get_by_role("button", name="Take back agents max_restarts").click()
    expect(admin.locator("#policy")).to_contain_text("open an actor")
    assert stage.api("GET", "/api/v1/supervision")["changes"] == {}
    admin.get_by_label("Find").fill("kill -9 of nothing")
    expect(admin.get_by_text("No setting fits")).to_be_visible()
    admin.get_by_label("Find").fill("DATABASE_URL")
    expect(admin.get_by_role("region", name="database")).to_contain_text("(hidden)")


def test_it_is_for_admins(member, watch):
    page = member("operator")
    with watch.expecting("403"):
        page.goto("/settings")
        expect(page.get_by_text("This needs the role admin")).to_be_visible()

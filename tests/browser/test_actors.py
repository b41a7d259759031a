"""Promise: one sees every actor as it lives, what becomes of it, and acts on it."""

import re

from playwright.sync_api import expect

ACTOR = "/workers/watchdog"


def row(page, address):
    return page.locator(f'.actor[data-key="{address}"]')


def act(page, deed, reason=""):
    page.get_by_label("One actor").get_by_role("button", name=deed, exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{deed} {ACTOR}?")
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name=deed, exact=True).click()


def test_a_restart_is_seen_as_it_happens_and_an_actor_is_acted_on(stage, admin, inspect):
    admin.goto("/actors")
    expect(admin.locator("#live")).to_have_text("live")
    expect(row(admin, ACTOR).locator(".state")).to_have_text("up")
    expect(row(admin, ACTOR).locator(".restarts")).to_have_count(0)
    stage.api("POST", f"/api/v1/actors{ACTOR}/restart", {"reason": "from elsewhere"})
    expect(row(admin, ACTOR).locator(".restarts")).to_have_text("1 restart")
    row(admin, ACTOR).locator(".name").click()
    detail = admin.get_by_label("One actor")
    expect(detail).to_contain_text("Last exit")
    expect(detail.locator(".policy")).to_contain_text("from ")
    inspect(admin, "actors")
    act(admin, "Suspend", "Let me look")
    expect(row(admin, ACTOR).locator(".state")).to_have_text("suspended")
    act(admin, "Resume")
    expect(row(admin, ACTOR).locator(".state")).to_have_text("up")
    act(admin, "Restart")
    expect(row(admin, ACTOR).locator(".restarts")).to_have_text("2 restarts")
    done = stage.rows("select detail from audit_log where action = 'operator:actor:suspended'")
    assert [(one["detail"]["reason"], one["detail"]["by"]) for one in done] == [
        ("Let me look", "operator:user:ada")
    ]
    admin.get_by_label("Filter").fill("no such actor")
    expect(admin.locator(".actor")).to_have_count(0)
    admin.get_by_label("Filter").fill("watch")
    expect(row(admin, ACTOR)).to_be_visible()
    expect(row(admin, "/edge")).to_have_count(0)


def test_a_policy_is_changed_and_a_wrong_key_is_explained(admin, inspect, watch):
    admin.goto(f"/actors#{ACTOR}")
    admin.get_by_role("button", name="Change the policy").click()
    dialog = admin.get_by_role("dialog")
    dialog.get_by_label("Key").fill("max_restart")
    dialog.get_by_label("Value").fill("7")
    with watch.expecting("status 422", "status 400", "422 (", "400 ("):
        dialog.get_by_role("button", name="Change it").click()
        expect(dialog.get_by_role("alert")).to_contain_text("max_restarts")
    inspect(admin, "actors-policy", full=False)
    dialog.get_by_label("Key").fill("max_restarts")
    dialog.get_by_role("button", name="Change it").click()
    expect(dialog).to_have_count(0)
    expect(admin.locator(".policy > div").filter(has_text=re.compile("^max_restarts"))).to_contain_text("7")


def test_a_viewer_is_told_which_role_it_takes(member, watch):
    page = member("viewer")
    with watch.expecting("status 403", "403 ("):
        page.goto("/actors")
    expect(page.get_by_role("main")).to_contain_text("operator")

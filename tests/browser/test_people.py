"""Promise: an admin lets people and programs in, and out again."""

import re

from playwright.sync_api import expect

PASSWORD = "four words do belong"


def test_an_account_is_made_given_a_role_and_disabled(stage, admin, browse, inspect):
    admin.goto("/users")
    admin.get_by_role("button", name="New user").click()
    dialog = admin.get_by_role("dialog")
    dialog.get_by_label("Name").fill("grace")
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_label("Role").select_option("viewer")
    dialog.get_by_role("button", name="Make the account").click()
    row = admin.get_by_role("row", name=re.compile("^grace"))
    expect(row).to_contain_text("active")
    admin.get_by_label("Role of grace").select_option("operator")
    expect(admin.locator(".toast").last).to_contain_text("grace is operator now")
    page = browse()
    assert page.request.post("/auth/login", data={"username": "grace", "password": PASSWORD}).ok
    admin.get_by_role("button", name="Sessions: grace").click()
    expect(dialog.get_by_role("listitem")).to_have_count(1)
    dialog.get_by_role("button", name="End").click()
    expect(dialog).to_contain_text("Nobody is signed in")
    assert page.request.get("/auth/me").status == 401
    dialog.get_by_role("button", name="Close").click()
    while admin.locator(".toast").count():
        admin.get_by_role("button", name="Dismiss").first.click()
    inspect(admin, "users")
    admin.get_by_role("button", name="Disable: grace").click()
    dialog.get_by_role("button", name="Disable").click()
    expect(row).to_contain_text("disabled")
    assert page.request.post("/auth/login", data={"username": "grace", "password": PASSWORD}).status == 401


def test_a_key_is_shown_once_rotated_and_revoked(admin, browse, inspect):
    admin.goto("/keys")
    expect(admin.get_by_text("No key yet")).to_be_visible()
    admin.get_by_role("button", name="New key").click()
    dialog = admin.get_by_role("dialog")
    dialog.get_by_label("Name").fill("nightly")
    dialog.get_by_role("button", name="Make the key").click()
    key = admin.get_by_label("The key", exact=True).input_value()
    program = browse()

    def status(text):
        return program.request.get("/api/v1/caps", headers={"X-API-Key": text}).status

    assert status(key) == 200
    inspect(admin, "key-shown", full=False)
    dialog.get_by_role("button", name="I have it").click()
    assert key not in admin.content()
    admin.get_by_role("button", name="Rotate: nightly").click()
    dialog.get_by_role("button", name="Rotate").click()
    other = admin.get_by_label("The key", exact=True).input_value()
    assert other != key
    assert (status(key), status(other)) == (200, 200)
    dialog.get_by_role("button", name="I have it").click()
    expect(admin.locator("#rows tr")).to_have_count(2)
    inspect(admin, "keys")
    for _ in range(2):
        admin.get_by_role("button", name="Revoke: nightly").first.click()
        dialog.get_by_role("button", name="Revoke").click()
        expect(dialog).to_have_count(0)
    expect(admin.get_by_role("button", name="Revoke: nightly")).to_have_count(0)
    assert (status(key), status(other)) == (401, 401)


def test_who_is_no_admin_is_told_so(member, watch):
    page = member("operator")
    with watch.expecting("403"):
        page.goto("/users")
        expect(page.get_by_role("heading", name="not for your account")).to_be_visible()

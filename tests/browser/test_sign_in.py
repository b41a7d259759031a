"""Promise: one gets in, and only where one may go; a page needs little and asks nobody else."""

import re

import pytest
from playwright.sync_api import expect

MAX_FIRST_PAINT_BYTES = 100_000


def test_the_first_account_is_made_in_the_browser(browse, inspect, stage):
    page = browse()
    page.goto("/")
    expect(page).to_have_url(re.compile("/first-run$"))
    inspect(page, "first-run")
    page.get_by_label("Name").fill("ada")
    page.get_by_role("button", name="Make the account").click()
    expect(page.locator("#password-problem")).to_be_visible()
    page.get_by_label("Password").fill("four words do belong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="You are in")).to_be_visible()
    inspect(page, "first-run-done")
    page.get_by_role("link", name="Start").click()
    expect(page).to_have_url(re.compile("/$"))
    assert stage.rows("select username, role from users") == [{"username": "ada", "role": "admin"}]


def test_signing_in_leads_to_where_one_wanted_to_be_and_out_again(admin, browse, inspect, watch):
    page = browse()
    page.goto("/?with=care")
    expect(page).to_have_url(re.compile(r"/sign-in\?next=%2F%3Fwith%3Dcare$"))
    inspect(page, "sign-in")
    with watch.expecting("status 401: POST", "401 (Unauthorized)"):
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill("not this one")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong")
    page.get_by_label("Password").fill("four words do belong")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/\?with=care$"))
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in$"))
    page.goto("/")
    expect(page).to_have_url(re.compile("/sign-in$"))


def test_an_address_of_another_site_is_no_place_to_go_to_after_signing_in(admin):
    for trick in (
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "/%09/evil.example",
        "javascript:alert(1)",
    ):
        answer = admin.request.get(f"/sign-in?next={trick}", max_redirects=0)
        assert answer.status == 303
        assert answer.headers["location"] in ("/", "/%09/evil.example")


def test_the_theme_is_kept(admin):
    admin.goto("/")
    for theme in ("light", "dark"):
        admin.get_by_role("button", name="Theme").click()
        assert admin.evaluate("document.documentElement.dataset.theme") == theme
    admin.reload()
    assert admin.evaluate("document.documentElement.dataset.theme") == "dark"


def test_the_navigation_is_a_drawer_on_a_phone_and_works_by_keyboard(admin):
    admin.set_viewport_size({"width": 390, "height": 780})
    admin.goto("/")
    link = admin.get_by_role("navigation", name="Pages").get_by_role("link", name="Chat")
    expect(link).to_be_hidden()
    admin.get_by_role("link", name="Skip to the content").focus()
    expect(admin.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    admin.keyboard.press("Tab")
    admin.keyboard.press("Enter")
    expect(link).to_be_visible()
    admin.keyboard.press("Escape")
    expect(link).to_be_hidden()


def test_the_first_paint_needs_little_and_only_this_server(admin, stage):
    sizes = {}
    admin.on("requestfinished", lambda asked: sizes.update({asked.url: asked.sizes()["responseBodySize"]}))
    admin.goto("/", wait_until="networkidle")
    static = {url: size for url, size in sizes.items() if "/api/" not in url}
    assert len(static) > 3
    assert all(url.startswith(stage.url) for url in sizes)
    assert sum(static.values()) < MAX_FIRST_PAINT_BYTES, static


def test_a_page_is_fenced_in_and_its_files_are_kept(admin):
    page = admin.request.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    address = re.search(r'href="(/static/[^"]+style\.css)"', page.text())[1]
    file = admin.request.get(address)
    assert "immutable" in file.headers["cache-control"]
    again = admin.request.get(address, headers={"If-None-Match": file.headers["etag"]})
    assert again.status == 304
    other = admin.request.get("/static/0123456789ab/style.css")
    assert other.ok
    assert other.headers["cache-control"] == "no-cache"


def test_a_wrong_address_is_told_kindly_to_a_person_and_plainly_to_a_program(admin, inspect, watch):
    with watch.expecting("404"):
        admin.goto("/agnets")
        expect(admin.get_by_role("heading", name="There is nothing here")).to_be_visible()
        inspect(admin, "missing")
        admin.get_by_role("link", name="To the start").click()
        expect(admin).to_have_url(re.compile("/$"))
        told = admin.request.get("/agnets", headers={"Accept": "*/*"})
        assert (told.status, told.json()["error"]["code"]) == (404, "not_found")
        told = admin.request.get("/api/v1/agnets", headers={"Accept": "text/html"})
        assert (told.status, told.json()["error"]["code"]) == (404, "not_found")


@pytest.fixture
def provider(openid_provider, sections, watch):
    sections.update(openid_provider.sections)
    # Its pages ask for a font and an icon; what ours ask for is told with its address too.
    watch.expected += ("fonts.googleapis.com", "net::ERR_NAME_NOT_RESOLVED", "404 (Not Found)")
    return openid_provider


def at_the_provider(page, provider, who):
    expect(page).to_have_url(re.compile(f"^{provider.issuer}/interaction/"))
    page.locator("[name=login]").fill(who)
    page.locator("[name=password]").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def test_one_signs_in_at_the_identity_provider_and_out_there_too(
    provider, admin, browse, inspect, watch, stage
):
    page = browse()
    page.goto("/agents")
    expect(page).to_have_url(re.compile(r"/sign-in\?next=%2Fagents$"))
    inspect(page, "sign-in-provider")
    page.get_by_role("link", name="Sign in with Example Corp").click()
    at_the_provider(page, provider, "grace+crew")
    expect(page).to_have_url(f"{provider.site}/agents")
    expect(page.get_by_text("grace")).to_be_visible()
    admin.goto("/users")
    row = admin.get_by_role("row", name="grace")
    expect(row).to_contain_text("by their groups")
    inspect(admin, "users-provider")
    row.get_by_role("combobox").select_option("viewer")
    expect(row).to_contain_text("given here")
    row.get_by_role("button", name="By groups").click()
    expect(row).to_contain_text("by their groups")
    page.goto("/")
    page.get_by_role("link", name="Sign in with Example Corp").click()
    expect(page).to_have_url(f"{provider.site}/")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile(f"^{provider.issuer}/session/end"))
    page.get_by_role("button", name="Yes, sign me out").click()
    expect(page).to_have_url(re.compile(f"^{provider.site}/sign-in"))


def test_who_has_no_role_is_told_kindly(provider, admin, browse, inspect):
    page = browse()
    page.goto("/sign-in")
    page.get_by_role("link", name="Sign in with Example Corp").click()
    at_the_provider(page, provider, "eve+strangers")
    expect(page.get_by_role("alert")).to_contain_text("Ask an admin for a role")
    inspect(page, "sign-in-refused")

"""Promise: the contract can be read, searched and tried in the browser, with one's own session or with a key."""

import json

from playwright.sync_api import expect


def test_an_operation_is_found_read_and_tried(stage, admin, inspect, watch):
    admin.goto("/api/docs")
    shown = admin.locator(".operation:visible")
    expect(shown.first).to_be_visible()
    every = shown.count()
    admin.get_by_label("Search operations").fill("make a profile")
    expect(shown).to_have_count(1)
    shown.first.locator("summary").first.click()
    body = shown.first.locator(".body")
    expect(body).to_contain_text("injection_threshold")
    expect(body).to_contain_text("201")
    expect(body).to_contain_text("invalid_fields")
    inspect(admin, "api-docs")
    text = body.get_by_label("Body")
    expect(text).to_have_value(json.dumps(json.loads(text.input_value()), indent=2))
    body.get_by_role("button", name="Send").click()
    answer = body.get_by_label("The answer")
    expect(answer).to_contain_text('"slug": "support"')
    assert stage.api("GET", "/api/v1/agent-profiles/support")["profile"]["name"] == "Support"
    with watch.expecting("status 409", "the server responded with a status of 409"):
        body.get_by_role("button", name="Send").click()
        expect(answer).to_contain_text('"code": "conflict"')
    body.get_by_text("The same with curl").click()
    expect(body).to_contain_text("curl -X POST")
    inspect(admin, "api-docs-tried")
    admin.get_by_label("Search operations").fill("")
    expect(shown).to_have_count(every)


def test_a_key_is_tried_in_place_of_oneself(stage, admin):
    made = stage.api("POST", "/api/v1/api-keys", {"name": "looks", "role": "viewer"})
    admin.goto("/api/docs")
    admin.get_by_label("API key to try operations with").fill(made["key"])
    admin.get_by_label("Search operations").fill("who one is")
    admin.locator(".operation:visible summary").first.click()
    admin.locator(".operation:visible").get_by_role("button", name="Send").click()
    expect(admin.get_by_label("The answer")).to_contain_text('"username": "looks"')


def test_every_operation_opens(admin):
    admin.goto("/api/docs")
    for operation in admin.locator(".operation").all():
        operation.locator("summary").first.click()
        expect(operation.locator(".body")).to_contain_text("Answers")

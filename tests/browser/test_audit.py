"""Promise: one finds in the audit log what happened, and takes it along."""

import json

from playwright.sync_api import expect


def test_the_log_is_filtered_paged_and_exported(stage, admin, inspect, tmp_path):
    slug = stage.rows("select slug from agent_profiles")[0]["slug"]
    for number in range(3):
        stage.api("POST", f"/api/v1/public/agents/chat/{slug}", {"message": f"Question {number}"})
    for number in range(60):
        stage.rows(
            "insert into audit_log (action, detail) values ('admin:test:noted', %s) returning 1",
            (json.dumps({"number": number}),),
        )
    admin.goto("/audit")
    rows = admin.locator("#rows tr")
    expect(rows).to_have_count(50)
    expect(admin.locator("#chain")).to_contain_text("The chain goes to row")
    first = [int(text) for text in admin.locator("#rows td:first-child").all_inner_texts()]
    stage.rows("insert into audit_log (action) values ('admin:test:late') returning 1")
    admin.get_by_role("button", name="Older rows").click()
    expect(rows.nth(60)).to_be_visible()
    every = [int(text) for text in admin.locator("#rows td:first-child").all_inner_texts()]
    assert every == list(range(first[0], first[0] - len(every), -1))
    admin.get_by_label("Text").fill("Question 1")
    admin.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Question 1")
    rows.get_by_role("button").click()
    dialog = admin.get_by_role("dialog")
    expect(dialog).to_contain_text("Question 1")
    inspect(admin, "audit-row", full=False)
    dialog.get_by_role("button", name="Close").click()
    admin.reload()
    expect(rows).to_have_count(1)
    with admin.expect_download() as waited:
        admin.get_by_role("button", name="Export").click()
    waited.value.save_as(tmp_path / "audit.ndjson")
    lines = [json.loads(line) for line in (tmp_path / "audit.ndjson").read_text().splitlines()]
    assert [line["text"] for line in lines if line["kind"] == "entry"] == ["Question 1"]
    admin.get_by_role("button", name="Dismiss").click()
    admin.get_by_role("button", name="Clear").click()
    expect(rows).to_have_count(50)
    inspect(admin, "audit", full=False)

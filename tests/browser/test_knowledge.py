"""Promise: one gives agents something to know, and sees what they find in it."""

from playwright.sync_api import expect


def test_documents_are_added_found_read_and_removed(stage, admin, inspect):
    admin.goto("/knowledge")
    expect(admin.get_by_text("Nothing to search yet")).to_be_visible()
    add = admin.get_by_role("button", name="Add a document")
    add.click()
    dialog = admin.get_by_role("dialog")
    dialog.get_by_label("From a file").set_input_files(
        {"name": "pruning.md", "mimeType": "text/markdown", "buffer": b"Prune apple trees in late winter."}
    )
    expect(dialog.get_by_label("Title")).to_have_value("pruning")
    dialog.get_by_role("button", name="Add it").click()
    expect(admin.locator("#documents tbody tr")).to_have_count(1)
    add.click()
    dialog.get_by_label("Title").fill("Honey")
    dialog.get_by_label("Text").fill("Acacia honey sets slowly; keep it dark.")
    dialog.get_by_label("Collection").fill("kitchen")
    dialog.get_by_role("button", name="Add it").click()
    expect(admin.locator("#documents tbody tr")).to_have_count(2)
    admin.get_by_role("searchbox").fill("pruning an apple tree")
    admin.get_by_role("button", name="Search").click()
    passage = admin.get_by_role("article", name="pruning")
    expect(passage.locator("mark").first).to_have_text("Prune")
    while admin.locator(".toast").count():
        admin.get_by_role("button", name="Dismiss").first.click()
    inspect(admin, "knowledge")
    admin.get_by_role("button", name="Read Honey").click()
    expect(dialog).to_contain_text("sets slowly")
    dialog.get_by_role("button", name="Close").click()
    admin.get_by_role("button", name="Remove Honey").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(admin.locator("#documents tbody tr")).to_have_count(1)
    assert [row["title"] for row in stage.rows("select title from knowledge_documents")] == ["pruning"]

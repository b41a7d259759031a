"""Promise: one gives agents work, sees how it stands without a reload, and reads what came of it."""

import trio
from playwright.sync_api import expect


def test_directives_and_tasks_go_over_the_board(stage, admin, inspect):
    held = stage.call(trio.Event)
    stage.model.says("The hives are ", held, "**fine**.")
    admin.goto("/work")
    admin.get_by_role("button", name="New directive").click()
    dialog = admin.get_by_role("dialog")
    dialog.get_by_label("What is to be done").fill("Look after the hives.")
    dialog.get_by_role("button", name="Give it").click()
    directives, tasks = admin.locator("#directives"), admin.locator("#tasks")
    expect(directives.get_by_role("region", name="Running").get_by_role("article")).to_have_count(1)
    admin.get_by_role("button", name="New task").click()
    dialog.get_by_label("Title").fill("Order jars")
    dialog.get_by_label("More about it").fill("200 of them, 250 g.")
    dialog.get_by_role("button", name="Make the task").click()
    expect(tasks.get_by_role("region", name="Open").get_by_role("article")).to_contain_text("200 of them")
    while admin.locator(".toast").count():
        admin.get_by_role("button", name="Dismiss").first.click()
    inspect(admin, "work")
    stage.call(held.set)
    done = directives.get_by_role("region", name="Done").get_by_role("article", name="Look after the hives.")
    done.get_by_role("button", name="Result").click()
    expect(dialog.locator("strong")).to_have_text("fine")
    dialog.get_by_role("button", name="Close").click()
    stage.model.says("The jars are ordered.")
    admin.get_by_role("button", name="Have it done: Order jars").click()
    dialog.get_by_role("button", name="Give it").click()
    expect(directives.get_by_role("region", name="Done").get_by_role("article")).to_have_count(2)
    assert [row["source"] for row in stage.rows("select source from directives order by created_at")] == [
        "api",
        "task",
    ]


def test_what_was_cancelled_is_done_again(stage, admin):
    held = stage.call(trio.Event)
    stage.model.says("Slowly", held, ".")
    slug = stage.rows("select slug from agent_profiles")[0]["slug"]
    stage.api("POST", "/api/v1/directives", {"profile": slug, "text": "Count the bees."})
    admin.goto("/work")
    admin.get_by_role("button", name="Cancel: Count the bees.").click()
    admin.get_by_role("dialog").get_by_role("button", name="Cancel it").click()
    lane = admin.get_by_role("region", name="Cancelled").get_by_role("article")
    stage.model.says("Forty thousand.")
    lane.get_by_role("button", name="Again").click()
    done = admin.locator("#directives").get_by_role("region", name="Done").get_by_role("article")
    expect(done).to_have_count(1)
    stage.call(held.set)

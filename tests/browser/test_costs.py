"""Promise: one sees what was spent and for whom, and keeps it within caps."""

from playwright.sync_api import expect


def spend(stage, days):
    slug = stage.rows("select slug from agent_profiles")[0]["slug"]
    stage.api("POST", f"/api/v1/public/agents/chat/{slug}", {"message": "Hello"})
    for call, (ago, micros) in enumerate(days, 2):
        stage.rows(
            """insert into costs (turn_id, call, profile_id, agent_id, caller, model, input_tokens, output_tokens,
                                  cost_micros, at)
               select turn_id, %s, profile_id, agent_id, caller, model, 1200, 300, %s,
                      now() - make_interval(days => %s) from costs limit 1 returning 1""",
            (call, micros, ago),
        )


def test_spending_is_shown_by_day_and_by_profile_and_kept_within_a_cap(stage, admin, inspect):
    spend(stage, [(0, 420_000), (1, 1_310_000), (2, 880_000), (5, 240_000), (9, 2_050_000), (20, 640_000)])
    admin.goto("/costs")
    expect(admin.locator("#figures")).to_contain_text("$5.54")
    chart = admin.get_by_role("group", name="Spending by day")
    expect(chart.get_by_role("img")).to_have_count(30)
    chart.get_by_role("img").last.focus()
    admin.keyboard.press("ArrowLeft")
    assert "$1.31" in admin.evaluate("document.activeElement.getAttribute('aria-label')")
    stage.rows("delete from caps returning 1")
    admin.reload()
    expect(admin.locator("#caps")).to_contain_text("No cap yet")
    admin.get_by_role("button", name="New cap").click()
    dialog = admin.get_by_role("dialog", name="New cap")
    dialog.get_by_label("At most").fill("plenty")
    dialog.get_by_role("button", name="Make the cap").click()
    expect(dialog.locator(".problem")).to_have_text("is not a number")
    dialog.get_by_label("At most").fill("2.50")
    dialog.get_by_label("Soft share").fill("80")
    dialog.get_by_label("When it is reached").select_option("cheaper")
    dialog.get_by_role("button", name="Make the cap").click()
    cap = admin.get_by_role("article", name="The whole server, a day")
    expect(cap).to_contain_text("$2.50 a day")
    made = {"scope": "install", "limit_micros": 2_500_000, "soft_share": 0.8, "on_soft": "cheaper"}
    assert stage.rows("select scope, limit_micros, soft_share, on_soft from caps") == [made]
    admin.get_by_role("button", name="Dismiss").click()
    inspect(admin, "costs")
    cap.get_by_role("button", name="Change").click()
    admin.get_by_label("At most").fill("3")
    admin.get_by_role("button", name="Save").click()
    expect(cap).to_contain_text("$3.00 a day")
    admin.locator("#group").select_option("profile")
    table = admin.get_by_role("region", name="Spending by profile")
    expect(table.get_by_role("row").nth(1)).to_contain_text("$5.54")
    cap.get_by_role("button", name="Remove").click()
    admin.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(admin.locator("#caps")).to_contain_text("No cap yet")
    assert stage.rows("select 1 from caps") == []


def test_a_viewer_sees_costs_and_changes_nothing(member):
    page = member("viewer")
    page.goto("/costs")
    expect(page.locator("#spending")).to_contain_text("Nothing was spent")
    expect(page.get_by_role("button", name="New cap")).to_have_count(0)

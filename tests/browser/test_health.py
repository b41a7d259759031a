"""Promise: one sees whether the server is well, what to do when it is not, and when that began."""

from playwright.sync_api import expect

ROWS = """
insert into health_checks (at, status, checks)
select now() - n * interval '5 minutes',
       case when n between 60 and 90 then 'degraded' when n between 20 and 22 then 'down' else 'ok' end,
       jsonb_build_object(
           'database', jsonb_build_object('status', case when n between 20 and 22 then 'down' else 'ok' end),
           'provider', case when n between 60 and 90
               then jsonb_build_object('status', 'degraded', 'message', 'openai answers with 529', 'remedy', 'wait')
               else jsonb_build_object('status', 'ok', 'message', 'openai: gpt') end,
           'disk', jsonb_build_object('status', 'ok'))
from (select n from generate_series(1, 280) n order by n desc) looks where n not between 120 and 150 returning 1
"""


def test_the_state_now_and_what_was_found_before(stage, admin, inspect):
    stage.rows(ROWS)
    admin.goto("/health")
    expect(admin.get_by_role("article", name="Database")).to_contain_text("well")
    strip = admin.get_by_role("img", name="Model: well for")
    assert 85 < float(strip.get_attribute("aria-label").split("for ")[1].split(" %")[0]) < 95
    table = admin.get_by_role("region", name="Changes")
    expect(table).to_contain_text("openai answers with 529")
    expect(table.get_by_role("row").nth(1)).to_contain_text("Database")
    inspect(admin, "health")
    stage.api("PUT", "/api/v1/kill-switch", {"stage": 1, "reason": "a drill"})
    admin.get_by_role("button", name="Look again").click()
    card = admin.get_by_role("article", name="Kill switch")
    expect(card).to_contain_text("degraded")
    expect(card).to_contain_text("Next:")
    admin.locator("#days").select_option("7")
    expect(strip).to_be_visible()


def test_a_viewer_sees_it_too(member):
    page = member("viewer")
    page.goto("/health")
    expect(page.get_by_role("article", name="Database")).to_contain_text("well")

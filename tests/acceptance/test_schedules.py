"""Promise: operators keep tasks and schedules over the API, and what is due is done by agents."""

import pytest
import trio
from uuid_utils.compat import uuid7

TASKS, SCHEDULES = "/api/v1/tasks", "/api/v1/schedules"
NIGHTLY = {
    "name": "nightly",
    "cron": "30 2 * * *",
    "time_zone": "Europe/Berlin",
    "profile": "hello",
    "text": "Tidy up.",
}


@pytest.fixture
def with_api(with_site):
    """Run `await test(site, call)`: `call` is one request of an operator that has this status."""

    def run(test, **sections):
        async def inner(site):
            async def call(method, path, body=None, status=200):
                response = await site.client.request(
                    method, path, json=body, headers={"X-API-Key": site.admin_key}
                )
                assert response.status_code == status, response.text
                return response.json() if response.content else None

            await test(site, call)

        sections.setdefault("directives", {"poll_seconds": 0.05})
        with_site(inner, **sections)

    return run


async def ended(call, directive_id):
    """Wait for a directive's end: each look is a round trip."""
    while True:
        found = (await call("GET", f"/api/v1/directives/{directive_id}"))["directive"]
        if found["ended_at"]:
            return found
        await trio.sleep(0)


def test_a_schedule_from_its_making_to_its_end(with_api):
    async def test(site, call):
        made = (await call("POST", SCHEDULES, NIGHTLY, 201))["schedule"]
        path = f"{SCHEDULES}/{made['id']}"
        assert made["next_run_at"] and not made["paused"] and made["overlap"] == "skip"
        times = (await call("GET", f"{path}/next"))["times"]
        assert len(times) == 5 and times[0]["at"] == made["next_run_at"]
        assert all("T02:30:00" in moment["local"] or "T03:00:00" in moment["local"] for moment in times)
        assert len((await call("GET", f"{path}/next?count=7"))["times"]) == 7
        await call("GET", f"{path}/next?count=0", status=400)
        changed = (await call("PATCH", path, {"cron": "0 * * * *", "overlap": "queue", "retry": {}}))[
            "schedule"
        ]
        assert (changed["cron"], changed["overlap"], changed["name"]) == ("0 * * * *", "queue", "nightly")
        assert changed["next_run_at"] != made["next_run_at"]
        assert (await call("POST", f"{path}/pause", {}))["schedule"]["next_run_at"] is None
        assert (await call("POST", f"{path}/resume", {}))["schedule"]["next_run_at"]
        assert [item["id"] for item in (await call("GET", SCHEDULES))["items"]] == [made["id"]]
        await call("DELETE", path, status=204)
        await call("GET", path, status=404)
        rows = await site.rows("select action from audit_log where action like '%%:schedule:%%' order by id")
        assert [row["action"].rpartition(":")[2] for row in rows] == [
            "created",
            "changed",
            "paused",
            "resumed",
            "deleted",
        ]

    with_api(test)


def test_run_now_is_carried_out_and_counted_for_the_schedule(with_api):
    async def test(site, call):
        site.model.says("All tidy.", when="Tidy up.")
        made = (await call("POST", SCHEDULES, NIGHTLY, 201))["schedule"]
        tick = (await call("POST", f"{SCHEDULES}/{made['id']}/run", {}, 201))["tick"]
        assert tick["outcome"] == "fired"
        done = await ended(call, tick["directive_id"])
        assert (done["state"], done["result"], done["schedule_id"]) == ("done", "All tidy.", made["id"])
        (row,) = (await call("GET", f"{SCHEDULES}/{made['id']}/ticks"))["items"]
        assert (row["outcome"], row["by_hand"], row["directive_state"]) == ("fired", True, "done")
        (cost,) = (await call("GET", "/api/v1/costs?group_by=schedule"))["items"]
        assert cost["schedule"] == made["id"] and cost["cost_micros"] > 0
        await call("POST", f"{SCHEDULES}/{uuid7()}/run", {}, 404)

    with_api(test)


def test_a_cap_of_the_schedule_refuses_its_directives_and_no_others(with_api):
    async def test(site, call):
        made = (await call("POST", SCHEDULES, NIGHTLY, 201))["schedule"]
        cap = {"scope": "schedule", "subject": made["id"], "period": "day", "limit_micros": 1}
        await call("POST", "/api/v1/caps", cap, 201)
        tick = (await call("POST", f"{SCHEDULES}/{made['id']}/run", {}, 201))["tick"]
        refused = await ended(call, tick["directive_id"])
        assert (refused["state"], refused["failure"]["code"]) == ("failed", "budget_exceeded")
        (row,) = (await call("GET", f"{SCHEDULES}/{made['id']}/ticks"))["items"]
        assert row["outcome"] == "refused_budget"
        assert not site.model.requests
        await site.say("hello")

    with_api(test)


def test_what_is_due_when_the_server_looks_is_done_without_anybody(with_api):
    async def test(site, call):
        made = (await call("POST", SCHEDULES, NIGHTLY | {"cron": "* * * * *"}, 201))["schedule"]
        await site.database.execute("update schedules set next_run_at = date_trunc('minute', now())")
        site.system.at("/workers/schedules").ref._cell.crash(RuntimeError("crashed by the test"))
        while not (rows := (await call("GET", f"{SCHEDULES}/{made['id']}/ticks"))["items"]):
            await trio.sleep(0)
        assert rows[0]["outcome"] == "fired" and not rows[0]["by_hand"]
        assert (await ended(call, rows[0]["directive_id"]))["state"] == "done"

    with_api(test)


def test_turned_off_nothing_looks(with_api):
    async def test(site, call):
        assert site.system.whereis("/workers/schedules") is None
        assert site.system.whereis("/workers/directives") is not None
        await call("POST", SCHEDULES, NIGHTLY, 201)

    with_api(test, schedules={"enabled": False})


def test_a_preview_needs_no_schedule(with_api):
    async def test(site, call):
        body = {"cron": "*/15 * * * *", "time_zone": "Asia/Kolkata"}
        told = await call("POST", f"{SCHEDULES}/preview", body)
        assert len(told["times"]) == 5 and told["times"][0]["local"].endswith("+05:30")
        wrong = await call("POST", f"{SCHEDULES}/preview", {"cron": "x"}, 422)
        assert wrong["error"]["fields"][0]["field"] == "cron"

    with_api(test)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"cron": "61 * * * *"}, 422),
        ({"cron": "* * * * * *"}, 422),
        ({"time_zone": "Mars/Olympus"}, 422),
        ({"overlap": "maybe"}, 422),
        ({"catch_up": "all"}, 422),
        ({"text": "  "}, 422),
        ({"catch_up_seconds": 0}, 422),
        ({"profile": "nobody"}, 404),
        ({"colour": "red"}, 422),
    ],
)
def test_what_cannot_be_is_refused(with_api, change, status):
    async def test(site, call):
        await call("POST", SCHEDULES, NIGHTLY | change, status)
        made = (await call("POST", SCHEDULES, NIGHTLY, 201))["schedule"]
        await call("PATCH", f"{SCHEDULES}/{made['id']}", change, status)
        await call("POST", SCHEDULES, NIGHTLY, 409)
        assert (await call("GET", f"{SCHEDULES}/{made['id']}"))["schedule"] == made

    with_api(test)


def test_a_task_is_done_by_a_profile(with_api):
    async def test(site, call):
        site.model.says("Painted.", when="Paint the fence\n\nGreen, please.")
        made = (await call("POST", TASKS, {"title": "Paint the fence", "text": "Green, please."}, 201))[
            "task"
        ]
        path = f"{TASKS}/{made['id']}"
        assert (made["state"], made["source"], made["profile_id"]) == ("open", "local", None)
        await call("POST", f"{path}/run", {}, 422)  # nobody is to do it
        await call("PATCH", path, {"profile": "hello"})
        directive = (await call("POST", f"{path}/run", {"retry": {"max_attempts": 1}}, 201))["directive"]
        assert (directive["source"], directive["task_id"]) == ("task", made["id"])
        assert (await ended(call, directive["id"]))["result"] == "Painted."
        done = (await call("GET", path))["task"]
        assert (done["state"], done["directive_id"]) == ("done", directive["id"])
        await call("PATCH", path, {"title": None}, 422)
        assert (await call("PATCH", path, {"profile": None, "state": "open"}))["task"]["profile_id"] is None

    with_api(test)


def test_a_task_is_done_by_one_at_a_time_and_open_again_when_that_is_cancelled(with_api):
    async def test(site, call):
        site.model.says(trio.Event(), "never")
        made = (await call("POST", TASKS, {"title": "Long", "profile": "hello"}, 201))["task"]
        path = f"{TASKS}/{made['id']}"
        directive = (await call("POST", f"{path}/run", {}, 201))["directive"]
        await site.model.asked(1)
        assert (await call("GET", path))["task"]["state"] == "doing"
        await call("POST", f"{path}/run", {}, 409)
        await call("POST", f"/api/v1/directives/{directive['id']}/cancel", {})
        assert (await call("GET", path))["task"]["state"] == "open"
        await call("DELETE", path, status=204)
        await call("DELETE", path, status=404)

    with_api(test)


def test_tasks_are_listed_by_what_is_asked(with_api):
    async def test(site, call):
        for n in range(3):
            await call("POST", TASKS, {"title": f"Task {n}"}, 201)
        page = await call("GET", f"{TASKS}?limit=2")
        assert [item["title"] for item in page["items"]] == ["Task 2", "Task 1"]
        page = await call("GET", f"{TASKS}?limit=2&cursor={page['next_cursor']}")
        assert [item["title"] for item in page["items"]] == ["Task 0"]
        assert (await call("GET", f"{TASKS}?state=done"))["items"] == []
        assert len((await call("GET", f"{TASKS}?source=local"))["items"]) == 3
        await call("GET", f"{TASKS}?state=lost", status=400)

    with_api(test)

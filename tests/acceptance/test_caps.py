"""Owners see what is spent, limit it, and are asked: over HTTP, with turns that cost money."""

import json
import os
import sys

import pytest
import trio
from psycopg.types.json import Jsonb

from hivemind.agents import Interrupt

CAPS, COSTS = "/api/v1/caps", "/api/v1/costs"
HELLO = "01980000-0000-7000-8000-000000000001"
# 11 tokens read at 1 and 7 written at 2 micro-dollars each.
COST = 25
# The prompt of the profile and "count", each with what goes around it, and 256 tokens of answer.
WORST = (46 + 16) + (5 + 16) + 2 * 256
ALL = ["day", "profile", "agent", "schedule", "caller", "model"]


def keyed(site):
    return {"X-API-Key": site.admin_key}


async def ask(site, method, path, body=None, status=200):
    response = await site.client.request(method, path, json=body, headers=keyed(site))
    assert response.status_code == status, response.text
    return response.json() if response.content else None


async def only_cap(site, **fields):
    """The one cap that is left."""
    for cap in (await ask(site, "GET", CAPS))["items"]:
        await ask(site, "DELETE", f"{CAPS}/{cap['id']}", status=204)
    body = {"scope": "install", "period": "day", "limit_micros": 10**9, **fields}
    return (await ask(site, "POST", CAPS, body, 201))["cap"]


def test_a_cap_is_made_read_changed_and_deleted(with_site):
    async def test(site):
        made = await only_cap(site, scope="profile", subject=HELLO, limit_micros=5_000_000, soft_share=0.8)
        assert made["name"] == "hello"
        assert made["window"]["spent_micros"] == 0
        path = f"{CAPS}/{made['id']}"
        assert (await ask(site, "GET", path))["cap"] == made | {"window": made["window"]}
        changed = (await ask(site, "PATCH", path, {"on_soft": "ask"}))["cap"]
        assert (changed["on_soft"], changed["soft_share"], changed["limit_micros"]) == ("ask", 0.8, 5_000_000)
        changed = (await ask(site, "PATCH", path, {"soft_share": None}))["cap"]
        assert changed["soft_share"] is None
        again = {"scope": "profile", "subject": HELLO, "period": "day", "limit_micros": 1}
        assert (await ask(site, "POST", CAPS, again, 409))["error"]["code"] == "conflict"
        await ask(site, "DELETE", path, status=204)
        await ask(site, "GET", path, status=404)
        await ask(site, "PATCH", path, {"limit_micros": 1}, 404)
        await ask(site, "DELETE", path, status=404)
        rows = await site.rows(
            "select action, detail from audit_log where action like 'admin:cap:%%' order by id"
        )
        assert {row["detail"]["by"] for row in rows} == {"operator:api_key"}
        verbs = [row["action"].rpartition(":")[2] for row in rows]
        assert verbs == ["deleted", "created", "changed", "changed", "deleted"]

    with_site(test)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scope": "install", "subject": HELLO, "period": "day", "limit_micros": 1}, "subject"),
        ({"scope": "profile", "period": "day", "limit_micros": 1}, "subject"),
        ({"scope": "profile", "subject": "hello", "period": "day", "limit_micros": 1}, "subject"),
        ({"scope": "install", "period": "week", "limit_micros": 1}, "period"),
        ({"scope": "install", "period": "day", "limit_micros": -1}, "limit_micros"),
        ({"scope": "install", "period": "day", "limit_micros": 1.5}, "limit_micros"),
        ({"scope": "install", "period": "day", "limit_micros": 2**60}, "limit_micros"),
        ({"scope": "install", "period": "day", "limit_micros": 1, "soft_share": 1.5}, "soft_share"),
        ({"scope": "install", "period": "turn", "limit_micros": 1, "soft_share": 0.5}, "soft_share"),
        ({"scope": "install", "period": "day", "limit_micros": 1, "on_soft": "cry"}, "on_soft"),
        ({"scope": "install", "period": "day", "limit_micros": 1, "limit": 1}, "limit"),
    ],
)
def test_a_wrong_cap_says_which_field_is_wrong(with_site, body, field):
    async def test(site):
        error = (await ask(site, "POST", CAPS, body, 422))["error"]
        assert error["code"] == "invalid_fields"
        assert field in [wrong["field"] for wrong in error["fields"]]

    with_site(test)


def test_without_a_key_nothing_is_told(with_site):
    async def test(site):
        for method, path in (("GET", CAPS), ("POST", CAPS), ("GET", COSTS), ("DELETE", f"{CAPS}/{HELLO}")):
            response = await site.client.request(method, path, json={})
            assert response.status_code == 401

    with_site(test)


def test_costs_are_summed_by_what_is_asked_and_come_in_pages(with_site):
    async def test(site):
        first = await site.say("one")
        await site.say("two", **{k: first[k] for k in ("conversation_id", "conversation_token")})
        await site.say("three")
        (total,) = (await ask(site, "GET", COSTS))["items"]
        assert (total["cost_micros"], total["calls"], total["turns"]) == (3 * COST, 3, 3)
        for group in ALL:
            items = (await ask(site, "GET", f"{COSTS}?group_by={group}"))["items"]
            assert sum(item["cost_micros"] for item in items) == 3 * COST
        items = (await ask(site, "GET", f"{COSTS}?group_by=day,model,profile"))["items"]
        assert [(item["model"], item["profile_slug"]) for item in items] == [("fake", "hello")]
        whole = (await ask(site, "GET", f"{COSTS}?group_by=agent,model"))["items"]
        assert len(whole) == 2
        page = await ask(site, "GET", f"{COSTS}?group_by=agent,model&limit=1")
        rest = await ask(site, "GET", f"{COSTS}?group_by=agent,model&limit=1&cursor={page['next_cursor']}")
        assert page["items"] + rest["items"] == whole
        assert rest["next_cursor"] is None
        assert (await ask(site, "GET", f"{COSTS}?group_by=model&until=2026-01-01"))["items"] == []

    with_site(test)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("group_by=modle", "did you mean 'model'?"),
        ("group_by=colour", "group by any of day, profile, agent, schedule, caller, model"),
        ("group_by=day,day", None),
        ("since=yesterday", "write it as 2026-01-31 or 2026-01-31T12:00:00Z"),
        ("cursor=abc", "send next_cursor as it came, or none"),
    ],
)
def test_a_wrong_question_about_costs_says_what_to_write(with_site, query, said):
    async def test(site):
        error = (await ask(site, "GET", f"{COSTS}?{query}", status=400))["error"]
        assert error["code"] == "invalid_request"
        assert error.get("remedy") == said

    with_site(test)


def test_a_cap_shows_how_it_stands_and_refuses_when_it_is_used_up(with_site):
    async def test(site):
        cap = await only_cap(site)
        await site.say("one")
        shown = (await ask(site, "GET", f"{CAPS}/{cap['id']}"))["cap"]["window"]
        assert (shown["spent_micros"], shown["reserved_micros"]) == (COST, 0)
        await ask(site, "PATCH", f"{CAPS}/{cap['id']}", {"limit_micros": COST})
        response = await site.post("two")
        assert response.status_code == 402
        assert response.json()["error"]["code"] == "budget_exceeded"
        (row,) = await site.rows("select detail from audit_log where action = 'chat:turn:refused'")
        assert (row["detail"]["code"], row["detail"]["cap"]) == ("budget_exceeded", cap["id"])
        assert row["detail"]["reason"] == "The install cap for this day is used up"
        window = (await ask(site, "GET", f"{CAPS}/{cap['id']}"))["cap"]["window"]
        assert window["share"] == 1.0
        assert window["runs_out_at"] is not None
        health = (await site.client.get("/api/v1/health")).json()
        assert health["checks"]["budgets"]["status"] == "degraded"
        assert "install cap" in health["checks"]["budgets"]["message"]

    with_site(test)


def test_past_the_soft_share_a_person_is_asked(with_site):
    async def test(site):
        cap = await only_cap(site, limit_micros=10**6, soft_share=0.00001, on_soft="ask")
        await site.say("one")
        response = await site.post("two")
        assert response.status_code == 402
        assert response.json()["error"]["code"] == "approval_required"
        await ask(site, "POST", f"{CAPS}/{cap['id']}/acknowledge", {"subject": "*"}, 422)
        told = await ask(site, "POST", f"{CAPS}/{cap['id']}/acknowledge", {})
        assert told["cap"]["window"]["acknowledged_until"] == told["cap"]["window"]["ends_at"]
        await site.say("three")

    with_site(test)


def test_past_the_soft_share_the_cheaper_model_of_the_profile_answers(with_site):
    async def test(site):
        await only_cap(site, limit_micros=10**6, soft_share=0.00001, on_soft="cheaper")
        await site.profile("thrifty", model="fake", cheaper_model="small")
        await site.say("one", slug="thrifty")
        await site.say("two", slug="thrifty")
        assert [request["model"] for request in site.model.requests] == ["fake", "small"]
        items = (await ask(site, "GET", f"{COSTS}?group_by=model"))["items"]
        assert [(item["model"], item["cost_micros"]) for item in items] == [("fake", COST), ("small", 18)]

    with_site(test, budgets={"prices": {"fake": (1_000_000, 2_000_000), "small": (1_000_000, 1_000_000)}})


async def hivemind(folders, *arguments):
    done = await trio.run_process(
        [sys.executable, "-m", "hivemind", *arguments],
        capture_stdout=True,
        env={
            **os.environ,
            "HIVEMIND_DATA_SECRETS_FOLDER": str(folders["secrets_folder"]),
            "COLUMNS": "140",
        },
    )
    return done.stdout.decode()


def test_the_command_line_shows_the_same(with_site, folders):
    async def test(site):
        cap = await only_cap(site, limit_micros=100, soft_share=0.2, on_soft="ask")
        await site.rows("update caps set limit_micros = 100000000 returning 1")
        await site.say("one")
        await site.rows("update caps set limit_micros = 50 returning 1")
        told = json.loads(await hivemind(folders, "budget", "--json", "--url", site.server.url))
        assert [shown["id"] for shown in told["caps"]] == [cap["id"]]
        assert told["caps"][0]["window"]["spent_micros"] == COST
        assert [(cost["model"], cost["cost_micros"]) for cost in told["costs"]] == [("fake", COST)]
        drawn = await hivemind(folders, "budget", "--url", site.server.url)
        for shown in ("install / day", "$0.000025", "$0.00005", "50%", "waits for a person", "fake"):
            assert shown in drawn

    with_site(test)


def agent_of(site):
    (child,) = site.system.tree("/agents", limit=10).children
    return child.snapshot.address


async def window_of(site, cap):
    window = (await ask(site, "GET", f"{CAPS}/{cap['id']}"))["cap"]["window"]
    return window["spent_micros"], window["reserved_micros"]


def test_an_answer_that_is_interrupted_is_paid_as_far_as_it_came(with_site):
    async def test(site):
        cap = await only_cap(site)
        site.model.says("One, ", trio.Event())
        async with site.stream("/api/v1/public/agents/chat/hello", {"message": "count"}) as (_, events):
            async for event in events:
                if event.name == "delta":
                    assert await window_of(site, cap) == (0, WORST)
                    site.system.at(agent_of(site)).tell(Interrupt())
        assert event.data["error"]["code"] == "interrupted"
        # By the estimate: three bytes a token, and never less than one.
        assert await window_of(site, cap) == (18 + 2 * 2, 0)

    with_site(test)


def test_a_provider_that_fails_leaves_nothing_held_and_costs_nothing(with_site):
    async def test(site):
        cap = await only_cap(site)
        site.model.says(500)
        assert (await site.post("count")).status_code in (502, 503)
        assert await window_of(site, cap) == (0, 0)

    with_site(test)


def test_an_attempt_that_a_crash_lost_is_booked_at_its_worst(with_site):
    async def test(site):
        cap = await only_cap(site)
        gate = trio.Event()
        site.model.says("One, ", gate, "two.")
        replies = []

        async def listen():
            replies.append(await site.say("count"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await site.model.asked(1)
            site.system.whereis(agent_of(site)).kill()
            await site.model.asked(2)
            assert await window_of(site, cap) == (0, 2 * WORST)
            gate.set()
        assert replies[0]["usage"]["cost_micros"] == WORST + COST
        assert await window_of(site, cap) == (WORST + COST, 0)

    with_site(test)


def test_the_attempts_of_an_agent_that_is_given_up_are_booked_at_their_worst(with_site):
    async def test(site):
        cap = await only_cap(site)
        site.model.says("One, ", trio.Event())
        answers = []

        async def listen():
            answers.append(await site.post("count"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            for attempt in (1, 2):
                await site.model.asked(attempt)
                site.system.whereis(agent_of(site)).kill()
        assert answers[0].status_code in (502, 503), answers[0].text
        # The caller is told before the turn is ended.
        while not await site.value(
            "select count(*) from audit_log where action = 'supervision:agent:given-up'"
        ):
            await trio.lowlevel.checkpoint()
        (turn,) = await site.rows("select state, cost_micros from turns")
        assert turn == {"state": "failed", "cost_micros": 2 * WORST}
        assert await window_of(site, cap) == (2 * WORST, 0)
        assert (await ask(site, "GET", COSTS))["items"][0]["cost_micros"] == 2 * WORST
        detail = await site.value("select detail from audit_log where action = 'chat:turn:failed'")
        assert detail["lost_micros"] == 2 * WORST

    with_site(test, supervision={"agents": {"max_restarts": 1}})


def test_a_turn_that_is_taken_up_is_refused_when_no_cap_covers_it_again(with_site):
    async def test(site):
        cap = await only_cap(site, limit_micros=2 * WORST - 1)
        site.model.says("One, ", trio.Event())
        answers = []

        async def listen():
            answers.append(await site.post("count"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await site.model.asked(1)
            site.system.whereis(agent_of(site)).kill()
        assert answers[0].status_code == 402
        assert answers[0].json()["error"]["code"] == "budget_exceeded"
        assert len(site.model.requests) == 1
        assert await window_of(site, cap) == (WORST, 0)
        assert await site.value("select error_code from turns") == "budget_exceeded"

    with_site(test)


async def searching(site, *before):
    """A profile whose turn is three calls to the model: it searches twice, then answers."""
    for title, text in (("Alpha", "Apples are red."), ("Beta", "Bananas are yellow.")):
        await ask(site, "POST", "/api/v1/knowledge", {"title": title, "text": text}, 201)
    await site.profile("seeker", tools=Jsonb({"knowledge_search": {"policy": "allow"}}))
    first = {"knowledge_search": {"query": "apples"}}
    site.model.says(*before, first, when="Look")
    site.model.says({"knowledge_search": {"query": "bananas"}}, when="Alpha")


def test_a_turn_of_many_calls_is_one_turn_and_costs_what_its_calls_cost(with_site, folders):
    async def test(site):
        cap = await only_cap(site)
        await searching(site)
        reply = await site.say("Look", slug="seeker")
        assert len(site.model.requests) == 3
        assert reply["usage"] == {"input_tokens": 33, "output_tokens": 21, "cost_micros": 3 * COST}
        assert await window_of(site, cap) == (3 * COST, 0)
        for group in ALL:
            (item,) = (await ask(site, "GET", f"{COSTS}?group_by={group}"))["items"]
            assert (item["cost_micros"], item["calls"], item["turns"]) == (3 * COST, 3, 1), group
        told = json.loads(await hivemind(folders, "budget", "--json", "--url", site.server.url))
        assert told["caps"][0]["window"]["spent_micros"] == 3 * COST
        assert [(cost["turns"], cost["cost_micros"]) for cost in told["costs"]] == [(1, 3 * COST)]
        assert "in 1 turns" in await hivemind(folders, "budget", "--url", site.server.url)

    with_site(test)


def test_each_call_of_a_turn_is_held_for_anew_and_one_that_is_not_covered_is_not_made(with_site):
    async def test(site):
        cap = await only_cap(site)
        gate = trio.Event()
        await searching(site, gate)
        held = "select amount_micros, lease_until from reservations"
        answers = []

        async def listen():
            answers.append(await site.post("Look", slug="seeker"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await site.model.asked(1)
            (first,) = await site.rows(held)
            later = trio.Event()
            site.model.says(later, {"knowledge_search": {"query": "bananas"}}, when="Alpha")
            gate.set()
            await site.model.asked(1, about="Alpha")
            (second,) = await site.rows(held)
            assert second["lease_until"] > first["lease_until"]
            assert second["amount_micros"] > first["amount_micros"] + COST
            await ask(site, "PATCH", f"{CAPS}/{cap['id']}", {"limit_micros": second["amount_micros"]})
            later.set()
        assert answers[0].status_code == 402, answers[0].text
        assert answers[0].json()["error"]["code"] == "budget_exceeded"
        assert len(site.model.requests) == 2
        assert await window_of(site, cap) == (2 * COST, 0)
        (total,) = (await ask(site, "GET", COSTS))["items"]
        assert (total["cost_micros"], total["calls"], total["turns"]) == (2 * COST, 2, 1)
        detail = await site.value("select detail from audit_log where action = 'chat:turn:failed'")
        assert (detail["error"], detail["cap"]) == ("budget_exceeded", cap["id"])

    with_site(test)

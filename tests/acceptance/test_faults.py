"""Promise: whatever dies inside a running server, an accepted message is answered once, and nobody restarts it."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
import trio

from hivemind.agents import admission, loop
from hivemind.providers import local_installed

MODELS = Path(os.environ.get("HIVEMIND_TEST_MODEL_FOLDER", Path(__file__).parents[2] / "data" / "models"))
ENDED_ONCE = """
select (select count(*) from turns) as turns,
       (select count(*) from turns where state = 'answered') as answered,
       (select count(*) from messages where role = 'assistant') as replies,
       (select count(*) from costs) as costs,
       (select count(*) from reservations) as held,
       (select coalesce(sum(reserved_micros), 0)::int from cap_windows) as reserved
"""


async def until(condition, seconds=0.05):
    """Wait until an async condition gives something true, and return it."""
    while not (found := await condition()):
        await trio.sleep(seconds)
    return found


async def answered_once(site, turns=1):
    """Every turn is answered, has one reply and one cost, and no money is held."""
    assert (await site.rows(ENDED_ONCE))[0] == {
        "turns": turns,
        "answered": turns,
        "replies": turns,
        "costs": turns,
        "held": 0,
        "reserved": 0,
    }


def agents(site):
    """The addresses of the agents in memory."""
    tree = site.system.tree("/agents", limit=1000)
    return [child.snapshot.address for child in tree.children]


async def kill_agent(site):
    (address,) = agents(site)
    site.system.whereis(address).kill()


@pytest.fixture
def folder():
    """A data folder that the account which root runs Postgres as can enter."""
    path = Path(tempfile.mkdtemp(prefix=f"hivemind-test-{os.getpid()}-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def with_embedded(running_server, folder):
    """Run `await test(site, postgres_pids)` against a server with its own embedded Postgres."""

    def run(test, **sections):
        conninfo = f"host={folder / 'postgres' / 'run'} user=hivemind dbname=hivemind"
        sections = {"data": {"folder": folder}, "database": {"url": None}, **sections}

        async def main():
            with trio.fail_after(120):
                async with running_server(conninfo, **sections) as site:
                    await test(site)

        trio.run(main)

    return run


def processes_in(folder):
    """The processes of a Postgres on this data folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def kill_postgres(folder):
    found = processes_in(folder)
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    assert found


# -- an agent


def test_a_killed_agent_resets_the_stream_and_gives_the_whole_reply(with_site):
    async def test(site):
        gate = trio.Event()
        site.model.says("One, ", gate, "two.")
        events = []

        async def listen():
            events.extend(await site.events("count"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await site.model.asked(1)
            await kill_agent(site)
            await site.model.asked(2)
            gate.set()
        names = [event.name for event in events]
        assert names[0] == "accepted"
        assert names[-1] == "reply"
        after = events[names.index("reset") + 1 :]
        assert after[0].name == "accepted"
        assert after[0].data["turn_id"] == events[0].data["turn_id"]
        assert after[0].data["epoch"] > events[0].data["epoch"]
        assert "".join(event.data["text"] for event in after if event.name == "delta") == "One, two."
        assert events[-1].data["reply"] == "One, two."
        await answered_once(site)

    with_site(test)


def test_a_killed_agent_still_answers_by_json_and_its_conversation_goes_on(with_site):
    async def test(site):
        gate = trio.Event()
        site.model.says(gate, "Yes.")
        replies = []

        async def ask():
            replies.append(await site.say("really?"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            for killed in range(3):
                await site.model.asked(killed + 1)
                if killed < 2:
                    await kill_agent(site)
            gate.set()
        assert replies[0]["reply"] == "Yes."
        await answered_once(site)
        same = {key: replies[0][key] for key in ("conversation_id", "conversation_token")}
        assert (await site.say("and then?", **same))["reply"] == "Yes."
        assert [m["content"] for m in site.model.requests[-1]["messages"]][-3:] == [
            "really?",
            "Yes.",
            "and then?",
        ]
        await answered_once(site, 2)

    with_site(test)


@pytest.mark.parametrize("streamed", [True, False])
def test_an_unexpected_exception_in_a_turn_is_no_lost_answer(with_site, monkeypatch, streamed):
    release, raised = loop._release, []

    def once(*args):
        if not raised:
            raised.append(True)
            raise RuntimeError("a defect of ours")
        release(*args)

    monkeypatch.setattr(loop, "_release", once)

    async def test(site):
        if streamed:
            names = [event.name for event in await site.events("hi")]
            assert names[:3] == ["accepted", "reset", "accepted"]
            assert names[-1] == "reply"
        else:
            assert (await site.say("hi"))["reply"] == "Hello there."
        assert raised
        await answered_once(site)

    with_site(test)


def test_an_agent_killed_before_its_message_was_accepted_takes_it_all_the_same(with_site, monkeypatch):
    admit, killed = admission.admit, []

    async def test(site):
        async def first(*args):
            if not killed:
                killed.append(True)
                await kill_agent(site)
                await trio.sleep_forever()
            return await admit(*args)

        monkeypatch.setattr(admission, "admit", first)
        assert (await site.say("hi"))["reply"] == "Hello there."
        assert killed
        await answered_once(site)

    with_site(test)


def test_an_agent_killed_when_its_message_was_accepted_unheard_answers_it_once(with_site, monkeypatch):
    admit, killed = admission.admit, []

    async def test(site):
        async def first(*args):
            admitted = await admit(*args)
            if not killed:
                killed.append(True)
                await kill_agent(site)
                await trio.sleep_forever()
            return admitted

        monkeypatch.setattr(admission, "admit", first)
        assert (await site.say("hi"))["reply"] == "Hello there."
        assert killed
        await answered_once(site)

    with_site(test)


# -- the embedded Postgres


def test_postgres_killed_under_running_turns_loses_nothing(with_embedded, folder):
    async def test(site):
        gate, replies, events = trio.Event(), [], []
        site.model.says("One, ", gate, "two.")

        async def ask(number):
            replies.append(await site.say(f"question {number}", idempotency_key=f"k{number}"))

        async def listen():
            events.extend(await site.events("stream"))

        async def health():
            return await site.client.get("/api/v1/health")

        async def is_ok():
            return (await health()).status_code == 200

        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(ask, number)
            nursery.start_soon(listen)
            await site.model.asked(5)
            kill_postgres(folder)
            down = await health()
            assert down.status_code == 503
            assert down.json()["status"] == "down"
            assert down.json()["checks"]["database"]["status"] == "down"
            gate.set()  # the answers end while there is nothing to write them to
            nursery.start_soon(ask, 4)  # and a message comes in meanwhile
            await until(is_ok)
        assert (await health()).json()["status"] == "ok"
        assert [reply["reply"] for reply in replies] == ["One, two."] * 5
        assert len({reply["turn_id"] for reply in replies}) == 5
        assert events[-1].name == "reply"
        assert "reset" not in [event.name for event in events]
        await answered_once(site, 6)
        for _ in range(2):  # and again, at once
            kill_postgres(folder)
            await until(is_ok)
        assert (await site.say("still there?"))["reply"] == "One, two."
        await answered_once(site, 7)

    with_embedded(test, supervision={"/database": {"backoff_initial_seconds": 2.0, "backoff_factor": 1}})


# -- the local model


@pytest.mark.skipif(not local_installed(), reason="xllamacpp has no wheel for this platform")
def test_the_local_model_killed_in_an_answer_comes_back(with_site, folder):
    (folder / "models").mkdir()
    for weights in MODELS.glob("*.gguf"):
        (folder / "models" / weights.name).symlink_to(weights)

    async def test(site):
        def pid():
            return site.system.tree("/local-model").snapshot.facts.get("pid")

        async def next_answer():
            response = await site.post("What is the capital of France?", **same)
            return response.json() if response.status_code == 200 else None

        first = pid()
        body = {"message": "Tell me a long story about a dragon and a knight."}
        async with site.stream("/api/v1/public/agents/chat/hello", body) as (_, events):
            accepted = await anext(events)
            assert accepted.name == "accepted"
            assert (await anext(events)).name == "delta"
            os.kill(first, signal.SIGKILL)
            rest = [event async for event in events]
        assert rest[-1].name == "error"
        same = {key: accepted.data[key] for key in ("conversation_id", "conversation_token")}
        assert (await until(next_answer, 0.2))["reply"]
        assert pid() not in (None, first)
        assert (await site.client.get("/api/v1/health")).json()["checks"]["provider"]["status"] == "ok"
        turns = await site.rows("select state, count(*) as turns from turns group by state")
        assert {row["state"]: row["turns"] for row in turns}.keys() == {"answered", "failed"}
        unpaid = "select count(*) from turns left join costs on costs.turn_id = turns.id where costs is null"
        assert await site.value(unpaid) == 0

    with_site(
        test,
        data={"folder": folder},
        llm={"provider": "local", "endpoint": None, "model": None},
        budgets={"prices": {}},
    )

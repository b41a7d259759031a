"""Promise: the tasks mirror the workspace: what is new, changed or gone there is so here, and nothing is lost."""

import pytest
import trio
import trio.testing

from hivemind.actors import ActorSystem, ChildSpec
from hivemind.errors import IntegrationError
from hivemind.plane.client import PlaneClient
from hivemind.plane.puller import Changed, Puller, tell
from hivemind.plane.waiting import Pace
from hivemind.settings import PlaneSettings

DAY_1, DAY_2, DAY_3 = (f"2026-11-0{day}T08:00:00Z" for day in (1, 2, 3))


def fill(plane, count, project="p-1"):
    for n in range(count):
        plane.put(project, f"i-{n:04}", f"Item {n:04}", f"2026-10-{n % 28 + 1:02}T{n % 24:02}:00:00.{n:06}Z")


def test_a_workspace_of_several_pages(with_plane):
    async def test(mirror):
        fill(mirror.plane, 250)
        done = await mirror.pull()
        assert (done.seen, done.new, done.changed, done.gone, done.skipped) == (250, 250, 0, 0, 0)
        assert len(await mirror.tasks()) == 250
        row = await mirror.database.fetch_one("select * from tasks where external_id = 'i-0007'")
        assert (row["text"], row["external_group"]) == ("About Item 0007", "p-1")
        assert row["external_url"] == f"{mirror.plane.url}/acme/projects/p-1/issues/i-0007"
        audited = await mirror.database.fetch_one(
            "select * from audit_log where action = 'plane:project:pulled'"
        )
        assert audited["detail"]["new"] == 250

    with_plane(test)


def test_the_next_pull_reads_what_has_changed_and_stops_there(with_plane):
    async def test(mirror):
        fill(mirror.plane, 250)
        await mirror.pull()
        mirror.pages()
        mirror.plane.put("p-1", "i-0003", "Item 0003 done", DAY_1, "s-done")
        mirror.plane.put("p-1", "i-new", "New", DAY_2, "s-doing")
        done = await mirror.pull()
        assert (done.new, done.changed, done.gone) == (1, 1, 0)
        assert mirror.pages() == 1
        tasks = await mirror.tasks()
        assert tasks["Item 0003 done"] == "done" and tasks["New"] == "doing" and "Item 0003" not in tasks
        done = await mirror.pull()
        assert (done.new, done.changed) == (0, 0) and not done.worth_telling

    with_plane(test)


def test_a_server_that_does_not_sort_is_read_to_its_end(with_plane):
    async def test(mirror):
        fill(mirror.plane, 250)
        mirror.plane.ignores_order = True
        await mirror.pull()
        mirror.plane.put("p-1", "i-0240", "Changed", DAY_1)
        assert (await mirror.pull()).changed == 1
        assert "Changed" in await mirror.tasks()

    with_plane(test)


def test_what_is_gone_is_dropped_by_the_next_full_pull_and_comes_back(with_plane):
    async def test(mirror):
        fill(mirror.plane, 120)
        await mirror.pull(full_every=2)
        item = mirror.plane.projects["p-1"].pop("i-0100")
        await mirror.pull(full_every=2)
        assert (await mirror.tasks())["Item 0100"] == "open"
        assert (await mirror.pull(full_every=2)).gone == 1
        assert (await mirror.tasks())["Item 0100"] == "dropped"
        assert (await mirror.pull(full_every=1)).gone == 0
        mirror.plane.projects["p-1"]["i-0100"] = item
        await mirror.pull(full_every=1)
        assert (await mirror.tasks())["Item 0100"] == "open"

    with_plane(test)


def test_an_item_that_slips_between_pages_is_not_taken_for_gone(with_plane):
    async def test(mirror):
        fill(mirror.plane, 250)
        await mirror.pull()
        # While the first page is sent, one before the boundary is deleted: all others move up by one.
        mirror.plane.on_page = lambda number: number == 0 and mirror.plane.projects["p-1"].pop("i-0001", None)
        done = await mirror.pull(full_every=1)
        assert done.seen == 249 and done.gone == 0
        assert (await mirror.tasks())["Item 0100"] == "open"

    with_plane(test)


def test_one_bad_row_is_skipped_and_logged(with_plane, caplog):
    async def test(mirror):
        fill(mirror.plane, 3)
        mirror.plane.put("p-1", "bad", "", DAY_1)
        mirror.plane.put("p-1", "worse", "No time", None)
        done = await mirror.pull()
        assert (done.new, done.skipped) == (3, 2)
        assert "it has no name" in caplog.text and "updated_at is None" in caplog.text
        assert len(await mirror.tasks()) == 3

    with_plane(test)


def test_an_older_server_calls_them_issues(with_plane):
    async def test(mirror):
        fill(mirror.plane, 3)
        assert (await mirror.pull()).new == 3
        await mirror.pull()
        assert sum("work-items" in path for path, _ in mirror.plane.requests) == 1

    with_plane(test, kind="issues")


def test_a_pull_that_breaks_off_is_done_again(with_plane):
    async def test(mirror):
        fill(mirror.plane, 250)
        await mirror.pull()
        for n in range(150):
            mirror.plane.put("p-1", f"i-{n:04}", f"Again {n}", f"2026-11-05T08:00:{n % 60:02}.{n:06}Z")

        def break_off(number):
            mirror.plane.refuse += [500]
            mirror.plane.on_page = lambda number: None

        mirror.plane.on_page = break_off
        with pytest.raises(IntegrationError, match="status 500"):
            await mirror.pull()
        assert (await mirror.pull()).changed == 50
        assert sum(title.startswith("Again") for title in await mirror.tasks()) == 150

    with_plane(test)


def test_too_many_requests_are_waited_for(with_plane, monkeypatch):
    async def test(mirror):
        fill(mirror.plane, 3)
        waits = []
        monkeypatch.setattr(
            "hivemind.plane.client.after_refusal",
            lambda header, now: waits.append(header(b"retry-after")) or 0,
        )
        mirror.plane.refuse = [429, 429]
        mirror.plane.retry_after = "17"
        assert (await mirror.pull()).new == 3
        assert waits == ["17", "17"]
        mirror.plane.refuse = [429] * 10
        with pytest.raises(IntegrationError, match="429"):
            await mirror.pull()

    with_plane(test)


@pytest.mark.parametrize(("status", "word"), [(401, "PLANE_API_KEY"), (403, "PLANE_API_KEY")])
def test_a_refusal_says_what_to_do(with_plane, status, word):
    async def test(mirror):
        fill(mirror.plane, 1)
        mirror.plane.refuse = [status]
        with pytest.raises(IntegrationError) as caught:
            await mirror.pull()
        assert word in caught.value.remedy

    with_plane(test)


def test_no_such_project_and_no_such_server(with_plane):
    async def test(mirror):
        with pytest.raises(IntegrationError):
            await mirror.pull("nowhere")
        gone = PlaneSettings(api_key="x", base_url="http://127.0.0.1:1", workspace="acme")
        with pytest.raises(IntegrationError, match="cannot be reached"):
            await PlaneClient(mirror.client, gone, Pace(0)).projects()

    with_plane(test)


def test_one_item_at_a_time(with_plane):
    async def test(mirror):
        fill(mirror.plane, 2)
        assert (await mirror.pull_one("i-0000")).new == 1
        mirror.plane.put("p-1", "i-0000", "Renamed", DAY_3, "s-done")
        assert (await mirror.pull_one("i-0000")).changed == 1
        assert await mirror.tasks() == {"Renamed": "done"}
        del mirror.plane.projects["p-1"]["i-0000"]
        assert (await mirror.pull_one("i-0000")).gone == 1
        assert await mirror.tasks() == {"Renamed": "dropped"}
        assert (await mirror.pull_one("never")).gone == 0

    with_plane(test)


def running(mirror, settings=None):
    """A system with the puller at its address."""
    spec = ChildSpec("plane", Puller, (mirror.database, mirror.client, settings or mirror.settings, Pace(0)))
    return ActorSystem(), spec


async def until(condition):
    while not await condition():
        await trio.sleep(0)


def test_the_actor_pulls_every_project_and_follows_hints(with_plane):
    async def test(mirror):
        from hivemind.actors import Supervisor

        fill(mirror.plane, 2, "p-1")
        mirror.plane.put("p-2", "other", "Other", DAY_1)
        system, spec = running(mirror)
        async with system:
            await system.start(ChildSpec("workers", Supervisor, ((spec,),)))

            async def pulled():
                return system.snapshot("/workers/plane").facts["pulls"] == 2

            await until(pulled)
            assert len(await mirror.tasks()) == 3
            mirror.plane.put("p-1", "hinted", "Hinted", DAY_2)
            tell(system, Changed("p-1", "hinted"))
            tell(system, Changed("p-1", "nothing"))

            async def counted():
                return system.snapshot("/workers/plane").facts["new"] == 4

            await until(counted)
            assert "Hinted" in await mirror.tasks()
            assert system.snapshot("/workers/plane").facts["last_error"] is None

    with_plane(test)


def test_a_project_that_fails_stops_no_other(with_plane):
    async def test(mirror):
        from hivemind.actors import Supervisor

        fill(mirror.plane, 1, "p-2")
        system, spec = running(mirror)
        async with system:
            await system.start(ChildSpec("workers", Supervisor, ((spec,),)))

            async def pulled():
                return system.snapshot("/workers/plane").facts["pulls"] == 1

            await until(pulled)
            facts = system.snapshot("/workers/plane").facts
            assert facts["new"] == 1 and facts["last_error"]
            row = await mirror.database.fetch_one("select failure from pulls where project = 'p-1'")
            assert row["failure"]

    with_plane(test, projects=("p-1", "p-2"))


@pytest.mark.parametrize("missing", ["api_key", "workspace"])
def test_without_key_or_workspace_nothing_happens(with_plane, missing):
    async def test(mirror):
        from hivemind.actors import Supervisor

        fill(mirror.plane, 1)
        values = mirror.settings.model_dump() | {missing: PlaneSettings().model_dump()[missing]}
        system, spec = running(mirror, PlaneSettings.model_validate(values))
        async with system:
            await system.start(ChildSpec("workers", Supervisor, ((spec,),)))
            tell(system, Changed("p-1", "i-0000"))
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert system.snapshot("/workers/plane").facts["configured"] is False
        assert not mirror.plane.requests

    with_plane(test)

"""A Plane, a database, and what tests ask of both."""

import importlib.util
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from hivemind.outbound import HttpClient
from hivemind.persistence import Database, migrate
from hivemind.plane.client import PlaneClient
from hivemind.plane.item import Place
from hivemind.plane.pull import pull, pull_one
from hivemind.plane.waiting import Pace
from hivemind.settings import PlaneSettings

PATIENCE_SECONDS = 60


def _server_module():
    path = Path(__file__).with_name("plane_server.py")
    spec = importlib.util.spec_from_file_location("plane_server", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Mirror:
    """One workspace and the database that it is pulled into."""

    plane: object
    database: Database
    client: HttpClient
    settings: PlaneSettings
    reader: PlaneClient

    def place(self, project="p-1"):
        return Place(self.settings.base_url, "acme", project)

    async def pull(self, project="p-1", full_every=100):
        return await pull(self.database, self.reader, self.place(project), full_every)

    async def pull_one(self, item_id):
        return await pull_one(self.database, self.reader, self.place(), item_id)

    async def tasks(self):
        rows = await self.database.fetch_all(
            "select title, state from tasks where source = 'plane' order by title"
        )
        return {row["title"]: row["state"] for row in rows}

    def pages(self):
        """How many pages of items were read since the last time."""
        asked = [path for path, query in self.plane.requests if path.endswith(f"/{self.plane.kind}/")]
        self.plane.requests.clear()
        return len(asked)


@pytest.fixture(scope="session")
def plane_server():
    """The module of the fake Plane."""
    return _server_module()


@pytest.fixture
def with_plane(database_url, plane_server):
    """Run `await test(mirror)`; keywords are the settings of `[plane]`, and the plane's `kind`."""

    @asynccontextmanager
    async def opened(kind, changes):
        async with (
            plane_server.Plane(kind).serving() as plane,
            Database(database_url, size=3) as database,
            HttpClient() as client,
        ):
            await migrate(database)
            values = {"api_key": plane_server.KEY, "base_url": plane.url, "workspace": "acme"} | changes
            settings = PlaneSettings.model_validate(values)
            reader = PlaneClient(client, settings, Pace(0))
            yield Mirror(plane, database, client, settings, reader)

    def run(test, kind="work-items", **changes):
        async def main():
            with trio.fail_after(PATIENCE_SECONDS):
                async with opened(kind, changes) as mirror:
                    await test(mirror)

        trio.run(main)

    return run

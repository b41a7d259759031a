"""`hivemind migrate`: bring the database to this release without starting the server."""

from contextlib import AsyncExitStack

import click
import trio

from hivemind.cli.examples import example
from hivemind.persistence import Database, EmbeddedPostgres
from hivemind.persistence import migrate as apply
from hivemind.settings import Settings
from hivemind.settings_load import load


@click.command(epilog=example("hivemind migrate --through pre"))
@click.option(
    "--through",
    type=click.Choice(["pre", "post"]),
    default="post",
    show_default=True,
    help="pre: only what is safe while the release before still runs.",
)
def migrate(through: str) -> None:
    """Bring the database to this release. `serve` does this too; an operator may want it beforehand."""
    trio.run(_migrate, load().settings, through == "post")


async def _migrate(settings: Settings, whole: bool) -> None:
    async with AsyncExitStack() as stack:
        if settings.database.url is not None:
            conninfo = settings.database.url.get_secret_value()
        else:
            embedded = EmbeddedPostgres(settings.data.folder / "postgres")
            await embedded.start(_report)
            stack.push_async_callback(embedded.stop)
            conninfo = embedded.conninfo
        database = await stack.enter_async_context(
            Database(conninfo, size=1, wait_seconds=settings.database.wait_seconds)
        )
        applied = await apply(database, through="post" if whole else "pre", report=_report)
    click.echo(f"{len(applied)} applied" if applied else "nothing to do: the database is at this release")


def _report(line: str) -> None:
    click.echo(line, err=True)

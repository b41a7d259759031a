"""`hivemind serve`: read the settings, set up the log, hand over to the composition root."""

import click
import trio

from hivemind.cli.examples import example
from hivemind.settings_load import load


@click.command(epilog=example("HIVEMIND_SERVER_PORT=9000 hivemind serve"))
def serve() -> None:
    """Start the server. Ctrl-C or SIGTERM lets turns finish, then stops."""
    # Here, because it imports the whole product and `serve --help` needs none of it.
    from hivemind import app, telemetry  # noqa: PLC0415

    loaded = load()
    secrets = (loaded.settings.llm.api_key, loaded.settings.database.url)
    telemetry.set_up(loaded.settings.log, secrets=[s.get_secret_value() for s in secrets if s])
    trio.run(app.serve, loaded, report)


def report(line: str) -> None:
    """Show one line of progress."""
    click.echo(line, err=True)

"""`hivemind guards`: the guards over standard input, without a server."""

import click


@click.group()
def guards() -> None:
    """Run the guards over texts."""


@guards.command()
def scan() -> None:
    """Read JSON lines with `id` and `text`; write one line of findings for each."""
    # Here, because it compiles the rules.
    from hivemind.guards.scan import main  # noqa: PLC0415

    main()

"""`hivemind kill-switch`: what is switched off, and switching it off and on again, stage by stage."""

import click

from hivemind.cli.examples import example
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, safe, say, when

PATH = "/api/v1/kill-switch"


@click.command("kill-switch", epilog=example('hivemind kill-switch 2 --reason "The prices are wrong."'))
@click.argument("stage", type=click.IntRange(0, 3), required=False)
@click.option("--reason", help="Why; whoever is refused reads it. Needed with a stage.")
@options
def kill_switch(stage: int | None, reason: str | None, url: str | None = None, as_json: bool = False) -> None:
    """Show what is switched off, or set it to STAGE.

    1: no tools that reach outside. 2: no new turns either. 3: nothing: turns that run end now, and no model
    is called. 0: everything runs. It is raised at once and lowered one stage at a time.
    """
    operator = Operator.at(url)
    if stage is None:
        if reason is not None:
            raise click.UsageError("--reason belongs to a stage")
        document = operator.ask("GET", PATH)
    else:
        if not reason:
            raise click.UsageError("say why with --reason")
        document = operator.ask("PUT", PATH, {"stage": stage, "reason": reason})
    say(document["kill_switch"], told(document["kill_switch"]), as_json=as_json)


def told(position: Document) -> str:
    """One line for a person."""
    if not position["reason"]:
        return f"Stage {position['stage']}: {position['off']}"
    return (
        f"Stage {position['stage']}: {position['off']}: {safe(position['reason'])} "
        f"({position['changed_by']}, {when(position['changed_at'])} UTC)"
    )

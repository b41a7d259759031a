"""`hivemind costs`: what calls to providers cost, summed up as asked for."""

import click

from hivemind.cli.examples import example
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import dollars, show

GROUPS = ("day", "profile", "agent", "schedule", "caller", "model")
_ALL = 10_000


@click.command(epilog=example("hivemind costs --by day,model --since 2026-11-01"))
@click.option("--by", default="day", show_default=True, help=f"Any of {', '.join(GROUPS)}, by commas.")
@click.option("--since", help="A date or a time; 30 days ago, if not given.")
@click.option("--until", help="A date or a time, itself not counted.")
@options
def costs(by: str, since: str | None, until: str | None, url: str | None, as_json: bool) -> None:
    """Sum up what was spent."""
    groups = [group for group in by.split(",") if group]
    if unknown := [group for group in groups if group not in GROUPS]:
        raise click.UsageError(f"--by {unknown[0]!r} is not known: take any of {', '.join(GROUPS)}")
    found = Operator.at(url).items(
        "/api/v1/costs", _ALL, group_by=",".join(groups) or None, since=since, until=until
    )
    columns = {
        group: lambda row, name="profile_slug" if group == "profile" else group: row[name] for group in groups
    } | {
        "cost": lambda row: dollars(row["cost_micros"]),
        "turns": lambda row: row["turns"],
        "calls": lambda row: row["calls"],
        "tokens in": lambda row: row["input_tokens"],
        "tokens out": lambda row: row["output_tokens"],
    }
    show(found, columns, "Nothing was spent.", as_json=as_json)

"""`hivemind schedules`: work at given times, when it is due, and what came of it.

A schedule goes by its name or its id.
"""

import json
from urllib.parse import quote

import click

from hivemind.cli.operator import Document, Operator, first_line, options, show, when
from hivemind.errors import NotFound

PATH = "/api/v1/schedules"
_ALL = 10_000


@click.group(invoke_without_command=True)
@click.pass_context
def schedules(context: click.Context) -> None:
    """Work at given times; without a verb, list it."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@schedules.command("list")
@options
def list_(url: str | None = None, as_json: bool = False) -> None:
    """Print all of them."""
    found = Operator.at(url).items(PATH, _ALL)
    if as_json:
        click.echo(json.dumps(found))
        return
    columns = {
        "name": lambda row: row["name"],
        "cron": lambda row: row["cron"],
        "zone": lambda row: row["time_zone"],
        "next (UTC)": lambda row: row["failure"] or ("paused" if row["paused"] else when(row["next_run_at"])),
        "last (UTC)": lambda row: when(row["last_run_at"]),
        "text": lambda row: first_line(row["text"]),
    }
    show(found, columns, "There are no schedules.")


@schedules.command()
@click.argument("name")
@click.argument("text")
@click.option("--cron", required=True, help="Five fields, such as '30 7 * * MON-FRI'.")
@click.option("--time-zone", default="UTC", show_default=True, help="Such as Europe/Berlin.")
@click.option("--profile", default="hello", show_default=True, help="Who is to do it.")
@click.option("--overlap", type=click.Choice(["skip", "queue", "replace"]), default="skip", show_default=True)
@click.option("--catch-up", type=click.Choice(["none", "last", "all"]), default="none", show_default=True)
@options
def add(
    name: str,
    text: str,
    cron: str,
    time_zone: str,
    profile: str,
    overlap: str,
    catch_up: str,
    url: str | None,
    as_json: bool,
) -> None:
    """Make a schedule."""
    body = {
        "name": name,
        "text": text,
        "cron": cron,
        "time_zone": time_zone,
        "profile": profile,
        "overlap": overlap,
        "catch_up": catch_up,
    }
    _tell(Operator.at(url).ask("POST", PATH, body)["schedule"], as_json=as_json)


@schedules.command("next")
@click.argument("schedule")
@click.option("--count", default=5, show_default=True)
@options
def next_(schedule: str, count: int, url: str | None, as_json: bool) -> None:
    """Print when it is due next, by the clocks of its zone."""
    operator = Operator.at(url)
    _tell_times(operator.ask("GET", f"{_path(operator, schedule)}/next?count={count}"), as_json=as_json)


@schedules.command()
@click.argument("cron")
@click.option("--time-zone", default="UTC", show_default=True)
@click.option("--count", default=5, show_default=True)
@options
def preview(cron: str, time_zone: str, count: int, url: str | None, as_json: bool) -> None:
    """Print when an expression would be due."""
    body = {"cron": cron, "time_zone": time_zone, "count": count}
    _tell_times(Operator.at(url).ask("POST", f"{PATH}/preview", body), as_json=as_json)


@schedules.command()
@click.argument("schedule")
@click.option("--limit", default=20, show_default=True)
@options
def ticks(schedule: str, limit: int, url: str | None, as_json: bool) -> None:
    """Print its newest due times and what came of each."""
    operator = Operator.at(url)
    found = operator.items(f"{_path(operator, schedule)}/ticks", limit)
    if as_json:
        click.echo(json.dumps(found))
        return
    columns = {
        "due (UTC)": lambda row: when(row["due_at"]),
        "outcome": lambda row: row["outcome"] + (" (by hand)" if row["by_hand"] else ""),
        "directive": lambda row: row["directive_id"],
        "state": lambda row: row["directive_state"],
    }
    show(found, columns, "It has not been due yet.")


@schedules.command()
@click.argument("schedule")
@options
def run(schedule: str, url: str | None, as_json: bool) -> None:
    """Fire it now, besides its times."""
    operator = Operator.at(url)
    tick = operator.ask("POST", f"{_path(operator, schedule)}/run", {})["tick"]
    made = f": directive {tick['directive_id']}" if tick["directive_id"] else ""
    click.echo(json.dumps(tick) if as_json else f"{tick['outcome']}{made}")


@schedules.command()
@click.argument("schedule")
@options
def pause(schedule: str, url: str | None, as_json: bool) -> None:
    """Let nothing be due until it is resumed."""
    operator = Operator.at(url)
    _tell(operator.ask("POST", f"{_path(operator, schedule)}/pause", {})["schedule"], as_json=as_json)


@schedules.command()
@click.argument("schedule")
@options
def resume(schedule: str, url: str | None, as_json: bool) -> None:
    """Go on from now."""
    operator = Operator.at(url)
    _tell(operator.ask("POST", f"{_path(operator, schedule)}/resume", {})["schedule"], as_json=as_json)


@schedules.command()
@click.argument("schedule")
@click.option("--url", help="The server; by default where the settings make it listen.")
def delete(schedule: str, url: str | None) -> None:
    """Remove it with its ticks; what it made stays."""
    operator = Operator.at(url)
    operator.ask("DELETE", _path(operator, schedule))


def _path(operator: Operator, name: str) -> str:
    """The address of a schedule that goes by its name or id."""
    for found in operator.items(PATH, _ALL):
        if name in (found["name"], found["id"]):
            return f"{PATH}/{quote(found['id'])}"
    raise NotFound(f"There is no schedule named {name!r}", remedy="`hivemind schedules` lists them")


def _tell(schedule: Document, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(schedule))
        return
    due = "paused" if schedule["paused"] else f"due next {when(schedule['next_run_at'])} UTC"
    click.echo(f"{schedule['id']}  {schedule['name']}  {due}")


def _tell_times(document: Document, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document))
        return
    for moment in document["times"]:
        click.echo(moment["local"])

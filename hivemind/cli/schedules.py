"""`hivemind schedules`: work at given times, when it is due, and what came of it.

A schedule goes by its name or its id.
"""

from pathlib import Path
from urllib.parse import quote

import click

from hivemind.cli import values
from hivemind.cli.examples import example
from hivemind.cli.listing import Listing
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, fields, first_line, say, show, when

PATH = "/api/v1/schedules"
_ALL = 10_000


@click.group(cls=Listing)
def schedules() -> None:
    """Have work done at given times. Without a verb it lists the schedules."""


@schedules.command("list", epilog=example("hivemind schedules list --json"))
@options
def list_(url: str | None, as_json: bool) -> None:
    """Print all of them."""
    found = Operator.at(url).items(PATH, _ALL)
    columns = {
        "name": lambda row: row["name"],
        "cron": lambda row: row["cron"],
        "zone": lambda row: row["time_zone"],
        "next (UTC)": lambda row: row["failure"] or ("paused" if row["paused"] else when(row["next_run_at"])),
        "last (UTC)": lambda row: when(row["last_run_at"]),
        "text": lambda row: first_line(row["text"]),
    }
    show(found, columns, "There are no schedules.", as_json=as_json)


@schedules.command(
    epilog=example(
        'hivemind schedules add morning "Sum up the night." --cron "30 7 * * MON-FRI" '
        "--time-zone Europe/Berlin"
    )
)
@click.argument("name")
@click.argument("text")
@click.option("--cron", required=True, help="Five fields, such as '30 7 * * MON-FRI'.")
@click.option("--time-zone", default="UTC", show_default=True, help="Such as Europe/Berlin.")
@click.option("--profile", default="hello", show_default=True, help="Who is to do it.")
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue", "replace"]),
    default="skip",
    show_default=True,
    help="What a due time does while an earlier directive has not ended.",
)
@click.option(
    "--catch-up",
    type=click.Choice(["none", "last", "all"]),
    default="none",
    show_default=True,
    help="Of due times that passed while no server ran: which are fired.",
)
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
    made = Operator.at(url).ask("POST", PATH, body)["schedule"]
    say(made, _told(made), as_json=as_json)


@schedules.command("show", epilog=example("hivemind schedules show morning"))
@click.argument("schedule")
@options
def show_(schedule: str, url: str | None, as_json: bool) -> None:
    """Print one with all its fields."""
    found = _found(Operator.at(url), schedule)
    say(found, fields(found), as_json=as_json)


@schedules.command(epilog=example('hivemind schedules edit morning --set "cron=0 8 * * *"'))
@click.argument("schedule")
@values.options
@options
def edit(schedule: str, given: tuple[str, ...], path: Path | None, url: str | None, as_json: bool) -> None:
    """Change fields: name, cron, time_zone, profile, text, retry, overlap, catch_up, catch_up_seconds."""
    body = values.read_some(given, path)
    operator = Operator.at(url)
    changed = operator.ask("PATCH", _path(operator, schedule), body)["schedule"]
    say(changed, _told(changed), as_json=as_json)


@schedules.command("next", epilog=example("hivemind schedules next morning --count 3"))
@click.argument("schedule")
@click.option("--count", default=5, show_default=True, help="How many times.")
@options
def next_(schedule: str, count: int, url: str | None, as_json: bool) -> None:
    """Print when it is due next, by the clocks of its zone."""
    operator = Operator.at(url)
    times = operator.ask("GET", f"{_path(operator, schedule)}/next?count={count}")
    say(times, _told_times(times), as_json=as_json)


@schedules.command(epilog=example('hivemind schedules preview "0 9 * * MON" --time-zone Asia/Kolkata'))
@click.argument("cron")
@click.option("--time-zone", default="UTC", show_default=True, help="Such as Europe/Berlin.")
@click.option("--count", default=5, show_default=True, help="How many times.")
@options
def preview(cron: str, time_zone: str, count: int, url: str | None, as_json: bool) -> None:
    """Print when an expression would be due."""
    body = {"cron": cron, "time_zone": time_zone, "count": count}
    times = Operator.at(url).ask("POST", f"{PATH}/preview", body)
    say(times, _told_times(times), as_json=as_json)


@schedules.command(epilog=example("hivemind schedules ticks morning --limit 7"))
@click.argument("schedule")
@click.option("--limit", default=20, show_default=True, help="How many.")
@options
def ticks(schedule: str, limit: int, url: str | None, as_json: bool) -> None:
    """Print its newest due times and what came of each."""
    operator = Operator.at(url)
    found = operator.items(f"{_path(operator, schedule)}/ticks", limit)
    columns = {
        "due (UTC)": lambda row: when(row["due_at"]),
        "outcome": lambda row: row["outcome"] + (" (by hand)" if row["by_hand"] else ""),
        "directive": lambda row: row["directive_id"],
        "state": lambda row: row["directive_state"],
    }
    show(found, columns, "It has not been due yet.", as_json=as_json)


@schedules.command(epilog=example("hivemind schedules run morning"))
@click.argument("schedule")
@options
def run(schedule: str, url: str | None, as_json: bool) -> None:
    """Fire it now, besides its times."""
    operator = Operator.at(url)
    tick = operator.ask("POST", f"{_path(operator, schedule)}/run", {})["tick"]
    made = f": directive {tick['directive_id']}" if tick["directive_id"] else ""
    say(tick, f"{tick['outcome']}{made}", as_json=as_json)


@schedules.command(epilog=example("hivemind schedules pause morning"))
@click.argument("schedule")
@options
def pause(schedule: str, url: str | None, as_json: bool) -> None:
    """Let nothing be due until it is resumed."""
    operator = Operator.at(url)
    paused = operator.ask("POST", f"{_path(operator, schedule)}/pause", {})["schedule"]
    say(paused, _told(paused), as_json=as_json)


@schedules.command(epilog=example("hivemind schedules resume morning"))
@click.argument("schedule")
@options
def resume(schedule: str, url: str | None, as_json: bool) -> None:
    """Go on from now."""
    operator = Operator.at(url)
    resumed = operator.ask("POST", f"{_path(operator, schedule)}/resume", {})["schedule"]
    say(resumed, _told(resumed), as_json=as_json)


@schedules.command(epilog=example("hivemind schedules delete morning"))
@click.argument("schedule")
@options
def delete(schedule: str, url: str | None, as_json: bool) -> None:
    """Remove it with its ticks; what it made stays."""
    operator = Operator.at(url)
    operator.ask("DELETE", _path(operator, schedule))
    say({"deleted": schedule}, f"Deleted {schedule}.", as_json=as_json)


def _found(operator: Operator, name: str) -> Document:
    return operator.named(PATH, name, by="name", noun="schedule")


def _path(operator: Operator, name: str) -> str:
    return f"{PATH}/{quote(_found(operator, name)['id'])}"


def _told(schedule: Document) -> str:
    due = "paused" if schedule["paused"] else f"due next {when(schedule['next_run_at'])} UTC"
    return f"{schedule['id']}  {schedule['name']}  {due}"


def _told_times(document: Document) -> str:
    return "\n".join(moment["local"] for moment in document["times"])

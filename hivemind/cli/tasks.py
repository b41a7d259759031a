"""`hivemind tasks`: items of work, and having a profile do one."""

from pathlib import Path
from urllib.parse import quote

import click

from hivemind.cli import values
from hivemind.cli.examples import example
from hivemind.cli.listing import Listing
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, first_line, safe, say, show, when

PATH = "/api/v1/tasks"
_AN_ID = "01a2100f-39cd-7e9b-b6bb-1d2c33d4f8a1"


@click.group(cls=Listing)
def tasks() -> None:
    """Keep items of work, and have agents do them. Without a verb it lists them."""


@tasks.command("list", epilog=example("hivemind tasks list --state open"))
@click.option("--state", help="Only those: open, doing, done or dropped.")
@click.option("--source", help="Only those: local, or the system that they mirror.")
@click.option("--limit", default=50, show_default=True, help="How many.")
@options
def list_(
    url: str | None = None,
    as_json: bool = False,
    state: str | None = None,
    source: str | None = None,
    limit: int = 50,
) -> None:
    """Print the newest."""
    found = Operator.at(url).items(PATH, limit, state=state, source=source)
    columns = {
        "id": lambda row: row["id"],
        "state": lambda row: row["state"],
        "source": lambda row: row["source"],
        "updated": lambda row: when(row["updated_at"]),
        "title": lambda row: first_line(row["title"]),
    }
    show(found, columns, "There are no tasks.", as_json=as_json)


@tasks.command(epilog=example('hivemind tasks add "Paint the fence" "Green, both sides." --profile hello'))
@click.argument("title")
@click.argument("text", default="")
@click.option("--profile", help="Who is to do it.")
@options
def add(title: str, text: str, profile: str | None, url: str | None, as_json: bool) -> None:
    """Make a task."""
    body = {"title": title, "text": text} | ({"profile": profile} if profile else {})
    made = Operator.at(url).ask("POST", PATH, body)["task"]
    say(made, _told(made), as_json=as_json)


@tasks.command("show", epilog=example(f"hivemind tasks show {_AN_ID}"))
@click.argument("task_id")
@options
def show_(task_id: str, url: str | None, as_json: bool) -> None:
    """Print one."""
    found = Operator.at(url).ask("GET", f"{PATH}/{quote(task_id)}")["task"]
    say(found, _told(found), as_json=as_json)


@tasks.command("set", epilog=example(f"hivemind tasks set {_AN_ID} done"))
@click.argument("task_id")
@click.argument("state", type=click.Choice(["open", "doing", "done", "dropped"]))
@options
def set_(task_id: str, state: str, url: str | None, as_json: bool) -> None:
    """Say how a local task stands."""
    changed = Operator.at(url).ask("PATCH", f"{PATH}/{quote(task_id)}", {"state": state})["task"]
    say(changed, _told(changed), as_json=as_json)


@tasks.command(epilog=example(f'hivemind tasks edit {_AN_ID} --set "title=Paint the gate"'))
@click.argument("task_id")
@values.options
@options
def edit(task_id: str, given: tuple[str, ...], path: Path | None, url: str | None, as_json: bool) -> None:
    """Change title, text, profile or state; of a mirrored task only the profile."""
    body = values.read_some(given, path)
    changed = Operator.at(url).ask("PATCH", f"{PATH}/{quote(task_id)}", body)["task"]
    say(changed, _told(changed), as_json=as_json)


@tasks.command(epilog=example(f"hivemind tasks run {_AN_ID} --profile hello"))
@click.argument("task_id")
@click.option("--profile", help="Who does it, if not the task's own profile.")
@options
def run(task_id: str, profile: str | None, url: str | None, as_json: bool) -> None:
    """Have a profile do it."""
    body = {"profile": profile} if profile else {}
    made = Operator.at(url).ask("POST", f"{PATH}/{quote(task_id)}/run", body)["directive"]
    say(made, f"directive {made['id']}", as_json=as_json)


@tasks.command(epilog=example(f"hivemind tasks delete {_AN_ID}"))
@click.argument("task_id")
@options
def delete(task_id: str, url: str | None, as_json: bool) -> None:
    """Remove a local task."""
    Operator.at(url).ask("DELETE", f"{PATH}/{quote(task_id)}")
    say({"deleted": task_id}, f"Deleted {task_id}.", as_json=as_json)


def _told(task: Document) -> str:
    line = f"{task['id']}  {task['state']}  {safe(task['title'])}"
    return f"{line}\n{safe(task['text'])}" if task["text"] else line

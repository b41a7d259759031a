"""`hivemind tasks`: items of work, and having a profile do one."""

import json
from urllib.parse import quote

import click

from hivemind.cli.operator import Document, Operator, first_line, options, safe, show, when

PATH = "/api/v1/tasks"


@click.group(invoke_without_command=True)
@click.pass_context
def tasks(context: click.Context) -> None:
    """Items of work; without a verb, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@tasks.command("list")
@click.option("--state", help="Only those: open, doing, done or dropped.")
@click.option("--source", help="Only those: local, or the system that they mirror.")
@click.option("--limit", default=50, show_default=True)
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
    if as_json:
        click.echo(json.dumps(found))
        return
    columns = {
        "id": lambda row: row["id"],
        "state": lambda row: row["state"],
        "source": lambda row: row["source"],
        "updated": lambda row: when(row["updated_at"]),
        "title": lambda row: first_line(row["title"]),
    }
    show(found, columns, "There are no tasks.")


@tasks.command()
@click.argument("title")
@click.argument("text", default="")
@click.option("--profile", help="Who is to do it.")
@options
def add(title: str, text: str, profile: str | None, url: str | None, as_json: bool) -> None:
    """Make a task."""
    body = {"title": title, "text": text} | ({"profile": profile} if profile else {})
    _tell(Operator.at(url).ask("POST", PATH, body)["task"], as_json=as_json)


@tasks.command("show")
@click.argument("task_id")
@options
def show_(task_id: str, url: str | None, as_json: bool) -> None:
    """Print one."""
    _tell(Operator.at(url).ask("GET", f"{PATH}/{quote(task_id)}")["task"], as_json=as_json)


@tasks.command("set")
@click.argument("task_id")
@click.argument("state", type=click.Choice(["open", "doing", "done", "dropped"]))
@options
def set_(task_id: str, state: str, url: str | None, as_json: bool) -> None:
    """Say how a local task stands."""
    changed = Operator.at(url).ask("PATCH", f"{PATH}/{quote(task_id)}", {"state": state})
    _tell(changed["task"], as_json=as_json)


@tasks.command()
@click.argument("task_id")
@click.option("--profile", help="Who does it, if not the task's own profile.")
@options
def run(task_id: str, profile: str | None, url: str | None, as_json: bool) -> None:
    """Have a profile do it."""
    body = {"profile": profile} if profile else {}
    made = Operator.at(url).ask("POST", f"{PATH}/{quote(task_id)}/run", body)["directive"]
    click.echo(json.dumps(made) if as_json else f"directive {made['id']}")


@tasks.command()
@click.argument("task_id")
@click.option("--url", help="The server; by default where the settings make it listen.")
def delete(task_id: str, url: str | None) -> None:
    """Remove a local task."""
    Operator.at(url).ask("DELETE", f"{PATH}/{quote(task_id)}")


def _tell(task: Document, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(task))
        return
    click.echo(f"{task['id']}  {task['state']}  {safe(task['title'])}")
    if task["text"]:
        click.echo(safe(task["text"]))

"""`hivemind agents`: who there is and what they did, making them, talking to them, and ending them."""

import json
from collections.abc import Callable
from urllib.parse import quote

import click

from hivemind.cli.operator import Document, Operator, first_line, options, safe, show, when

PATH = "/api/v1/agents"
_ANSWER_SECONDS = 600.0


@click.group(invoke_without_command=True)
@click.pass_context
def agents(context: click.Context) -> None:
    """Agents; without a verb, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@agents.command("list")
@click.option("--state", help="Only those in this state, such as running or waiting_approval.")
@click.option("--profile", help="Only those of this profile.")
@click.option("--parent", help="Only those that work for this agent.")
@click.option("--limit", default=20, show_default=True)
@options
def list_(
    url: str | None = None,
    as_json: bool = False,
    state: str | None = None,
    profile: str | None = None,
    parent: str | None = None,
    limit: int = 20,
) -> None:
    """Print the newest."""
    found = Operator.at(url).items(PATH, limit, state=state, profile=profile, parent_id=parent)
    if as_json:
        click.echo(json.dumps(found))
        return
    columns = {
        "id": lambda row: row["id"],
        "profile": lambda row: row["profile"],
        "state": lambda row: row["state"],
        "changed": lambda row: when(row["updated_at"]),
        "note": lambda row: first_line(row["failure"] or row["note"]),
    }
    show(found, columns, "There are no agents.")


@agents.command("show")
@click.argument("agent_id")
@click.option("--turns", default=5, show_default=True, help="How many of the newest turns.")
@options
def show_(agent_id: str, turns: int, url: str | None, as_json: bool) -> None:
    """Print one with its turns: every step, call of a tool, verdict and cost."""
    found = Operator.at(url).ask("GET", f"{PATH}/{quote(agent_id)}?limit={turns}")
    if as_json:
        click.echo(json.dumps(found))
        return
    agent = found["agent"]
    click.echo(f"{agent['id']}  {agent['profile']}  {agent['state']}  {_usage(agent['usage'])}")
    for turn in reversed(found["items"]):
        _tell_turn(turn)


@agents.command()
@click.option("--profile", default="hello", show_default=True)
@click.option("--directive", help="What it is to do; without it, it waits for messages.")
@click.option("--parent", help="The agent that it works for.")
@click.option("--external", is_flag=True, help="An outside daemon runs it and reports.")
@options
def spawn(
    profile: str, directive: str | None, parent: str | None, external: bool, url: str | None, as_json: bool
) -> None:
    """Make an agent."""
    body: dict[str, object] = {"profile": profile}
    if directive is not None:
        body["directive"] = directive
    if parent is not None:
        body["parent_id"] = parent
    if external:
        body["external"] = True
    _tell(Operator.at(url).ask("POST", PATH, body), as_json=as_json)


@agents.command()
@click.argument("agent_id")
@click.argument("text")
@options
def message(agent_id: str, text: str, url: str | None, as_json: bool) -> None:
    """Say something to it and print the answer."""
    path = f"{PATH}/{quote(agent_id)}/messages"
    said = Operator.at(url).ask("POST", path, {"message": text}, timeout_seconds=_ANSWER_SECONDS)
    click.echo(json.dumps(said) if as_json else safe(said["reply"]))


def _wish(name: str, told: str) -> Callable[..., None]:
    @agents.command(name, help=told)
    @click.argument("agent_id")
    @click.option("--reason", help="Why; it goes into the audit log.")
    @options
    def carry_out(agent_id: str, reason: str | None, url: str | None, as_json: bool) -> None:
        body = {"reason": reason} if reason else {}
        _tell(Operator.at(url).ask("POST", f"{PATH}/{quote(agent_id)}/{name}", body), as_json=as_json)

    return carry_out


interrupt = _wish("interrupt", "End the turn that runs.")
pause = _wish("pause", "Let it begin nothing more until it is resumed.")
resume = _wish("resume", "Let it go on.")
stop = _wish("stop", "Let it finish its step and end.")
kill = _wish("kill", "End it now, with all agents below it.")


def _tell(answer: Document, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer))
    else:
        click.echo(f"{answer['agent']['id']}  {answer['agent']['state']}")


def _tell_turn(turn: Document) -> None:
    click.echo(f"\n{when(turn['admitted_at'])}  {turn['state']}  {turn['model']}  {_usage(turn['usage'])}")
    click.echo(f"  > {first_line(turn['message'])}")
    for step in turn["steps"]:
        click.echo(f"  {step['step']}. {first_line(step['text'])}  {_usage(step['usage'])}")
        for call in step["calls"]:
            arguments = safe(json.dumps(call["arguments"]))
            click.echo(f"     {call['tool']}({arguments})  {call['state']}: {first_line(call['outcome'])}")
            for asked in call["approvals"]:
                by = f" by {asked['answered_by']}" if asked["answered_by"] else ""
                click.echo(f"       {asked['kind']}: {asked['state']}{by}")
    if turn["reply"]:
        click.echo(f"  < {first_line(turn['reply'])}")
    if turn["error"]:
        click.echo(f"  {turn['error']['code']}: {first_line(turn['error']['message'])}")


def _usage(usage: Document | None) -> str:
    if usage is None:
        return ""
    cost = usage["cost_micros"] / 1_000_000
    return f"{usage['input_tokens']} in, {usage['output_tokens']} out, ${cost:.6f}"

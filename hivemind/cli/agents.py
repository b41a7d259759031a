"""`hivemind agents`: who there is and what they did, making them, talking to them, and ending them."""

import json
from collections.abc import Callable
from contextlib import aclosing
from urllib.parse import quote

import click
import trio

from hivemind.cli import exits, remote, tell
from hivemind.cli.examples import example
from hivemind.cli.listing import Listing
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, first_line, safe, say, show, when
from hivemind.errors import RemoteError

PATH = "/api/v1/agents"
_ANSWER_SECONDS = 600.0
_AN_ID = "01a20fc0-bb55-715d-a5d5-b3f91b1e1392"


@click.group(cls=Listing)
def agents() -> None:
    """See what agents do, talk to them, pause and end them. Without a verb it lists them."""


@agents.command("list", epilog=example("hivemind agents list --state waiting_approval"))
@click.option("--state", help="Only those in this state, such as running or waiting_approval.")
@click.option("--profile", help="Only those of this profile.")
@click.option("--parent", help="Only those that work for this agent.")
@click.option("--limit", default=20, show_default=True, help="How many.")
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
    columns = {
        "id": lambda row: row["id"],
        "profile": lambda row: row["profile"],
        "state": lambda row: row["state"],
        "changed": lambda row: when(row["updated_at"]),
        "note": lambda row: first_line(row["failure"] or row["note"]),
    }
    show(found, columns, "There are no agents.", as_json=as_json)


@agents.command("show", epilog=example(f"hivemind agents show {_AN_ID} --turns 1"))
@click.argument("agent_id")
@click.option("--turns", default=5, show_default=True, help="How many of the newest turns.")
@options
def show_(agent_id: str, turns: int, url: str | None, as_json: bool) -> None:
    """Print one with its turns: every step, call of a tool, verdict and cost."""
    found = Operator.at(url).ask("GET", f"{PATH}/{quote(agent_id)}?limit={turns}")
    agent = found["agent"]
    lines = [f"{agent['id']}  {agent['profile']}  {agent['state']}  {_usage(agent['usage'])}"]
    for turn in reversed(found["items"]):
        lines += _of_turn(turn)
    say(found, "\n".join(lines), as_json=as_json)


@agents.command(epilog=example('hivemind agents spawn --profile hello --directive "Write a haiku."'))
@click.option("--profile", default="hello", show_default=True, help="Whose persona it takes.")
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
    made = Operator.at(url).ask("POST", PATH, body)
    say(made, _line(made), as_json=as_json)


@agents.command(epilog=example(f'hivemind agents message {_AN_ID} "How far are you?"'))
@click.argument("agent_id")
@click.argument("text")
@options
def message(agent_id: str, text: str, url: str | None, as_json: bool) -> None:
    """Say something to it and print the answer."""
    path = f"{PATH}/{quote(agent_id)}/messages"
    said = Operator.at(url).ask("POST", path, {"message": text}, timeout_seconds=_ANSWER_SECONDS)
    say(said, safe(said["reply"]), as_json=as_json)


@agents.command(epilog=example(f"hivemind agents follow {_AN_ID}"))
@click.argument("agent_id")
@options
def follow(agent_id: str, url: str | None, as_json: bool) -> int:
    """Show the turn that is under way as it goes, or the last one: its text and its calls of tools."""
    return trio.run(_follow, Operator.at(url), f"{PATH}/{quote(agent_id)}/events", as_json)


async def _follow(operator: Operator, path: str, as_json: bool) -> int:
    rest, shown = b"", ""
    async with aclosing(operator.pieces(path, "text/event-stream")) as pieces:
        async for piece in pieces:
            *whole, rest = (rest + piece).split(b"\n\n")
            for name, data in filter(None, map(_event, whole)):
                if as_json:
                    click.echo(json.dumps({"event": name, **data}))
                else:
                    told, shown = _of_event(name, data, shown)
                    click.echo(told, nl=False)
                if name == "error":
                    return tell([remote.error_of(data) or RemoteError(answered_code="")])
    return exits.OK


def _event(text: bytes) -> tuple[str, Document] | None:
    """The name and data of a server-sent event; None for a comment that keeps the line open."""
    lines = dict(line.split(": ", 1) for line in text.decode().split("\n") if ": " in line)
    return (lines["event"], json.loads(lines["data"])) if "event" in lines else None


def _of_event(name: str, data: Document, shown: str) -> tuple[str, str]:
    """What a person sees of an event of a turn, and how much of the answer has then been shown."""
    match name:
        case "delta":
            return safe(data["text"]), shown + data["text"]
        case "reset":
            return "\n(the answer starts again)\n", ""
        case "tool":
            return f"\n{data['tool']}({safe(json.dumps(data['arguments']))})\n", shown
        case "tool_result":
            return f"{data['state']}: {first_line(data['outcome'])}\n", shown
        case "waiting" if data["effect_ids"]:
            return "\n(waits for a person: `hivemind approvals`)\n", shown
        case "waiting":
            return "\n(is paused)\n", shown
        case "reply":
            reply = data["reply"]
            left = reply.removeprefix(shown) if reply.startswith(shown) else f"\n{reply}"
            return f"{safe(left)}\n", reply
        case _:
            return "", shown


def _wish(name: str, told: str, reason_for: str) -> Callable[..., None]:
    shown = example(f'hivemind agents {name} {_AN_ID} --reason "{reason_for}"')

    @agents.command(name, help=told, epilog=shown)
    @click.argument("agent_id")
    @click.option("--reason", help="Why; it goes into the audit log.")
    @options
    def carry_out(agent_id: str, reason: str | None, url: str | None, as_json: bool) -> None:
        body = {"reason": reason} if reason else {}
        done = Operator.at(url).ask("POST", f"{PATH}/{quote(agent_id)}/{name}", body)
        say(done, _line(done), as_json=as_json)

    return carry_out


interrupt = _wish("interrupt", "End the turn that runs.", "answers the wrong question")
pause = _wish("pause", "Let it begin nothing more until it is resumed.", "until the prices are known")
resume = _wish("resume", "Let it go on.", "the prices are known")
stop = _wish("stop", "Let it finish its step and end.", "no longer needed")
kill = _wish("kill", "End it now, with all agents below it.", "runs wild")


def _line(answer: Document) -> str:
    return f"{answer['agent']['id']}  {answer['agent']['state']}"


def _of_turn(turn: Document) -> list[str]:
    lines = [
        f"\n{when(turn['admitted_at'])}  {turn['state']}  {turn['model']}  {_usage(turn['usage'])}"
        + (f"  attempts {turn['attempts']}" if turn["attempts"] > 1 else ""),
        f"  > {first_line(turn['message'])}",
    ]
    for step in turn["steps"]:
        lines.append(f"  {step['step']}. {first_line(step['text'])}  {_usage(step['usage'])}")
        for call in step["calls"]:
            arguments = safe(json.dumps(call["arguments"]))
            lines.append(f"     {call['tool']}({arguments})  {call['state']}: {first_line(call['outcome'])}")
            for asked in call["approvals"]:
                by = f" by {asked['answered_by']}" if asked["answered_by"] else ""
                lines.append(f"       {asked['kind']}: {asked['state']}{by}")
    if turn["reply"]:
        lines.append(f"  < {first_line(turn['reply'])}")
    if turn["error"]:
        lines.append(f"  {turn['error']['code']}: {first_line(turn['error']['message'])}")
    return lines


def _usage(usage: Document | None) -> str:
    if usage is None:
        return ""
    cost = usage["cost_micros"] / 1_000_000
    return f"{usage['input_tokens']} in, {usage['output_tokens']} out, ${cost:.6f}"

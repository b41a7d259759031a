"""`hivemind replay`: run a recorded turn again, or go on from one of its steps with another prompt or model.

Works on the database of the settings. With the embedded Postgres the server must not run: one folder has one
owner.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import cast
from uuid import UUID

import click
import trio
from rich.table import Table

from hivemind import killswitch
from hivemind.agents import Profiles, Resources, keeping
from hivemind.agents.fork import Forked, fork
from hivemind.agents.replay import Recording, Replayed, Unrecorded, load
from hivemind.agents.replay import replay as run_again
from hivemind.agents.switch import FRESH_SECONDS, Switch
from hivemind.agents.tools import fetch, knowledge, task
from hivemind.agents.tools.catalogue import Catalogue
from hivemind.agents.tools.toolbox import Toolbox
from hivemind.budgets import Prices
from hivemind.cli import exits
from hivemind.cli.examples import example
from hivemind.cli.output import console, safe, say
from hivemind.guards import Guards
from hivemind.outbound import HttpClient
from hivemind.persistence import Database, EmbeddedPostgres
from hivemind.providers import LocalModel, choose, connect, local_installed
from hivemind.settings import Settings
from hivemind.settings_load import load as load_settings
from hivemind.targets import Targets

_SHOWN_CHARS = 60


@click.command(
    epilog=example(
        "hivemind replay 01a20fc0-bb57-74b5-87b0-09fc049d0782",
        "hivemind replay 01a20fc0-bb57-74b5-87b0-09fc049d0782 --fork 2 --model gpt-4.1-mini",
    )
)
@click.argument("turn_id", type=click.UUID)
@click.option("--fork", "step", type=click.IntRange(1), help="Go on live from this call to the model.")
@click.option(
    "--prompt", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Another prompt."
)
@click.option("--model", help="Another model.")
@click.option("--live-tools", is_flag=True, help="Let the fork make calls of tools; else only recorded ones.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def replay(
    turn_id: UUID, step: int | None, prompt: Path | None, model: str | None, live_tools: bool, as_json: bool
) -> int:
    """Run the turn TURN_ID again from its recording, without asking a model or calling a tool.

    Says for each step whether today's code, guards and prompt give the same, and exits with 1 where they do
    not, or where a call is made that is not in the recording. With --fork it goes on live from that call:
    as a turn of its own, which is paid and audited like any other.
    """
    if step is None and (prompt or model or live_tools):
        raise click.UsageError("--prompt, --model and --live-tools belong to --fork")
    settings = load_settings().settings
    try:
        if step is None:
            recording, replayed = trio.run(_replay, settings, turn_id)
            if as_json:
                click.echo(json.dumps(_as_dict(recording, replayed), default=str))
            else:
                _show(recording, replayed)
            return 0 if replayed.same else exits.FAILED
        text = prompt.read_text("utf-8") if prompt else None
        forked = trio.run(_fork, settings, turn_id, step, text, model, live_tools)
    except Unrecorded as unrecorded:
        if as_json:
            click.echo(json.dumps({"same": False, "unrecorded": str(unrecorded)}))
        else:
            click.echo(
                f"{click.style('not recorded:', fg='red', bold=True)} {safe(str(unrecorded))}", err=True
            )
        return exits.FAILED
    say(_fork_as_dict(forked), _told(forked), as_json=as_json)
    return 0


async def _replay(settings: Settings, turn_id: UUID) -> tuple[Recording, Replayed]:
    async with _database(settings) as database:
        recording = await load(database, Profiles(database), turn_id)
    guards = await trio.to_thread.run_sync(Guards.load, settings.data.folder.resolve() / "guards")
    return recording, await run_again(recording, guards)


async def _fork(
    settings: Settings, turn_id: UUID, step: int, prompt: str | None, model: str | None, live_tools: bool
) -> Forked:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(_database(settings))
        guards = await trio.to_thread.run_sync(Guards.load, settings.data.folder.resolve() / "guards")
        client = await stack.enter_async_context(HttpClient())
        local = None
        if choose(settings.llm, local=local_installed()) == "local" and settings.llm.endpoint is None:
            local = LocalModel(settings.local_model, settings.data.folder.resolve() / "models")
            await local.start(lambda line: click.echo(line, err=True))
            stack.push_async_callback(local.stop)
        calls = connect(settings.llm, client, local_endpoint=(lambda: local.endpoint) if local else None)
        targets = Targets(tuple(map(ip_network, settings.outbound.allowed_networks)))
        outside = await stack.enter_async_context(HttpClient(targets=targets))
        profiles, switch = Profiles(database), Switch()
        resources = Resources(
            database,
            guards,
            calls,
            Prices(settings.budgets.prices),
            profiles,
            # What needs other agents or a server that is not here is not offered.
            Toolbox(
                {
                    fetch.NAME: fetch.builtin(outside),
                    knowledge.NAME: knowledge.builtin(database),
                    task.NAME: task.builtin(database, profiles),
                },
                Catalogue(),
            ),
            settings.lease_seconds,
            settings.guards.timeout_seconds,
            settings.local_model.context_tokens if local else None,
            switch,
        )
        recording = await load(database, profiles, turn_id)
        await killswitch.look(database, switch)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_look_on, database, switch)
                nursery.start_soon(keeping.keep_on, resources)
                forked = await fork(
                    resources, recording, step, prompt=prompt, model=model, live_tools=live_tools
                )
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from None
        else:
            return forked
        finally:
            await keeping.leave(resources)
    raise AssertionError


async def _look_on(database: Database, switch: Switch) -> None:
    while True:
        await trio.sleep(FRESH_SECONDS / 3)
        await killswitch.look(database, switch)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    async with AsyncExitStack() as stack:
        if settings.database.url is not None:
            conninfo = settings.database.url.get_secret_value()
        else:
            embedded = EmbeddedPostgres(settings.data.folder / "postgres")
            await embedded.start(lambda line: click.echo(line, err=True))
            stack.push_async_callback(embedded.stop)
            conninfo = embedded.conninfo
        yield await stack.enter_async_context(
            Database(conninfo, size=2, wait_seconds=settings.database.wait_seconds)
        )


def _as_dict(recording: Recording, replayed: Replayed) -> Mapping[str, object]:
    return {
        "turn_id": recording.turn_id,
        "state": recording.state,
        "model": recording.model,
        "incomplete": recording.incomplete,
        "error_code": recording.error_code,
        "same": replayed.same,
        "differences": replayed.differences,
        "steps": replayed.steps,
        "reply": replayed.reply,
    }


def _show(recording: Recording, replayed: Replayed) -> None:
    table = Table("step", "seconds", "tokens", "micro-$", "verdicts", "what", box=None)
    for step in replayed.steps:
        seconds = step["seconds"]
        rules = [str(found["rule"]) for found in cast("list[Mapping[str, object]]", step["findings"])]
        table.add_row(
            str(step["step"]),
            f"{seconds:.2f}" if isinstance(seconds, float) else "",
            f"{step['input_tokens']}+{step['output_tokens']}",
            str(step["cost_micros"]),
            ", ".join(rules) or "clean",
            _cut(step["text"]),
        )
        for call in cast("list[Mapping[str, object]]", step["calls"]):
            what = f"{call['tool']}({json.dumps(call['arguments'])})"
            table.add_row("", "", "", "", str(call["state"]), _cut(f"{what} -> {call['outcome']}"))
    console().print(table)
    click.echo(f"turn {recording.turn_id} with {recording.model}: {recording.error_code or recording.state}")
    for difference in replayed.differences:
        click.echo(safe(difference))
    click.echo("the same as then" if replayed.same else "NOT the same as then")


def _fork_as_dict(forked: Forked) -> Mapping[str, object]:
    return {
        "turn_id": forked.turn_id,
        "conversation_id": forked.conversation_id,
        "reply": forked.reply,
        "error": forked.error,
        "waits": forked.waits,
        "cost_micros": forked.usage.cost_micros,
        "difference": forked.difference,
    }


def _told(forked: Forked) -> str:
    said = [f"turn {forked.turn_id}, {forked.usage.cost_micros} micro-dollars"]
    if forked.waits:
        said.append(f"ended where a person would have to allow {', '.join(forked.waits)}")
    elif forked.error is not None:
        said.append(f"failed: {safe(forked.error)}")
    said.append(safe(forked.difference) or "the same as then")
    return "\n".join(said)


def _cut(text: object) -> str:
    line = " ".join(str(text).split())
    return safe(line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + "…")

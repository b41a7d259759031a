"""The command line: `hivemind VERB`. A module per verb, loaded only when its verb is used.

An expected error is told in two lines, what happened and what to do next, and ends with one of the codes in
`exits`. Anything else is a defect and keeps its traceback.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, NamedTuple, NoReturn

import click
from click.shell_completion import CompletionItem

from hivemind import __version__
from hivemind.cli import colours, exits
from hivemind.errors import HivemindError


class Verb(NamedTuple):
    """Where a command lives and what the list of commands says of it."""

    module: str
    name: str
    help: str


VERBS = {
    "serve": Verb("hivemind.cli.serve", "serve", "Start the server."),
    "migrate": Verb("hivemind.cli.migrate", "migrate", "Bring the database to this release."),
    "chat": Verb("hivemind.cli.chat", "chat", "Talk to an agent in the terminal."),
    "actors": Verb("hivemind.cli.actors", "actors", "Show the live tree of actors."),
    "supervision": Verb(
        "hivemind.cli.supervision", "supervision", "See and change how actors are restarted."
    ),
    "health": Verb("hivemind.cli.health", "health", "Ask a running server whether it is well."),
    "budget": Verb("hivemind.cli.budget", "budget", "Show the spending limits and when they run out."),
    "caps": Verb("hivemind.cli.caps", "caps", "Make and change the spending limits."),
    "costs": Verb("hivemind.cli.costs", "costs", "Sum up what was spent."),
    "audit": Verb("hivemind.cli.audit", "audit", "Read, verify and export the audit log."),
    "profiles": Verb("hivemind.cli.profiles", "profiles", "Make and edit the personas of agents."),
    "agents": Verb("hivemind.cli.agents", "agents", "See what agents do, talk to them, pause and end them."),
    "conversations": Verb("hivemind.cli.conversations", "conversations", "Read what was said, and erase it."),
    "approvals": Verb("hivemind.cli.approvals", "approvals", "Answer what agents may not do by themselves."),
    "directives": Verb(
        "hivemind.cli.directives", "directives", "Give agents jobs and see what came of them."
    ),
    "tasks": Verb("hivemind.cli.tasks", "tasks", "Keep items of work, and have agents do them."),
    "knowledge": Verb("hivemind.cli.knowledge", "knowledge", "Keep the documents that agents search."),
    "schedules": Verb("hivemind.cli.schedules", "schedules", "Have work done at given times."),
    "mcp": Verb("hivemind.cli.mcp", "mcp", "Offer the agents to an MCP client."),
    "replay": Verb("hivemind.cli.replay", "replay", "Run a turn again from its recording, or fork it."),
    "config": Verb("hivemind.cli.config", "config", "Show the settings and where they come from."),
    "doctor": Verb("hivemind.cli.doctor", "doctor", "Check this installation and say how to mend it."),
    "backup": Verb("hivemind.cli.backup", "backup", "Put the database and the keys into a file."),
    "restore": Verb("hivemind.cli.backup", "restore", "Make an installation from such a file."),
    "users": Verb("hivemind.cli.users", "users", "Look after the accounts of people."),
    "keys": Verb("hivemind.cli.keys", "keys", "Make, rotate and end keys for programs."),
    "kill-switch": Verb("hivemind.cli.killswitch", "kill_switch", "Switch off tools, turns or everything."),
    "guards": Verb("hivemind.cli.guards", "guards", "Run the guards over texts."),
    "completion": Verb("hivemind.cli.completion", "completion", "Make your shell complete all this."),
}


class Verbs(click.Group):
    """Knows its commands by name alone, so that `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order in which a newcomer needs them."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one command that is wanted."""
        del ctx
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        command: click.Command = getattr(importlib.import_module(verb.module), verb.name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As any group does, but a verb that is not known is answered with what may have been meant."""
        if args and self.get_command(ctx, args[0]) is None:
            near = get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " `hivemind --help` lists them."
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What a shell may complete, without loading any verb."""
        options = click.Command.shell_complete(self, ctx, incomplete)
        verbs = [(name, verb) for name, verb in VERBS.items() if name.startswith(incomplete)]
        return [CompletionItem(name, help=verb.help) for name, verb in verbs] + options

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without loading them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.help) for name, verb in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hivemind")
def hivemind() -> None:
    """A self-hosted, supervised, governed server for LLM agents.

    `hivemind VERB --help` shows what a verb does, with an example.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        result: Any = hivemind.main(
            arguments, prog_name="hivemind", standalone_mode=False, color=colours.wanted()
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone; nothing may be flushed at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.FAILED
    except HivemindError as error:
        return tell([error])
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
        if all(isinstance(error, KeyboardInterrupt) for error in errors):
            return exits.INTERRUPTED
        expected = [error for error in errors if isinstance(error, HivemindError)]
        if len(expected) < len(errors):
            raise
        return tell(expected)
    return result if isinstance(result, int) else 0


def tell(errors: list[HivemindError]) -> int:
    """Say what happened and what to do next, and return the exit code."""
    colour = colours.wanted()
    for error in errors:
        kind = exits.kind_of(error)
        code = getattr(error, "answered_code", "") or kind.code
        mark, dim = click.style("error:", fg="red", bold=True), click.style(f"({code})", dim=True)
        click.echo(f"{mark} {error.message} {dim}", err=True, color=colour)
        click.echo(f" next: {_next(error, kind)}", err=True, color=colour)
    return exits.code_of_all(errors)


def _next(error: HivemindError, kind: type[HivemindError]) -> str:
    if error.remedy:
        return error.remedy
    if error.retry_after_seconds is not None:
        return f"try again in {error.retry_after_seconds:.0f} s"
    return kind.advice


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error

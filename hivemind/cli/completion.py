"""`hivemind completion`: what a shell needs to complete verbs and options. Click writes it."""

import click
from click.shell_completion import get_completion_class

from hivemind.cli.examples import example

VARIABLE = "_HIVEMIND_COMPLETE"


@click.command(
    epilog=example(
        'eval "$(hivemind completion bash)"',
        'eval "$(hivemind completion zsh)"',
        "hivemind completion fish | source",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete `hivemind`; put the line below into its start-up file."""
    made = get_completion_class(shell)
    assert made is not None
    root = click.get_current_context().find_root().command
    writer = made(root, {}, "hivemind", VARIABLE)
    # Not its `source`: for bash that starts a bash to ask for its version.
    click.echo(writer.source_template % writer.source_vars(), nl=False)

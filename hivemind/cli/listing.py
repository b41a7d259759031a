"""The group of a noun: `hivemind tasks` is `hivemind tasks list`, with the same options."""

import click


class Listing(click.Group):
    """Where no verb is named, the first one of its kind is meant: to list, or else to show."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the verb in that was left out."""
        asks_for_help = bool(args) and args[0] in self.get_help_option_names(ctx)
        # A shell that completes parses too, and has to be told of every verb.
        if not (ctx.resilient_parsing or asks_for_help) and (not args or args[0].startswith("-")):
            args = ["list" if "list" in self.commands else "show", *args]
        return super().parse_args(ctx, args)

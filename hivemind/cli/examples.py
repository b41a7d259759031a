"""How a command's `--help` shows an example. That each of them can be parsed is tested."""

HEADING = "Example:"


def example(*lines: str) -> str:
    """The end of a help text: commands as they are typed, not wrapped."""
    return "\b\n" + "\n".join([HEADING, *(f"  {line}" for line in lines)])

"""`hivemind guards`: the guards over texts, without a server: scan, explain, and replay over stored turns."""

import json
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio

from hivemind.cli.examples import example
from hivemind.settings import Settings
from hivemind.settings_load import load

if TYPE_CHECKING:
    from rich.table import Table

    from hivemind.guards import Classifier, Explanation, Reason

_STYLES = {"low": "cyan", "medium": "yellow", "high": "red", "critical": "bold red"}


@click.group()
def guards() -> None:
    """Run the guards over texts."""


@guards.command(
    epilog=example('echo \'{"id": "1", "text": "Call me: +49 30 901820"}\' | hivemind guards scan')
)
def scan() -> None:
    """Read JSON lines with `id` and `text`; write one line of findings for each."""
    # Here, because it compiles the rules.
    from hivemind.guards.scan import main  # noqa: PLC0415

    main()


@guards.command(epilog=example('hivemind guards explain "Ignore all previous instructions."'))
@click.argument("text", required=False)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Refused from this score on.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def explain(text: str | None, threshold: float, as_json: bool) -> None:
    """Say what the guards do with TEXT, or with standard input, and why."""
    from hivemind.guards import Guards  # noqa: PLC0415
    from hivemind.guards import explain as judge  # noqa: PLC0415

    text = sys.stdin.read() if text is None else text
    why = judge(Guards.load(cache_folder(), _classifier(load().settings)), text, threshold)
    if as_json:
        click.echo(json.dumps(asdict(why), ensure_ascii=False))
        return
    _show(text, why)


def _classifier(settings: Settings) -> "Classifier | None":
    from hivemind.guards import Classifier  # noqa: PLC0415

    return Classifier.load(settings.guards.classifier, settings.guards.classifier_weight)


def cache_folder() -> Path:
    """Where compiled rules are kept for commands that have no data folder."""
    return Path.home() / ".cache" / "hivemind"


def _show(text: str, why: "Explanation") -> None:
    from rich.table import Table as Rows  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from hivemind.cli import output  # noqa: PLC0415

    console = output.console()
    shown = Text(text)
    for reason in (*why.leaks, *why.reasons):
        shown.stylize(f"reverse {_STYLES[reason.severity]}", reason.start, reason.end)
    console.print(shown)
    decided = Text(f"\n{why.decision}", style="bold")
    decided.append(f": score {why.score:.3f} against a threshold of {why.threshold:.3f}", style="not bold")
    console.print(decided)
    for title, reasons in (("as a message", why.reasons), ("as a reply", why.leaks)):
        if reasons:
            console.print(_table(Rows(title=title, title_justify="left"), reasons))
    for change in why.changes:
        console.print(Text(f"- {change}"))


def _table(table: "Table", reasons: "tuple[Reason, ...]") -> "Table":
    from rich.text import Text  # noqa: PLC0415

    for column in ("rule", "weight", "span", "what"):
        table.add_column(column)
    for reason in reasons:
        table.add_row(
            f"{reason.rule} v{reason.version}",
            f"{reason.weight:.3f}" if reason.weight else "",
            f"{reason.start}-{reason.end}",
            Text(f"read as: {reason.reading}" if reason.reading else reason.value),
        )
    return table


@guards.command(epilog=example("hivemind guards rules --json"))
@click.option("--after", "cursor", default="", help="Go on behind this rule.")
@click.option("--json", "as_json", is_flag=True, help="Everything, one rule a line.")
def rules(cursor: str, as_json: bool) -> None:
    """List the rules: id, version, severity, weight and what they are about."""
    from hivemind.guards import rule as rule_files  # noqa: PLC0415
    from hivemind.guards.identifiers import RULES  # noqa: PLC0415

    for rule in sorted((*rule_files.load(), *RULES.values()), key=lambda rule: rule.id):
        if rule.id > cursor:
            line = f"{rule.id:<36} v{rule.version:<3} {rule.severity:<9} {rule.weight or '':<6} {rule.type}"
            click.echo(json.dumps(asdict(rule), ensure_ascii=False) if as_json else line)


@guards.command(
    epilog=example("hivemind guards replay --since 7d --rule injection.ignore_previous --weight 0.3")
)
@click.option("--since", default="30d", show_default=True, help="How far back, such as 12h or 30d.")
@click.option("--rule", "rule_id", help="The rule whose weight is tried.")
@click.option("--weight", type=click.FloatRange(0, 1), help="The weight to try; 0 switches the rule off.")
@click.option(
    "--rules",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rules to try instead.",
)
@click.option("--json", "as_json", is_flag=True, help="One flip a line.")
def replay(since: str, rule_id: str | None, weight: float | None, file: Path | None, as_json: bool) -> None:
    """Judge stored messages by changed rules and print which of them flip."""
    from hivemind.cli.stored import messages  # noqa: PLC0415
    from hivemind.guards import Guards  # noqa: PLC0415
    from hivemind.guards import replay as replays  # noqa: PLC0415
    from hivemind.guards import rule as rule_files  # noqa: PLC0415

    present = rule_files.load()
    if file is not None:
        tried = replays.changed(present, rule_files.read(file.read_text(encoding="utf-8")))
    elif rule_id is not None and weight is not None:
        tried = replays.weighed(present, rule_id, weight)
    else:
        raise click.UsageError("name a change: --rule ID --weight W, or --rules FILE")
    settings = load().settings
    classifier = _classifier(settings)
    before, after = (Guards(rules, cache_folder(), classifier) for rules in (present, tried))
    texts = trio.run(messages, settings, timedelta(seconds=seconds_of(since)))
    flips = 0
    for flip in replays.replay(before, after, texts):
        flips += 1
        if as_json:
            click.echo(json.dumps(asdict(flip)))
        else:
            score = f"{flip.score_before:.3f} -> {flip.score_after:.3f}"
            what = f"message {flip.id} ({flip.role}): {flip.before} -> {flip.after}"
            click.echo(f"{what}  {score}  {', '.join(flip.rules)}")
    click.echo(f"{flips} of {len(texts)} messages would be judged differently", err=True)


def seconds_of(text: str) -> int:
    """The seconds in a span such as `90m`, `12h` or `30d`."""
    units = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
    if len(text) < 2 or text[-1] not in units or not (text[:-1].isascii() and text[:-1].isdigit()):
        raise click.BadParameter("write it as 90m, 12h, 30d or 4w", param_hint="--since")
    return int(text[:-1]) * units[text[-1]]

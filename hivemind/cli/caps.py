"""`hivemind caps`: make and change the spending limits; `budget` shows how they stand."""

from urllib.parse import quote

import click

from hivemind.cli.examples import example
from hivemind.cli.listing import Listing
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, dollars, say, show

PATH = "/api/v1/caps"
_ALL = 10_000
_AN_ID = "01a2100f-39cd-7e9b-b6bb-1d2c33d4f8a1"
_SOFT = click.Choice(["warn", "cheaper", "ask"])


class Dollars(click.ParamType[int]):
    """An amount as people write it, `2.50` or `$2.50`, kept in micro-dollars."""

    name = "dollars"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Micro-dollars of what was written."""
        try:
            amount = float(str(value).removeprefix("$"))
        except ValueError:
            amount = -1
        if not 0 <= amount < 1e9:
            self.fail(f"{value!r} is not an amount: write it as 2.50", param, ctx)
        return round(amount * 1_000_000)


@click.group(cls=Listing)
def caps() -> None:
    """Make and change the spending limits. Without a verb it lists them."""


@caps.command("list", epilog=example("hivemind caps list"))
@options
def list_(url: str | None, as_json: bool) -> None:
    """Print all of them with their ids."""
    found = Operator.at(url).items(PATH, _ALL)
    columns = {
        "id": lambda row: row["id"],
        "scope": lambda row: row["scope"],
        "subject": lambda row: row["name"] or row["subject"],
        "period": lambda row: row["period"],
        "limit": lambda row: dollars(row["limit_micros"]),
        "spent": lambda row: dollars(row["window"]["spent_micros"]) if row["window"] else "",
        "soft": lambda row: f"{row['soft_share']:.0%} {row['on_soft']}" if row["soft_share"] else "",
    }
    show(found, columns, "There is no cap: nothing limits what is spent.", as_json=as_json)


@caps.command(epilog=example("hivemind caps add install day 5.00 --soft-share 0.8 --on-soft ask"))
@click.argument("scope", type=click.Choice(["install", "profile", "agent", "schedule", "caller"]))
@click.argument("period", type=click.Choice(["turn", "day", "month"]))
@click.argument("limit", type=Dollars())
@click.option("--subject", help="The id of whom it is for; '*' is everyone, each by themselves.")
@click.option("--soft-share", type=click.FloatRange(0, 1), help="From this share on --on-soft holds.")
@click.option("--on-soft", type=_SOFT, help="What happens at the soft share; warn, if not said.")
@options
def add(
    scope: str,
    period: str,
    limit: int,
    subject: str | None,
    soft_share: float | None,
    on_soft: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Make a cap: SCOPE, PERIOD, and the LIMIT in dollars."""
    body: dict[str, object] = {"scope": scope, "period": period, "limit_micros": limit}
    if subject is not None:
        body["subject"] = subject
    made = Operator.at(url).ask("POST", PATH, body | _soft(soft_share, on_soft))["cap"]
    say(made, _told(made), as_json=as_json)


@caps.command("set", epilog=example(f"hivemind caps set {_AN_ID} --limit 7.50"))
@click.argument("cap_id")
@click.option("--limit", type=Dollars(), help="In dollars.")
@click.option("--soft-share", type=click.FloatRange(0, 1), help="From this share on --on-soft holds.")
@click.option("--on-soft", type=_SOFT, help="What happens at the soft share.")
@options
def set_(
    cap_id: str,
    limit: int | None,
    soft_share: float | None,
    on_soft: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Change a cap."""
    body = _soft(soft_share, on_soft) | ({} if limit is None else {"limit_micros": limit})
    if not body:
        raise click.UsageError("name what is to change: --limit, --soft-share or --on-soft")
    changed = Operator.at(url).ask("PATCH", f"{PATH}/{quote(cap_id)}", body)["cap"]
    say(changed, _told(changed), as_json=as_json)


@caps.command(epilog=example(f"hivemind caps acknowledge {_AN_ID}"))
@click.argument("cap_id")
@click.option("--subject", help="For whom, where the cap is for everyone.")
@click.option("--until", help="A time such as 2026-12-24T18:00:00+01:00; else until its window ends.")
@options
def acknowledge(cap_id: str, subject: str | None, until: str | None, url: str | None, as_json: bool) -> None:
    """Let turns go on past the soft share."""
    given = {"subject": subject, "until": until}
    body = {name: value for name, value in given.items() if value is not None}
    done = Operator.at(url).ask("POST", f"{PATH}/{quote(cap_id)}/acknowledge", body)
    say(done, f"{cap_id} is acknowledged", as_json=as_json)


@caps.command(epilog=example(f"hivemind caps delete {_AN_ID}"))
@click.argument("cap_id")
@options
def delete(cap_id: str, url: str | None, as_json: bool) -> None:
    """Remove a cap."""
    Operator.at(url).ask("DELETE", f"{PATH}/{quote(cap_id)}")
    say({"deleted": cap_id}, f"Deleted {cap_id}.", as_json=as_json)


def _soft(share: float | None, on_soft: str | None) -> dict[str, object]:
    given = {"soft_share": share, "on_soft": on_soft}
    return {name: value for name, value in given.items() if value is not None}


def _told(cap: Document) -> str:
    whose = f"{cap['scope']} {cap['name'] or cap['subject']}".strip()
    return f"{cap['id']}  {whose} / {cap['period']}  {dollars(cap['limit_micros'])}"

"""`hivemind users`: the accounts of people, and where they are signed in."""

import secrets
import sys
from urllib.parse import quote

import click

from hivemind.auth import ROLES
from hivemind.cli.examples import example
from hivemind.cli.listing import Listing
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, fields, safe, say, show, table_text, when

PATH = "/api/v1/users"
_PASSWORD_BYTES = 12
_stdin = click.option(
    "--password-stdin", is_flag=True, help="Take the password from standard input instead of making one up."
)


@click.group(cls=Listing)
def users() -> None:
    """Look after the accounts of people. Without a verb it lists them."""


@users.command("list", epilog=example("hivemind users list"))
@click.option("--limit", default=500, show_default=True, help="How many.")
@options
def list_(url: str | None = None, as_json: bool = False, limit: int = 500) -> None:
    """Print them by name."""
    columns = {
        "name": lambda row: row["username"],
        "role": lambda row: row["role"],
        "state": lambda row: "disabled" if row["disabled_at"] else "active",
        "signed in": lambda row: when(row["signed_in_at"]),
        "e-mail": lambda row: row["email"],
        "signs in at": lambda row: row["issuer"],
    }
    nothing = "There are no accounts: whoever opens the web UI first makes the first one."
    show(Operator.at(url).items(PATH, limit), columns, nothing, as_json=as_json)


@users.command("show", epilog=example("hivemind users show ada"))
@click.argument("user")
@options
def show_(user: str, url: str | None, as_json: bool) -> None:
    """Print one, and the browsers it is signed in with."""
    server = Operator.at(url)
    found = _found(server, user)
    sessions = server.ask("GET", f"{_path(found)}/sessions")["items"]
    columns = {
        "session": lambda row: row["id"],
        "seen": lambda row: when(row["seen_at"]),
        "ends": lambda row: when(row["expires_at"]),
        "browser": lambda row: row["user_agent"],
    }
    browsers = table_text(sessions, columns) if sessions else "Not signed in anywhere."
    say({**found, "sessions": sessions}, f"{fields(found)}\n\n{browsers}", as_json=as_json)


@users.command(epilog=example("hivemind users add grace --role operator"))
@click.argument("username")
@click.option(
    "--role", type=click.Choice(ROLES), default="viewer", show_default=True, help="What they may do."
)
@click.option("--email", help="An address, if you like.")
@click.option("--issuer", help="Where they sign in, in place of a password.")
@click.option("--subject", help="Who they are there.")
@_stdin
@options
def add(
    username: str,
    role: str,
    email: str | None,
    issuer: str | None,
    subject: str | None,
    password_stdin: bool,
    url: str | None,
    as_json: bool,
) -> None:
    """Make an account. Its password is made up and printed once."""
    if (issuer is None) != (subject is None) or (issuer is not None and password_stdin):
        raise click.UsageError("name --issuer and --subject, or neither of them and take a password")
    body = {"username": username, "role": role} | ({"email": email} if email else {})
    if issuer is not None:
        made = Operator.at(url).ask("POST", PATH, body | {"issuer": issuer, "subject": subject})["user"]
        say(made, _told(made), as_json=as_json)
        return
    password = _password(password_stdin)
    made = Operator.at(url).ask("POST", PATH, body | {"password": password})["user"]
    _tell_password(made, password, password_stdin, as_json=as_json)


@users.command(epilog=example("hivemind users role grace admin"))
@click.argument("user")
@click.argument("role", type=click.Choice([*ROLES, "by-groups"]))
@options
def role(user: str, role: str, url: str | None, as_json: bool) -> None:
    """Give another role; by-groups leaves it to the identity provider. What is open ends."""
    _change(url, user, {"bound": False} if role == "by-groups" else {"role": role}, as_json=as_json)


@users.command(epilog=example("hivemind users disable grace"))
@click.argument("user")
@options
def disable(user: str, url: str | None, as_json: bool) -> None:
    """Keep somebody out; what is open ends."""
    _change(url, user, {"disabled": True}, as_json=as_json)


@users.command(epilog=example("hivemind users enable grace"))
@click.argument("user")
@options
def enable(user: str, url: str | None, as_json: bool) -> None:
    """Let somebody in again."""
    _change(url, user, {"disabled": False}, as_json=as_json)


@users.command(epilog=example("hivemind users password grace"))
@click.argument("user")
@_stdin
@options
def password(user: str, password_stdin: bool, url: str | None, as_json: bool) -> None:
    """Give another password, made up and printed once; what is open ends."""
    server, new = Operator.at(url), _password(password_stdin)
    changed = server.ask("PATCH", _path(_found(server, user)), {"password": new})["user"]
    _tell_password(changed, new, password_stdin, as_json=as_json)


@users.command("sign-out", epilog=example("hivemind users sign-out grace"))
@click.argument("user")
@click.argument("session_id", required=False)
@options
def sign_out(user: str, session_id: str | None, url: str | None, as_json: bool) -> None:
    """End one session of somebody, or all."""
    server = Operator.at(url)
    place = f"{_path(_found(server, user))}/sessions"
    ended = [session_id] if session_id else [one["id"] for one in server.ask("GET", place)["items"]]
    for one in ended:
        server.ask("DELETE", f"{place}/{quote(one)}")
    say({"ended": ended}, f"Ended {len(ended)} sessions of {safe(user)}.", as_json=as_json)


@users.command(epilog=example("hivemind users delete grace"))
@click.argument("user")
@options
def delete(user: str, url: str | None, as_json: bool) -> None:
    """Remove an account with its sessions."""
    server = Operator.at(url)
    server.ask("DELETE", _path(_found(server, user)))
    say({"deleted": user}, f"Deleted {safe(user)}.", as_json=as_json)


def _change(url: str | None, user: str, body: Document, *, as_json: bool) -> None:
    server = Operator.at(url)
    changed = server.ask("PATCH", _path(_found(server, user)), body)["user"]
    say(changed, _told(changed), as_json=as_json)


def _found(server: Operator, name: str) -> Document:
    return server.named(PATH, name, by="username", noun="user")


def _path(user: Document) -> str:
    return f"{PATH}/{quote(user['id'])}"


def _password(from_stdin: bool) -> str:
    return sys.stdin.readline().rstrip("\r\n") if from_stdin else secrets.token_urlsafe(_PASSWORD_BYTES)


def _tell_password(user: Document, password: str, known: bool, *, as_json: bool) -> None:
    """The password alone on standard output, for a pipe; what belongs to it beside."""
    if known:
        say(user, _told(user), as_json=as_json)
        return
    if not as_json:
        click.echo(f"{_told(user)}. The password is shown this once:", err=True)
    say({**user, "password": password}, password, as_json=as_json)


def _told(user: Document) -> str:
    state = ", disabled" if user["disabled_at"] else ""
    where = f", at {safe(user['issuer'])}" if user["issuer"] else ""
    return f"{user['username']} is {user['role']}{state}{where}"

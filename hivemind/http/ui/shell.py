"""Renders a page: the templates, what each of them is given, and what the browser may do on it."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from hivemind import __version__
from hivemind.auth import Identity
from hivemind.http.ui.assets import Assets
from hivemind.http.ui.pages import Page, seen_by

_DIRECTIVES = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "font-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
)


def headers(framed_by: Sequence[str] = ()) -> dict[str, str]:
    """What a page tells the browser to allow; `framed_by` are the sites that may show it in a frame."""
    ancestors = " ".join(framed_by) or "'none'"
    told = {
        "Content-Security-Policy": "; ".join((*_DIRECTIVES, f"frame-ancestors {ancestors}")),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        # A page names who is signed in: what a proxy or the back button keeps is not theirs any more.
        "Cache-Control": "no-store",
    }
    if not framed_by:
        told["X-Frame-Options"] = "DENY"
    return told


class Shell:
    """A value that a template does not get is an error, and every value is escaped."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets
        self._environment = Environment(
            loader=PackageLoader(__package__),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            asset=assets.address, has_asset=assets.__contains__, version=__version__
        )

    def render(self, page: Page, who: Identity | None, given: Mapping[str, object]) -> str:
        """The HTML of a page for somebody."""
        navigation = seen_by(who.role if who else None)
        template = self._environment.get_template(f"{page.name}.html")
        return template.render(page=page, who=who, navigation=navigation, **given)


def next_page(wanted: str | None) -> str:
    """Where to go after signing in: a page of our own, whatever an address says."""
    if not wanted or not wanted.startswith("/") or wanted.startswith(("//", "/\\")):
        return "/"
    if any(ord(character) < 33 or character == "\\" for character in wanted):
        return "/"
    parts = urlsplit(wanted)
    return wanted if not parts.scheme and not parts.netloc else "/"

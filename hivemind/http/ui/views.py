"""The routes of the pages and of their static files.

A page itself holds nothing that its visitor may not see: data comes from the JSON API with the visitor's own
rights. Who is not signed in is sent to sign in, and then to where they wanted to be.
"""

from urllib.parse import urlencode

from quart import Blueprint, Response, redirect, request
from werkzeug.exceptions import NotFound as NoSuchAddress
from werkzeug.wrappers import Response as Redirection

from hivemind.agents import Profiles
from hivemind.auth import Identity, accounts
from hivemind.errors import NotAuthenticated, NotFound, NotPermitted
from hivemind.http import problems
from hivemind.http.access import Access, whole
from hivemind.http.ui import widget
from hivemind.http.ui.assets import Assets
from hivemind.http.ui.pages import PAGES, Page
from hivemind.http.ui.shell import Shell, headers, next_page
from hivemind.persistence import Database

DENIED = Page("", "denied", "Not for this account")
MISSING = Page("", "missing", "Nothing here")
NOT_PAGES = ("/api/", "/v1/", "/auth/", "/static/", "/mcp")
# What an address may have a page of ours say, by the code of an error.
REFUSED = {
    "sign_in_failed": "That sign-in did not work. Begin again; if it goes on, the server's log says why.",
    "identity_provider_unavailable": "The identity provider does not answer as it should. Try again soon.",
    "not_permitted": "The provider knows you, but you may not use this server. Ask an admin for a role.",
    "rate_limited": "Too many sign-ins that failed. Wait a minute, then try again.",
    "conflict": "Your name is taken here by other accounts. Ask an admin to make one for you.",
}
CHAT, SIGN_IN, FIRST_RUN, CONTRACT = "chat", "sign-in", "first-run", "api-docs"


def routes(database: Database, profiles: Profiles, access: Access, provider: str | None) -> Blueprint:
    """The routes as Quart takes them; `provider`: the name of where people may sign in besides."""
    blueprint = Blueprint("ui", __name__)
    assets = Assets.load()
    shell = Shell(assets)
    _files(blueprint, assets)
    widget.add(blueprint, profiles, shell, assets)
    views = Views(database, profiles, access, shell, provider)
    for page in PAGES:
        _show(blueprint, views, page)
    blueprint.register_error_handler(NotAuthenticated, views.lead_to_sign_in)
    blueprint.register_error_handler(NotPermitted, views.deny)
    blueprint.app_errorhandler(NoSuchAddress)(views.miss)
    return blueprint


class Views:
    """Answers with whole pages: what the gate refuses becomes a way on, or a page that says why."""

    def __init__(
        self, database: Database, profiles: Profiles, access: Access, shell: Shell, provider: str | None
    ) -> None:
        self._database = database
        self._profiles = profiles
        self._access = access
        self._shell = shell
        self._provider = provider

    async def show(self, page: Page, params: dict[str, object]) -> Response | Redirection:
        """A page, or the one that stands in its place now."""
        who = await self._visitor()
        onward = next_page(request.args.get("next"))
        if page.name in (SIGN_IN, FIRST_RUN):
            first_run = await accounts.is_first_run(self._database)
            if who is not None:
                return redirect(onward, 303)
            if first_run != (page.name == FIRST_RUN):
                asked = request.query_string.decode("latin-1")
                there = f"/{FIRST_RUN if first_run else SIGN_IN}"
                return redirect(f"{there}?{asked}" if asked else there, 303)
        given: dict[str, object] = {"next": onward, "params": params}
        if page.name in (SIGN_IN, FIRST_RUN):
            given |= {"provider": self._provider, "refused": REFUSED.get(request.args.get("refused", ""))}
        if page.name == CONTRACT:
            from hivemind.http.contract.document import GROUPS, role_of  # noqa: PLC0415 it describes the pages

            given |= {"groups": GROUPS, "role_of": role_of}
        if page.name == CHAT:
            given["profiles"] = [profile for profile in await self._profiles.all() if profile.public]
        return _html(self._shell.render(page, who, given))

    async def lead_to_sign_in(self, _: NotAuthenticated) -> Redirection:
        """Say nothing of the page to who is not signed in, and remember that they wanted it."""
        if await accounts.is_first_run(self._database):
            return redirect(f"/{FIRST_RUN}", 303)
        wanted = request.full_path.rstrip("?")
        query = f"?{urlencode({'next': wanted})}" if wanted != "/" else ""
        return redirect(f"/{SIGN_IN}{query}", 303)

    async def deny(self, error: NotPermitted) -> Response:
        """Say which role it takes."""
        return _html(self._shell.render(DENIED, await self._visitor(), {"said": error.message}), 403)

    async def miss(self, error: NoSuchAddress) -> Response:
        """A person who has come to a wrong address sees a page; whatever else asks is told as always."""
        accepts_html = request.accept_mimetypes.best_match(("application/json", "text/html")) == "text/html"
        if not accepts_html or request.path.startswith(NOT_PAGES):
            return problems.http_response(error)
        return _html(self._shell.render(MISSING, None, {}), 404)

    async def _visitor(self) -> Identity | None:
        try:
            return await self._access.of(whole(request))
        except NotAuthenticated:
            return None


def _show(blueprint: Blueprint, views: Views, page: Page) -> None:
    path = page.path.replace("{", "<").replace("}", ">")

    @blueprint.get(path, endpoint=page.name)
    async def shown(**params: object) -> Response | Redirection:
        return await views.show(page, params)


def _files(blueprint: Blueprint, assets: Assets) -> None:
    @blueprint.get("/static/<digest>/<name>")
    async def static_file(digest: str, name: str) -> Response:
        asset = assets.get(name)
        if asset is None:
            raise NotFound("There is no such file")
        packs = asset.packed is not None and request.accept_encodings["gzip"] > 0
        response = Response(asset.packed if packs else asset.body, content_type=asset.kind)
        response.set_etag(f"{asset.tag}.gz" if packs else asset.tag)
        if packs:
            response.headers["Content-Encoding"] = "gzip"
        response.vary.add("Accept-Encoding")
        response.headers["Cache-Control"] = assets.keeping(digest)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return await response.make_conditional(request)

    @blueprint.get("/favicon.ico")
    async def favicon() -> Redirection:
        return redirect(assets.address("favicon.svg"), 308)


def _html(text: str, status: int = 200) -> Response:
    return Response(text, status, headers(), content_type="text/html; charset=utf-8")

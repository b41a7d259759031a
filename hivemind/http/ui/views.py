"""The routes of the pages and of their static files.

A page itself holds nothing that its visitor may not see: data comes from the JSON API with the visitor's own
rights. Who is not signed in is sent to sign in, and then to where they wanted to be.
"""

from urllib.parse import urlencode

from quart import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as WerkzeugResponse

from hivemind.auth import Identity, accounts
from hivemind.errors import NotAuthenticated, NotFound, NotPermitted
from hivemind.http.access import Access, whole
from hivemind.http.ui.assets import Assets
from hivemind.http.ui.pages import PAGES, Page
from hivemind.http.ui.shell import Shell, headers, next_page
from hivemind.persistence import Database

DENIED = Page("", "denied", "Not for this account")


def routes(database: Database, access: Access) -> Blueprint:
    """The routes as Quart takes them."""
    blueprint = Blueprint("ui", __name__)
    assets = Assets.load()
    shell = Shell(assets)

    @blueprint.get("/static/<digest>/<name>")
    async def static_file(digest: str, name: str) -> Response:
        asset = assets.get(name)
        if asset is None:
            raise NotFound("There is no such file")
        response = Response(asset.body, content_type=asset.kind)
        response.set_etag(asset.tag)
        response.headers["Cache-Control"] = assets.keeping(digest)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return await response.make_conditional(request)

    @blueprint.get("/favicon.ico")
    async def favicon() -> WerkzeugResponse:
        return redirect(assets.address("favicon.svg"), 308)

    @blueprint.errorhandler(NotAuthenticated)
    async def sign_in(_: NotAuthenticated) -> WerkzeugResponse:
        if await accounts.is_first_run(database):
            return redirect("/first-run", 303)
        wanted = request.full_path.rstrip("?")
        return redirect(f"/sign-in?{urlencode({'next': wanted})}" if wanted != "/" else "/sign-in", 303)

    @blueprint.errorhandler(NotPermitted)
    async def denied(error: NotPermitted) -> Response:
        text = shell.render(DENIED, await _visitor(access), {"said": error.message})
        return _html(text, 403)

    async def show(page: Page, **params: object) -> Response | WerkzeugResponse:
        who = await _visitor(access)
        if page.name in ("sign-in", "first-run"):
            first_run = await accounts.is_first_run(database)
            if first_run != (page.name == "first-run"):
                return redirect("/first-run" if first_run else "/", 303)
            if who is not None:
                return redirect(next_page(request.args.get("next")), 303)
        given = {"next": next_page(request.args.get("next")), "params": params}
        return _html(shell.render(page, who, given))

    def at(page: Page) -> None:
        @blueprint.get(_rule(page.path), endpoint=page.name)
        async def shown(**params: object) -> Response | WerkzeugResponse:
            return await show(page, **params)

    for page in PAGES:
        at(page)
    return blueprint


async def _visitor(access: Access) -> Identity | None:
    try:
        return await access.of(whole(request))
    except NotAuthenticated:
        return None


def _rule(path: str) -> str:
    """`/agents/{id}` as Quart writes it."""
    return path.replace("{", "<").replace("}", ">")


def _html(text: str, status: int = 200) -> Response:
    return Response(text, status, headers(), content_type="text/html; charset=utf-8")

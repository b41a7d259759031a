"""The chat widget for pages of other sites: a script for these, and the page that it shows in a frame.

Which sites may frame it is said by the profile (`widget_origins`) and held by the visitor's browser. The page
talks to the public chat like any other client: limits, guards and caps are those of its profile.
"""

from quart import Blueprint, Response, request

from hivemind.agents import Profiles
from hivemind.errors import NotFound
from hivemind.http.ui.assets import ASK_AGAIN, Assets
from hivemind.http.ui.pages import Page
from hivemind.http.ui.shell import Shell, headers

FRAME = Page("/widget/{slug}", "widget", "Chat")


def add(blueprint: Blueprint, profiles: Profiles, shell: Shell, assets: Assets) -> None:
    """Add the routes."""
    script = assets.get("embed.js")
    assert script is not None

    @blueprint.get("/widget.js")
    async def widget_script() -> Response:
        response = Response(script.body, content_type=script.kind)
        response.set_etag(script.tag)
        response.headers["Cache-Control"] = ASK_AGAIN
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return await response.make_conditional(request)

    @blueprint.get("/widget/<slug>")
    async def widget_frame(slug: str) -> Response:
        profile = await profiles.by_slug(slug)
        if not profile.public or not profile.widget_origins:
            raise NotFound(f"There is no agent named {slug!r}")
        text = shell.render(FRAME, None, {"profile": profile})
        told = headers(("'self'", *profile.widget_origins))
        return Response(text, 200, told, content_type="text/html; charset=utf-8")

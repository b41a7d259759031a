"""The pages for people and what they are made of: described from the table that the navigation has."""

from hivemind.http.contract.operation import Answer, Group, Operation, Parameter
from hivemind.http.ui.pages import PAGES

HTML = "text/html"
_PAGE = {
    200: Answer("The page.", {HTML: str}),
    303: Answer("Another page comes first: signing in, or the first run."),
    403: Answer("A page that says which role it takes.", {HTML: str}),
}

GROUP = Group(
    "Pages",
    "The web UI. Who is not signed in is led there and back.",
    (
        *(Operation(f"GET {page.path}", page.title, _PAGE) for page in PAGES),
        Operation(
            "GET /static/{digest}/{name}",
            "What the pages need",
            {200: Answer("The file.", {"*/*": str}), 304: Answer("As you have it.")},
            query=(Parameter("If-None-Match", str, "The `ETag` of the file at hand.", "header"),),
        ),
        Operation(
            "GET /widget.js",
            "The script that puts a chat widget on a page of another site",
            {200: Answer("The script.", {"text/javascript": str}), 304: Answer("As you have it.")},
            query=(Parameter("If-None-Match", str, "The `ETag` of the script at hand.", "header"),),
        ),
        Operation(
            "GET /widget/{slug}",
            "What is in the widget's frame",
            {200: Answer("The page.", {HTML: str})},
            told="Only the sites of the profile's `widget_origins` may frame it; without any there is none.",
        ),
        Operation("GET /favicon.ico", "The icon", {308: Answer("Where it is.")}),
    ),
)

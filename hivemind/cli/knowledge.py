"""`hivemind knowledge`: the documents that agents search."""

from pathlib import Path
from urllib.parse import quote, urlencode

import click

from hivemind.agents.tools.readable import readable
from hivemind.cli.examples import example
from hivemind.cli.listing import Listing
from hivemind.cli.operator import Operator, options
from hivemind.cli.output import Document, first_line, safe, say, show, when
from hivemind.errors import InvalidRequest

PATH = "/api/v1/knowledge"
_AN_ID = "01a2100f-39cd-7e9b-b6bb-1d2c33d4f8a1"
_PAGES = frozenset({".html", ".htm", ".xhtml"})
_SECONDS = 120


@click.group(cls=Listing)
def knowledge() -> None:
    """Keep the documents that agents search. Without a verb it lists them."""


@knowledge.command("list", epilog=example("hivemind knowledge list --collection handbook"))
@click.option("--collection", help="Only those of one collection.")
@click.option("--limit", default=50, show_default=True, help="How many.")
@options
def list_(
    url: str | None = None, as_json: bool = False, collection: str | None = None, limit: int = 50
) -> None:
    """Print them, the oldest first."""
    found = Operator.at(url).items(PATH, limit, collection=collection)
    columns = {
        "id": lambda row: row["id"],
        "collection": lambda row: row["collection"],
        "passages": lambda row: row["passages"],
        "chars": lambda row: row["chars"],
        "updated": lambda row: when(row["updated_at"]),
        "title": lambda row: first_line(row["title"]),
    }
    show(found, columns, "There are no documents.", as_json=as_json)


@knowledge.command(
    epilog=example("hivemind knowledge add handbook.md terms.html --collection handbook --language english")
)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--title", help="Of one file; its name if not given.")
@click.option("--collection", default="default", show_default=True, help="What profiles name to search it.")
@click.option("--language", default="english", show_default=True, help="A text search configuration.")
@click.option("--source", help="Where it comes from, such as an address; shown with what is found.")
@click.option("--replace", "document_id", help="The id of the document that one file takes the place of.")
@options
def add(
    files: tuple[Path, ...],
    title: str | None,
    collection: str,
    language: str,
    source: str | None,
    document_id: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Store files of text, Markdown or HTML."""
    if len(files) > 1 and (title or document_id):
        raise click.UsageError("--title and --replace are for one file")
    server = Operator.at(url)
    made = []
    for path in files:
        body = {
            "title": title or path.name,
            "text": text_of(path),
            "collection": collection,
            "language": language,
            "source": source,
        }
        if document_id is None:
            asked = server.ask("POST", PATH, body, timeout_seconds=_SECONDS)
        else:
            asked = server.ask("PUT", f"{PATH}/{quote(document_id)}", body, timeout_seconds=_SECONDS)
        made.append(asked["document"])
    told = "\n".join(f"{one['id']}  {one['passages']} passages  {safe(one['title'])}" for one in made)
    say(made, told, as_json=as_json)


@knowledge.command("show", epilog=example(f"hivemind knowledge show {_AN_ID}"))
@click.argument("document_id")
@options
def show_(document_id: str, url: str | None, as_json: bool) -> None:
    """Print one with its text."""
    found = Operator.at(url).ask("GET", f"{PATH}/{quote(document_id)}")["document"]
    say(found, f"{_line(found)}\n\n{safe(found['text'])}", as_json=as_json)


@knowledge.command(epilog=example(f"hivemind knowledge remove {_AN_ID}"))
@click.argument("document_id")
@options
def remove(document_id: str, url: str | None, as_json: bool) -> None:
    """Remove one with its passages."""
    Operator.at(url).ask("DELETE", f"{PATH}/{quote(document_id)}")
    say({"removed": document_id}, f"Removed {document_id}.", as_json=as_json)


@knowledge.command(epilog=example('hivemind knowledge search "parental leave" --collection handbook'))
@click.argument("query")
@click.option("--collection", "collections", multiple=True, help="Only in these; as often as you like.")
@options
def search(query: str, collections: tuple[str, ...], url: str | None, as_json: bool) -> None:
    """Print what an agent would find."""
    asked = urlencode([("query", query), *(("collection", name) for name in collections)])
    found = Operator.at(url).ask("GET", f"{PATH}/search?{asked}")["items"]
    told = "\n\n".join(f"[p:{one['id']}] {safe(one['title'])}\n{safe(one['text'])}" for one in found)
    say(found, told or "Nothing is found.", as_json=as_json)


def text_of(path: Path) -> str:
    """The text of a file; of a page, what it says.

    Raises:
        InvalidRequest: it is not a text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InvalidRequest(
            f"{path} is not a text in UTF-8",
            remedy="turn it into text first: pdftotext for a PDF, pandoc for an office document",
        )
    text = readable(text) if path.suffix.lower() in _PAGES else text
    if not text.strip():
        raise InvalidRequest(f"{path} has no text in it", remedy="nothing was stored for it")
    return text


def _line(document: Document) -> str:
    where = f"  {safe(document['source'])}" if document["source"] else ""
    return f"{document['id']}  {document['collection']}  {safe(document['title'])}{where}"

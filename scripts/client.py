"""Make `hivemind/client/synchronous.py` from `asynchronous.py`: the same, without waiting for a loop."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "hivemind" / "client"
WORDS = {
    "AsyncHivemind": "Hivemind",
    "AsyncClient": "Client",
    "AsyncGenerator": "Generator",
    "AsyncIterator": "Iterator",
    "asynccontextmanager": "contextmanager",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "aclosing": "closing",
    "aread": "read",
    "anyio": "time",
}


def made(source: str) -> str:
    """The text of the other file."""
    text = re.sub(r"\basync (def|with|for)\b", r"\1", source)
    text = re.sub(r"\bawait ", "", text)
    text = re.sub(r"\b\w+\b", lambda word: WORDS.get(word[0], word[0]), text)
    text = text.replace("import time\nimport httpx2", "import httpx2")
    text = text.replace("from collections.abc", "import time\nfrom collections.abc", 1)
    head = '"""The client for plain Python. Made from `asynchronous.py` by `make client`: change that one."""'
    return re.sub(r'\A""".*?"""', head, text)


if __name__ == "__main__":
    (FOLDER / "synchronous.py").write_text(made((FOLDER / "asynchronous.py").read_text()))

"""Promise: every block in the README and the docs does what it says.

The blocks of a page run in their order, in one shell, beside a running server; what a `console` block shows is
compared with what comes (`…` stands for anything). A block with `test_` functions is run as a test, settings are
loaded, JSON is parsed. A block that cannot be run says why in a comment above it, and is counted here.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from hivemind.actors import Policies
from hivemind.app import KINDS
from hivemind.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("sh", "console", "py")
# Run by a test of their own, or nothing that could be run.
ELSEWHERE = ("python", "toml", "json", "nginx", "caddy", "html")
PICTURES = ("mermaid", "text")
# These start servers themselves, with the embedded Postgres, and end them.
ON_THEIR_OWN = {"docs/tutorial.md", "docs/how-to/back-up-and-restore.md"}
# The address that the pages name; the test's own is put in its place.
WRITTEN = "127.0.0.1:8585"
PATIENCE_SECONDS = 240

NOT_RUN = {
    "README.md": 4,
    "docs/how-to/run-behind-a-proxy.md": 1,
    "docs/how-to/use-your-provider.md": 1,
    "docs/how-to/use-your-own-postgres.md": 1,
    "docs/how-to/watch-with-prometheus.md": 1,
    "docs/how-to/back-up-and-restore.md": 1,
    "docs/tutorial.md": 1,
}


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None

    @property
    def name(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page):
    text = page.read_text()
    pattern = r"^(?:<!-- not run: (.+?) -->\n)?```([^\n]*)\n(.*?)^```$"
    return [
        Block(page, text[: found.start(2)].count("\n") + 1, found[2], found[3], found[1])
        for found in re.finditer(pattern, text, re.MULTILINE | re.DOTALL)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def of(*languages):
    chosen = [block for block in BLOCKS if block.language in languages and not block.not_run]
    return [pytest.param(block, id=block.name) for block in chosen]


def test_every_block_says_what_it_is():
    known = {*RUN, *ELSEWHERE, *PICTURES}
    assert [block.name for block in BLOCKS if block.language not in known and not block.not_run] == []
    fences = {str(page): page.read_text().count("```") for page in PAGES}
    assert fences == {str(page): 2 * len(blocks_of(page)) for page in PAGES}


def test_what_is_not_run_is_counted():
    counted = {}
    for block in BLOCKS:
        if block.not_run:
            page = str(block.page.relative_to(ROOT))
            counted[page] = counted.get(page, 0) + 1
    assert counted == NOT_RUN


@pytest.mark.parametrize("block", of("python"))
def test_code_runs(block):
    namespace = {"__name__": "snippet"}
    exec(compile(block.text, block.name, "exec"), namespace)
    tests = [value for name, value in namespace.items() if name.startswith("test_")]
    assert tests, "a snippet shows something only when a test of its own says so; or write it as `py`"
    for test in tests:
        test()


@pytest.mark.parametrize("block", of("toml"))
def test_settings_load(block):
    settings = Settings.model_validate(tomllib.loads(block.text))
    Policies.from_mapping(settings.supervision, kinds=KINDS)


@pytest.mark.parametrize("block", of("json"))
def test_json_is_json(block):
    json.loads(block.text)


# -- what is run in a shell


def commands(block):
    """The commands of a block, each with what it shows, or None where that is not said."""
    if block.language == "py":
        return [(f"python3 - <<'_END_OF_SNIPPET'\n{block.text}_END_OF_SNIPPET", None)]
    if block.language == "sh":
        return [(block.text, None)]
    found = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        else:
            command, shown = found[-1]
            found[-1] = (
                (f"{command}\n{line[2:]}", shown) if line.startswith("> ") and not shown
                else (command, f"{shown}{line}\n")
            )  # fmt: skip
    return found


def script(blocks):
    # What a page that failed half-way has left running ends with its shell.
    lines = ["exec 2>&1", "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"]
    for number, block in enumerate(blocks):
        for step, (command, shown) in enumerate(commands(block)):
            lines += [f"printf '\\036{number}.{step}\\n'", "set +e" if shown is not None else "set -e"]
            lines += [command.rstrip("\n"), f"printf '\\036{number}.{step} ended\\n'"]
    return "\n".join(lines) + "\n"


def like(shown, said):
    """Whether what was said is what is shown, up to blanks and what `…` stands for."""
    parts = [
        r"\s+".join(map(re.escape, part.split(" "))) for part in re.sub(r"\s+", " ", shown.strip()).split("…")
    ]
    return re.fullmatch(r".*".join(parts), re.sub(r"\s+", " ", said.strip()), re.DOTALL) is not None


def place(folder):
    """A folder with what a clone has after `make run`, and the environment of somebody who works in it."""
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name, arguments in (("hivemind", "-m hivemind "), ("python3", "")):
        (binaries / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n')
        (binaries / name).chmod(0o755)
    # An answer with an error is an error here.
    (folder / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "HIVEMIND_SERVER_PORT": str(port),
        "SERVER_ADDRESS": f"127.0.0.1:{port}",
    }


@pytest.fixture(scope="module")
def installation(tmp_path_factory, fresh_database):
    """A folder in which a server of ours runs: its environment."""
    folder = tmp_path_factory.mktemp("installation")
    with fresh_database() as url:
        environ = place(folder) | {"DATABASE_URL": url, "HIVEMIND_LLM_PROVIDER": "scripted"}
        with (folder / "server.log").open("wb") as log:
            server = subprocess.Popen(["hivemind", "serve"], cwd=folder, env=environ, stderr=log)
        wait = "until hivemind health >/dev/null 2>&1 || [ $? -ne 4 ]; do sleep 0.2; done"
        subprocess.run(["bash", "-c", wait], cwd=folder, env=environ, timeout=60, check=True)
        yield folder, environ
        server.terminate()
        server.wait(30)


@pytest.fixture
def open_folder():
    """A folder that the account which root runs Postgres as can enter.

    What a failure leaves running there is ended by the next session (`tests/conftest.py`).
    """
    folder = Path(tempfile.mkdtemp(prefix=f"hivemind-test-{os.getpid()}-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def told(blocks, folder, environ):
    """Run the blocks of a page; what each command said, by its number."""
    path = folder / "page.sh"
    path.write_text(script(blocks).replace(WRITTEN, environ["SERVER_ADDRESS"]))
    done = subprocess.run(
        ["bash", str(path)], cwd=folder, env=environ, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    output = done.stdout.decode()
    pieces = re.split(r"\036(\d+\.\d+)( ended)?\n", output)[1:]
    said, ended = {}, set()
    for name, end, text in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
        if end:
            ended.add(name)
        else:
            said[name] = text
    return said, ended


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(b.language in RUN and not b.not_run for b in blocks_of(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_page_does_what_it_says(page, request):
    blocks = [block for block in blocks_of(page) if block.language in RUN and not block.not_run]
    if str(page.relative_to(ROOT)) in ON_THEIR_OWN:
        folder = request.getfixturevalue("open_folder")
        said, ended = told(blocks, folder, place(folder) | {"HIVEMIND_LLM_PROVIDER": "scripted"})
    else:
        folder, environ = request.getfixturevalue("installation")
        said, ended = told(blocks, folder, environ)
    wrong = []
    for number, block in enumerate(blocks):
        for step, (command, shown) in enumerate(commands(block)):
            name = f"{number}.{step}"
            if name not in ended:
                wrong.append(f"{block.name}: {command}\nfailed:\n{said.get(name, 'never begun')}")
            elif shown is not None and not like(shown, said[name]):
                wrong.append(f"{block.name}: {command}\nshown:\n{shown}\nsaid:\n{said[name]}")
    assert not wrong, "\n\n".join(wrong)

"""Promise: behind the nginx and the Caddy of docs/how-to/run-behind-a-proxy.md everything works as without them.

The configurations are the page's own, and the proxies are real.
"""

import json
import re
import shutil
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
import trio

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "run-behind-a-proxy.md").read_text()
PATH = "/usr/sbin:/usr/bin:/bin"
TRUSTED = {"server": {"trusted_proxies": ["127.0.0.1/32"]}}


def block(language, number=0):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[number]


def nginx(folder, port, upstream):
    """The page's location and map, in the least that nginx needs around them."""
    location, mapped = block("nginx", 0), block("nginx", 1)
    assert "127.0.0.1:8585" in location
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{mapped}"
        f"server {{\nlisten 127.0.0.1:{port};\n{location.replace('127.0.0.1:8585', upstream)}}}\n}}\n"
    )
    return [
        shutil.which("nginx", path=PATH),
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        "stderr",
    ]


def caddy(folder, port, upstream):
    """The page's site, without TLS."""
    site = block("caddy").replace("chat.example.org", f"http://127.0.0.1:{port}")
    assert "127.0.0.1:8585" in site
    (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + site.replace("127.0.0.1:8585", upstream))
    return [
        shutil.which("caddy", path=PATH),
        "run",
        "--adapter",
        "caddyfile",
        "--config",
        str(folder / "Caddyfile"),
    ]


@dataclass
class Through:
    """A server as it is seen through a proxy."""

    url: str


@asynccontextmanager
async def proxied(site, proxy, folder):
    """The site behind a proxy that runs meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = proxy(folder, port, urlsplit(site.server.url).netloc)
    with (folder / "log").open("wb") as log:
        environ = {"HOME": str(folder), "PATH": PATH}
        process = await trio.lowlevel.open_process(command, stdout=log, stderr=log, env=environ)
    try:
        url = f"http://127.0.0.1:{port}"
        # From an address that the server does not trust, as clients have.
        clients = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
        async with httpx2.AsyncClient(base_url=url, timeout=60, transport=clients) as client:
            while True:
                try:
                    await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                    break
                except OSError:
                    assert process.poll() is None, (folder / "log").read_text()
                    await trio.sleep(0.02)
            yield replace(site, server=Through(url), client=client)
    finally:
        process.terminate()
        await process.wait()


PROXIES = [
    pytest.param(
        proxy,
        id=proxy.__name__,
        marks=pytest.mark.skipif(
            shutil.which(proxy.__name__, path=PATH) is None,
            reason=f"{proxy.__name__} is not installed",
        ),
    )
    for proxy in (nginx, caddy)
]


@pytest.mark.parametrize("proxy", PROXIES)
def test_json_streams_and_sockets_go_through(proxy, with_site, tmp_path):
    async def test(site):
        go_on = trio.Event()
        site.model.says("One, ", go_on, "two.", when="count")
        async with proxied(site, proxy, tmp_path) as seen:
            assert (await seen.say("Hi"))["reply"] == "Hello there."
            # The first piece arrives while the model has not said the second: nothing is held back on the way.
            path = "/api/v1/public/agents/chat/hello"
            async with seen.stream(path, {"message": "count"}) as (_, events):
                names = []
                async for event in events:
                    names.append(event.name)
                    if event.name == "delta":
                        go_on.set()
            assert (names[0], names[-1]) == ("accepted", "reply") and "delta" in names
            async with seen.socket() as socket:
                await socket.send_message(json.dumps({"type": "message", "message": "Hi"}))
                frames = [json.loads(await socket.get_message())]
                while frames[-1]["type"] != "reply":
                    frames.append(json.loads(await socket.get_message()))
            assert frames[-1]["reply"] == "Hello there."
            assert (await seen.client.get("/api/v1/health")).json()["status"] == "ok"

    with_site(test, **TRUSTED)


@pytest.mark.parametrize("proxy", PROXIES)
def test_what_a_client_claims_to_be_forwarded_for_does_not_count(proxy, with_site, tmp_path):
    async def test(site):
        async with proxied(site, proxy, tmp_path) as seen:
            statuses = [
                (await seen.post("Hi", headers={"X-Forwarded-For": f"203.0.113.{n}"})).status_code
                for n in range(3)
            ]
            assert statuses == [200, 200, 429]

    with_site(test, **TRUSTED, limits={"per_ip_per_minute": 2})

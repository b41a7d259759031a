"""URLs are taken apart once, and what cannot be called is refused by name."""

import pytest

from hivemind.errors import ConfigError
from hivemind.outbound import Target


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("https://api.example.com/v1/messages", b"api.example.com", b"/v1/messages"),
        ("https://api.example.com:443/", b"api.example.com", b"/"),
        ("http://localhost:11434/api/chat?x=1", b"localhost:11434", b"/api/chat?x=1"),
        ("http://[::1]:80", b"[::1]", b"/"),
        ("http://[::1]:81", b"[::1]:81", b"/"),
    ],
)
def test_good(url, host, target):
    parsed = Target.parse(url)
    assert parsed.host == host
    assert parsed.path == target


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://h/", "http://", "http://h:99999/", "http://h:x/", "http://ü/", "//h/"]
)
def test_bad(url):
    with pytest.raises(ConfigError):
        Target.parse(url)

"""Where signing in leads to is a page of our own, whatever an address says."""

import pytest

from hivemind.auth import Identity
from hivemind.http.contract.document import GROUPS, role_of
from hivemind.http.ui.assets import Assets
from hivemind.http.ui.pages import PAGES, Page, seen_by
from hivemind.http.ui.shell import Shell, headers, next_page

ADA = Identity("ada", "admin", "operator:user:ada", "user:1", csrf="token")


@pytest.mark.parametrize("wanted", ["/", "/agents?state=running", "/agents/0198/x#step", "/%2F/evil.example"])
def test_a_page_of_ours_stays(wanted):
    assert next_page(wanted) == wanted


@pytest.mark.parametrize(
    "wanted",
    [None, "", "agents", "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example",
     "/\t/evil.example", "/a\r\nset-cookie: a=b", "javascript:alert(1)", " //evil.example", "/x\\..\\y"],
)  # fmt: skip
def test_anything_else_is_the_front_page(wanted):
    assert next_page(wanted) == "/"


def test_nobody_may_frame_a_page_unless_it_says_so():
    assert "frame-ancestors 'none'" in headers()["Content-Security-Policy"]
    assert headers()["X-Frame-Options"] == "DENY"
    framed = headers(("https://a.example", "https://b.example"))
    assert framed["Content-Security-Policy"].endswith("frame-ancestors https://a.example https://b.example")
    assert "X-Frame-Options" not in framed


def test_each_page_has_its_template():
    shell = Shell(Assets.load())
    given = {"next": "/", "params": {"slug": "x"}, "profiles": [], "groups": GROUPS, "role_of": role_of}
    given |= {"provider": "Example Corp", "refused": None}
    for page in PAGES:
        assert "<!doctype html>" in shell.render(page, ADA, given)


def test_a_template_escapes_what_it_is_given():
    page = Page("", "denied", "<b>title</b>")
    text = Shell(Assets.load()).render(page, None, {"said": "<script>"})
    assert "<script>." not in text
    assert "&lt;script&gt;" in text
    assert "&lt;b&gt;title" in text


def test_the_navigation_grows_with_the_role():
    def seen(role):
        return {page.name for _, pages in seen_by(role) for page in pages}

    assert seen(None) == set()
    assert seen("viewer") <= seen("operator") <= seen("admin")
    assert seen("admin") == {page.name for page in PAGES if page.group is not None}

"""An address of a static file changes with the content of any of them."""

import pytest

from hivemind.http.ui.assets import ASK_AGAIN, FOR_GOOD, Assets


def test_an_address_changes_with_the_content():
    one, other = Assets({"a.js": b"1", "b.css": b"2"}), Assets({"a.js": b"1", "b.css": b"3"})
    assert one.address("a.js") != other.address("a.js")
    assert one.digest == Assets({"b.css": b"2", "a.js": b"1"}).digest
    assert Assets({"a.js": b"1", "b.css": b""}).digest != Assets({"a.js": b"", "b.css": b"1"}).digest


def test_only_the_present_address_is_kept_for_good():
    assets = Assets({"a.js": b"1"})
    assert assets.keeping(assets.digest) == FOR_GOOD
    assert assets.keeping("0" * 12) == ASK_AGAIN


def test_there_is_no_address_of_what_is_not_there():
    with pytest.raises(LookupError):
        Assets({}).address("a.js")

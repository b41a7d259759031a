"""A check of an identifier says yes or no to whatever has its shape; it never fails on a text."""

import random
import string

import pytest

from hivemind.guards import identifiers

CHECKED = [
    pytest.param(row, shape, id=f"{row.name} {shape.decode()}")
    for shape, rows in identifiers.TABLE.items()
    for row in rows
    if row.check is not None
]


@pytest.mark.parametrize(("row", "shape"), CHECKED)
def test_whatever_has_the_shape_is_answered(row, shape):
    source = random.Random(row.name)
    for _ in range(500):
        value = "".join(
            source.choice(string.digits if c == ord("9") else string.ascii_uppercase) for c in shape
        )
        assert row.fits(value) in (True, False)


@pytest.mark.parametrize(("value", "is_one"), [("611382557209303701", True), ("611382557209303702", False)])
def test_a_code_of_a_place_that_the_library_does_not_know(value, is_one):
    (row,) = (row for row in identifiers.TABLE[b"9" * 18] if row.name == "ric_cn")
    assert row.fits(value) is is_one

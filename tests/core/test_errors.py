import pickle
from pathlib import Path

import pytest

from unimri.core.errors import ReadError, UnimriError


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("scan \x1b[31m.h5: torn", r"scan \x1b[31m.h5: torn"),
        ("two\nlines\r\n and a\tstep", "two lines and a step"),
        ("name \udcff, \u202e and ü", r"name \udcff, \u202e and ü"),
    ],
)
def test_a_message_is_one_line_that_a_terminal_can_be_shown(given, shown):
    fault = UnimriError(given)
    assert str(fault) == shown
    assert str(pickle.loads(pickle.dumps(fault))) == shown
    assert str(ReadError(Path(given), "torn", "copy it")).startswith(shown)


def test_a_message_is_not_longer_than_anybody_reads():
    assert len(str(UnimriError("x" * 1_000_000))) == 4000

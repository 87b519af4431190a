"""Commands, called in this process: importing torch for each would take longest."""

import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import NamedTuple

import pytest

from unimri.cli.__main__ import main


class Result(NamedTuple):
    status: object
    out: str
    err: str


def call(*arguments: object) -> Result:
    """What `unimri` with these arguments ends with and says."""
    code: object = 0
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["unimri", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
            # As Python does with a text.
            if isinstance(code, str):
                print(code, file=sys.stderr)
                code = 1
    return Result(code, out.getvalue(), err.getvalue())


def succeeds(*arguments: object) -> str:
    """Standard output of a command that ends well and complains of nothing."""
    result = call(*arguments)
    assert (result.status, result.err) == (0, "")
    return result.out


def fault(says: str, *arguments: object) -> str:
    """The command ends with status 1 and one line, which holds `says`; give its standard output."""
    result = call(*arguments)
    assert result.status == 1
    (line,) = result.err.splitlines()
    assert line.startswith("unimri: ")
    assert says in line
    return result.out


def fails(says: str, *arguments: object) -> None:
    """The same, and nothing is on its standard output."""
    assert not fault(says, *arguments)

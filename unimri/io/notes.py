"""What reading has made of files that can be used, but not as they are: said once, told by whoever listens."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ReadNote(UserWarning):
    """One such note.

    Attributes
    ----------
    path : the file.
    text : what was done, in words that hold neither a path nor a name.
    """

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(f"{path}: {text}")
        self.path, self.text = path, text


def note(path: Path, text: str) -> None:
    """Give a note; a script that does not listen sees it as a warning."""
    warnings.warn(ReadNote(path, text), stacklevel=2)


@contextmanager
def heard() -> Iterator[list[str]]:
    """Gather the texts of the notes that are given in the context, at its end, and silence all other warnings in it.

    Warnings of libraries may repeat values of a header.
    """
    texts: list[str] = []
    with warnings.catch_warnings(record=True, action="ignore") as caught:
        warnings.simplefilter("always", ReadNote)
        try:
            yield texts
        finally:
            texts += [one.message.text for one in caught if isinstance(one.message, ReadNote)]

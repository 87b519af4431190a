"""Faults that the user can mend: in what was given, and in one source file."""

from pathlib import Path
from typing import Self

# The mend of most faults of files.
AGAIN = "the file is damaged or cut short: copy or download it again"


class UnimriError(Exception):
    """A fault in what the user gave: a file, a setting, a name.

    The message is one line that names the file or key and the mend. The command line prints it without a traceback and
    exits with status 1; anything else that is raised is a bug of ours and keeps its traceback.
    """


class ReadError(UnimriError):
    """A source file that cannot be used, told so that it can be shown with its name and stored without it.

    Attributes
    ----------
    path, mend : as given.
    reason : what is wrong, in words that hold neither a path nor a header's value, so that an artifact may
        keep it.
    """

    def __init__(self, path: Path, reason: str, mend: str) -> None:
        super().__init__(f"{path}: {reason}; {mend}")
        self.path, self.reason, self.mend = path, reason, mend

    def __reduce__(self) -> tuple[type[Self], tuple[Path, str, str]]:
        """For pickling: what an exception does by itself is to be made again of its message alone."""
        return type(self), (self.path, self.reason, self.mend)

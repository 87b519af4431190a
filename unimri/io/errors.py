"""A fault in one source file, told so that it can be shown with the file's name and stored without it."""

from pathlib import Path
from typing import Self

from unimri.core.errors import UnimriError

# The mend of most faults.
AGAIN = "the file is damaged or cut short: copy or download it again"


class ReadError(UnimriError):
    """A source file that cannot be used.

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

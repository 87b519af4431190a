"""Faults that the user can mend: in what was given, and in one source file."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import Self

log = logging.getLogger(__name__)

# The mend of most faults of files.
AGAIN = "the file is damaged or cut short: copy or download it again"

# Of a message: what it repeats may be a file's own, of any length.
_LONGEST = 4000


def printable(text: str) -> str:
    """Text that others wrote, in one line, as a terminal may be shown it: control characters are spelt out."""
    words = " ".join(text.split())
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in words)


class UnimriError(Exception):
    """A fault in what the user gave: a file, a setting, a name.

    The message is one line that names the file or key and the mend. The command line prints it without a traceback and
    exits with status 1; anything else that is raised is a bug of ours and keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        shown = printable(message)
        super().__init__(shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 4]} ...")


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


# What the system says of a disk that takes no file, and not of our code.
_TAKES_NONE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}


def unwritable(error: OSError, path: Path | str | None = None) -> UnimriError | None:
    """The fault of a file that could not be written, `path` or the one that the error names.

    None where the disk and its permissions are not to blame.
    """
    if error.errno not in _TAKES_NONE:
        return None
    reason = os.strerror(error.errno).lower()
    place = path or error.filename or "standard output"
    return UnimriError(f"{place}: cannot be written: {reason}; free some space or check permissions")


# What the system says of a file that it does not give, which says nothing of the file's content.
_REFUSED = {
    "is missing": ("check the path", {errno.ENOENT, errno.ENOTDIR}),
    "must not be read": ("ask its owner for the permission to read it", {errno.EACCES, errno.EPERM}),
    "is a folder": ("give a file", {errno.EISDIR}),
    "is in use": (
        "another program has locked it, or its file system has no locks: close that program, and unset "
        "HDF5_USE_FILE_LOCKING",
        {errno.EAGAIN, errno.EDEADLK, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS},
    ),
    "cannot be opened beside so many other files": ("raise the limit: `ulimit -n 4096`", {errno.EMFILE, errno.ENFILE}),
    "is more than the memory holds": ("free some memory", {errno.ENOMEM}),
    "is more than the temporary folder holds": (
        "free some space there, or set TMPDIR to a folder on another disk",
        {errno.ENOSPC, errno.EDQUOT, errno.EFBIG},
    ),
    "is not given by its disk or network": (
        "the file itself may be good: check the disk and the network, and try again",
        {errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENODEV, errno.EREMOTEIO, errno.ETIMEDOUT, errno.EHOSTDOWN}
        | {errno.EHOSTUNREACH, errno.ENOTCONN, errno.ECONNRESET, errno.ECONNREFUSED},
    ),
}


def unreadable(path: Path, error: BaseException, reason: str, mend: str = AGAIN) -> ReadError:
    """The fault of a file whose reading raised `error`: what the system said, else `reason` and `mend`, of damage."""
    if isinstance(error, OSError):
        # Some libraries raise the class alone.
        number = error.errno or {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES}.get(type(error))
        for refused, (way, numbers) in _REFUSED.items():
            if number in numbers:
                return ReadError(path, refused, way)
    return ReadError(path, reason, mend)


def check_file(path: Path) -> None:
    """Raise ReadError unless there is a file: one who opens a named pipe may wait for ever."""
    try:
        regular = S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise unreadable(path, error, "cannot be read", "check the path") from error
    if not regular:
        raise ReadError(path, "is no file", "give a file, and no folder, pipe or device")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Make whatever a library raises while it reads a file the file's own fault.

    Raises
    ------
    ReadError : in place of any other exception; the log has that one at level debug.
    """
    try:
        yield
    except UnimriError:
        raise
    except MemoryError:
        raise ReadError(path, "needs more memory than there is", "divide it, or read it on a larger machine") from None
    except Exception as fault:
        log.debug("%s", path, exc_info=True)
        # Not what it says: that may hold a header's value.
        reason = f"cannot be read ({type(fault).__name__})"
        mend = "open it with another program and save it anew, or remove it"
        raise unreadable(path, fault, reason, mend) from fault

"""One Snakemake at a time writes to a folder."""

import getpass
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from unimri.artifacts import write_json
from unimri.errors import UnimriError


def occupy(*folders: Path) -> list[FileLock]:
    """Keep others from the folders for as long as the locks that are returned are kept.

    The kernel holds them: they are free when the process has ended, in whatever way. Each folder gets `.lock`, and
    `.lock.json`, which tells others whom to ask.

    Raises
    ------
    UnimriError : when another process has one of the folders, or it cannot be written to.
    """
    return [_occupy(folder) for folder in folders]


def _occupy(folder: Path) -> FileLock:
    lock = FileLock(folder / ".lock", blocking=False, mode=0o664)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        me = {"user": getpass.getuser(), "host": socket.gethostname(), "process": os.getpid()}
        write_json(folder / ".lock.json", me | {"since": datetime.now(UTC).isoformat(timespec="seconds")})
    except Timeout:
        raise UnimriError(
            f"{folder}: another Snakemake works on it{_who(folder)}; wait for it or stop it, or take another folder "
            "of results and of private in an overlay. `snakemake -n` is possible meanwhile"
        ) from None
    except OSError as fault:
        raise UnimriError(
            f"{folder}: cannot be locked ({fault.strerror}); it must be yours to write to, and its disk not full"
        ) from None
    return lock


def _who(folder: Path) -> str:
    try:
        about = json.loads((folder / ".lock.json").read_text(encoding="utf-8"))
        return " ({user} on {host}, process {process}, since {since})".format(**about)
    except (OSError, ValueError, KeyError):
        return ""

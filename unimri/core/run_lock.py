"""One Snakemake at a time writes to a folder."""

import getpass
import json
import logging
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock

from unimri.core.artifacts import write_json
from unimri.core.errors import UnimriError
from unimri.core.locks import NO_LOCKS, try_lock

log = logging.getLogger(__name__)


def occupy(*folders: Path) -> list[BaseFileLock]:
    """Keep others from the folders for as long as the locks that are returned are kept.

    The kernel holds them: they are free when the process has ended, in whatever way. Each folder gets `.lock`, and
    `.lock.json`, which tells others whom to ask. Where the file system has no locks there is a warning, and no lock.

    Raises
    ------
    UnimriError : when another process has one of the folders, or it cannot be written to.
    """
    return [lock for folder in folders if (lock := _occupy(folder)) is not None]


def _occupy(folder: Path) -> BaseFileLock | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = try_lock(folder / ".lock")
        if lock is not None:
            me = {"user": getpass.getuser(), "host": socket.gethostname(), "process": os.getpid()}
            write_json(folder / ".lock.json", me | {"since": datetime.now(UTC).isoformat(timespec="seconds")})
            return lock
    except OSError as fault:
        if fault.errno in NO_LOCKS:
            log.warning("%s: no locks (%s); mind that one Snakemake alone works on it", folder, fault.strerror)
            return None
        raise UnimriError(
            f"{folder}: cannot be locked ({fault.strerror}); it must be yours to write to, and its disk not full"
        ) from None
    raise UnimriError(
        f"{folder}: another Snakemake works on it{_who(folder)}; wait for it or stop it, or take another folder "
        "of results and of private in an overlay. `snakemake -n` is possible meanwhile"
    )


def _who(folder: Path) -> str:
    try:
        about = json.loads((folder / ".lock.json").read_text(encoding="utf-8"))
        return " ({user} on {host}, process {process}, since {since})".format(**about)
    except (OSError, ValueError, KeyError):
        return ""

"""Locks on files that the kernel holds: they are gone when their holder is, however that ended."""

import errno
import getpass
import json
import logging
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from unimri.core.artifacts import write_json
from unimri.core.errors import UnimriError

log = logging.getLogger(__name__)

NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
"""Error numbers of a file system that has no locks."""


def try_lock(path: Path) -> BaseFileLock | None:
    """Lock a file, made if it is not there, for its owner's group too; None when another process has.

    Raises
    ------
    OSError : when it cannot be made, or its file system has no locks.
    """
    # A soft lock would outlive a holder that was killed.
    lock = FileLock(path, fallback_to_soft=False, mode=0o664)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    except OSError as fault:
        # Over NFS: its holder removed it after we had opened it.
        if fault.errno == errno.ESTALE:
            return None
        raise
    return lock


def lock_folders(*folders: Path) -> list[BaseFileLock]:
    """Keep others from the folders for as long as the locks that are returned are kept.

    The kernel holds them: they are free when the process has ended, in whatever way. Each folder gets `.lock`, and
    `.lock.json`, which tells others whom to ask. Where the file system has no locks there is a warning, and no lock.

    Raises
    ------
    UnimriError : when another process has one of the folders, or it cannot be written to.
    """
    return [lock for folder in folders if (lock := _lock_folder(folder)) is not None]


def _lock_folder(folder: Path) -> BaseFileLock | None:
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

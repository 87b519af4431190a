"""Locks on files that the kernel holds: they are gone when their holder is, however that ended."""

import errno
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

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

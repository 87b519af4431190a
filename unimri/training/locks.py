"""Two processes that are asked for the same training do not both train."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock

from unimri.core.locks import NO_LOCKS, try_lock
from unimri.training.checkpoints import writing
from unimri.training.distributed import Team
from unimri.training.interruption import InterruptedTraining, Interruption

log = logging.getLogger(__name__)

# Seconds between two looks at a lock that another process holds.
_PATIENCE = 0.5


@contextmanager
def alone(path: Path, stage: str, team: Team, interruption: Interruption) -> Iterator[None]:
    """Run the body while no other team holds the lock `path`; wait until then. The file is gone afterwards.

    The first process locks. The others wait for it from one look to the next, so that none waits for long at a time.

    Parameters
    ----------
    path : the lock; its folder is made.
    stage : what is trained, for the log.

    Raises
    ------
    UnimriError : when the file cannot be made.
    InterruptedTraining : when any process was told to stop while it waited.
    """
    lock: BaseFileLock | None = None
    waited = False
    try:
        while True:
            free = False
            with team.agreeing():
                if team.leads:
                    lock, free = _look(path)
            stop, go = team.sum([interruption.requested, free])
            if stop and not go:
                raise InterruptedTraining(
                    f"{stage}: stopped as asked while another process trains this; the same command waits again"
                )
            if go:
                break
            if team.leads:
                if not waited:
                    log.info("%s: another process trains this; waiting until it has ended", stage)
                    waited = True
                time.sleep(_PATIENCE)
        yield
    finally:
        if lock is not None:
            # Before the release: who has opened the file sees then that it is gone, and makes a new one.
            with suppress(OSError):
                path.unlink()
            lock.release()


def _look(path: Path) -> tuple[BaseFileLock | None, bool]:
    """The lock, if we have it, and whether we may go on."""
    with writing(path, "nothing has been trained yet"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = try_lock(path)
        except OSError as fault:
            if fault.errno not in NO_LOCKS:
                raise
            log.warning("%s: no locks (%s); mind that nothing is trained twice at once", path.parent, fault.strerror)
            path.unlink(missing_ok=True)
            return None, True
    return lock, lock is not None

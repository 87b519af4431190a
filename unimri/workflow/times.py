"""Times of files that a clock which was ahead has left behind, by which Snakemake would take what is stale for new."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

# Seconds that clocks of machines which share a disk may differ by.
TOLERANCE = 120


def mend_times(*folders: Path) -> int:
    """Make files from the future older than all others below the folders; give how many there were.

    Nothing tells when they were really made. So Snakemake finds their inputs newer, compares these with the SHA-256
    that it has noted, and makes again what was made from other content. Among themselves their order stays.

    Raises
    ------
    OSError : when one is somebody else's.
    """
    now = time.time_ns()
    times = {path: path.lstat().st_mtime_ns for folder in folders for path in _below(folder)}
    future = {path: own for path, own in times.items() if own > now + TOLERANCE * 10**9}
    if future:
        second = 10**9
        oldest = min((own for path, own in times.items() if path not in future), default=now)
        shift = max(future.values()) - oldest + second
        for path, own in future.items():
            os.utime(path, ns=(own - shift, own - shift), follow_symlinks=False)
    return len(future)


def _below(folder: Path) -> Iterator[Path]:
    for above, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(above, name)

"""Jobs that an earlier Snakemake left to SLURM."""

import getpass
import logging
import subprocess
import time
from pathlib import Path

from unimri.core.errors import UnimriError

log = logging.getLogger(__name__)

JOB_NAME = "unimri"
"""What the names of our jobs begin with in SLURM."""

# SLURM kills what is cancelled after its KillWait, 30 s by default; a training writes a checkpoint meanwhile.
PATIENCE = 300.0


def cancel_leftovers(folder: Path, seconds: float = PATIENCE) -> None:
    """Cancel the jobs of a working folder that are in the queue, and wait until they have ended.

    Snakemake forgets its jobs when it is killed: they run on, and its successor submits them again. Those that begin
    later would remove what the others have made, and write what an earlier configuration asked for.

    Parameters
    ----------
    folder : working folder. Nothing is asked where no job was ever submitted from it.
    seconds : to wait at most.

    Raises
    ------
    UnimriError : when SLURM does not answer, or a job does not end.
    """
    if not (folder / ".snakemake/slurm_logs").is_dir():
        return
    left = _queued(folder)
    if left:
        log.warning("cancelling SLURM jobs of an earlier Snakemake: %s", ", ".join(left))
        _run("scancel", *left)
    end = time.monotonic() + seconds
    while left:
        if time.monotonic() > end:
            raise UnimriError(
                f"SLURM jobs {', '.join(left)} of an earlier Snakemake were cancelled and do not end; "
                "start again when `squeue` shows them no more"
            )
        time.sleep(1)
        left = _queued(folder)


def _queued(folder: Path) -> list[str]:
    """Numbers of the folder's jobs that have not ended."""
    # Those that are ending too, by default. %Z: the folder that a job was submitted for.
    rows = _run("squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%i|%j|%Z").splitlines()
    jobs = (row.split("|", 2) for row in rows)
    return [
        number
        for number, name, place in jobs
        if name.startswith(f"{JOB_NAME}_") and Path(place).resolve() == folder.resolve()
    ]


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as fault:
        reason = str(getattr(fault, "stderr", None) or fault).strip()
        raise UnimriError(
            f"{command[0]}: {reason}; it must say which jobs of an earlier Snakemake still run: "
            "start again where SLURM answers"
        ) from None

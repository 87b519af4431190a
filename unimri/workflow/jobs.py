"""What jobs ask for, what a cluster grants, and the jobs that an earlier Snakemake left to SLURM.

workflow/profiles/slurm reads the settings of a cluster.
"""

import getpass
import logging
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from unimri.config import Config
from unimri.core.errors import UnimriError
from unimri.core.settings import Settings, parse_settings
from unimri.core.settings_file import read_yaml

log = logging.getLogger(__name__)

JOB_NAME = "unimri"
"""What the names of our jobs begin with in SLURM."""

# SLURM kills what is cancelled after its KillWait, 30 s by default; a training writes a checkpoint meanwhile.
PATIENCE = 300.0

FILE = "site.yaml"
VARIABLE = "UNIMRI_SITE"


Kind = Literal["light", "reading", "scoring", "training"]


@dataclass(frozen=True)
class JobResources:
    """What a job asks for in its first attempt.

    Attributes
    ----------
    memory_mb : largest resident memory, in MB of 10^6 bytes, with room to spare.
    minutes : longest time that it runs.
    """

    memory_mb: int
    minutes: int

    def of_attempt(self, attempt: int) -> "JobResources":
        """What attempt number `attempt` (from 1) asks for: a job that ran out of memory or time gets more of it."""
        return JobResources(self.memory_mb * attempt, self.minutes * attempt)


def job_resources(kind: Kind, config: Config) -> JobResources:
    """What one kind of job asks for.

    Parameters
    ----------
    kind : light (masks, manifests, tables, figures), reading (scans to shards), scoring (all methods over a test
        split), training.
    config : sizes that memory grows with.

    Notes
    -----
    From largest resident memory on the CPU, float32: 460 MB for an S2 step of 4 slices of 64 x 64, 700 of 128 x 128,
    1,370 of 2 slices of 320 x 320, 3,150 for an S3 step of 4 of those: 7 kB a pixel of a batch at most, 10 asked for.
    A training that runs out of time goes on from its checkpoint in the next attempt: its time need not be known.
    """
    pixels = config.preparation.image_size**2
    if kind == "training":
        held = pixels * config.training.optimisation.batch_size if config.training.device == "cpu" else 0
        room = 1000 if config.training.device == "cpu" else 8000
        return JobResources(room + held // 100, 24 * 60)
    if kind == "scoring":
        return JobResources(1000 + 4 * pixels // 100, 24 * 60)
    return {"light": JobResources(1000, 60), "reading": JobResources(1500, 6 * 60)}[kind]


class Site(Settings):
    """One cluster, and what it grants."""

    account: str | None = Field(None, description="account that jobs are billed to; null: your default one")
    partition: str | None = Field(None, description="partition of jobs without a GPU; null: the cluster's default")
    gpu_partition: str | None = Field(None, description="partition of jobs with GPUs; null: `partition`")
    qos: str | None = Field(None, description="quality of service")
    constraint: str | None = Field(None, description="features that nodes must have")
    jobs: int = Field(50, ge=1, description="most jobs that are submitted at once")
    cores: int = Field(8, ge=1, description="most CPUs of one job")
    memory_mb: int = Field(64000, ge=1000, description="most memory of one job, in MB")
    gpus: int = Field(1, ge=0, description="most GPUs of one job")
    minutes: int = Field(24 * 60, ge=1, description="longest time of one job, in minutes: the partition's limit")
    retries: int = Field(
        5, ge=0, description="how often a job that failed, was cancelled or ran out of time or memory is tried again"
    )
    status_command: Literal["sacct", "squeue"] | None = Field(
        None, description="what says how jobs stand; null: sacct where the cluster keeps accounts of jobs, else squeue"
    )
    status_seconds: int = Field(40, ge=1, description="between two questions how jobs stand")
    latency_seconds: int = Field(60, ge=0, description="how late the file system may show a file of another node")
    resources: dict[str, dict[str, int | str]] = Field(
        {}, description="what single rules ask for instead: {independent: {runtime: 2880, mem_mb: 32000}}"
    )

    @property
    def default_resources(self) -> dict[str, str]:
        """What every job asks for, as Snakemake's `default-resources` takes it: text as a Python expression."""
        named = {
            "slurm_account": self.account,
            "slurm_partition": self.partition,
            "gpu_partition": self.gpu_partition,
            "qos": self.qos,
            "constraint": self.constraint,
        }
        return {name: repr(value) for name, value in named.items() if value is not None}

    @property
    def known_status_command(self) -> str:
        """`status_command`, once it is known that it answers: Snakemake would wait for ever.

        Raises
        ------
        UnimriError : when sacct is asked for, and the cluster keeps no accounts.
        """
        if self.status_command == "squeue":
            return "squeue"
        try:
            subprocess.run(["sacct", "--noheader", "--allocations"], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as fault:
            if self.status_command == "sacct":
                reason = str(getattr(fault, "stderr", None) or fault).strip()
                raise UnimriError(f"status_command: sacct does not answer ({reason}); write squeue") from None
            return "squeue"
        return "sacct"


def read_site() -> Site:
    """The site's settings: of the file that the variable UNIMRI_SITE names, else of `site.yaml` in the working folder.

    Without either the defaults.

    Raises
    ------
    UnimriError : when the named file is missing, or a setting is wrong.
    """
    named = os.environ.get(VARIABLE)
    path = Path(named or FILE)
    if not path.is_file():
        if named:
            raise UnimriError(f"{VARIABLE}: {path} is no file; correct the path")
        return Site()
    content: dict[str, Any] = read_yaml(path)
    return parse_settings(Site, content, str(path))


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
            "start again where SLURM answers, or remove .snakemake/slurm_logs if none does"
        ) from None

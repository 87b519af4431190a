"""What a cluster asks for: one small file of the site's own, read by workflow/profiles/slurm."""

import os
import subprocess
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from unimri.config import read_yaml
from unimri.core.errors import UnimriError
from unimri.core.settings import Settings, parse_settings

FILE = "site.yaml"
VARIABLE = "UNIMRI_SITE"

TRAININGS = (
    "independent",
    "shared",
    "shared_all",
    "shared_instance_norm",
    "pretrained",
    "distilled",
    "continued",
    "adapted",
    "few_aspin",
    "few_finetuned",
    "few_scratch",
)
"""Rules that may ask for GPUs."""


class Site(Settings):
    """One cluster, and what it grants."""

    account: str | None = Field(None, description="account that jobs are billed to; null: your default one")
    partition: str | None = Field(None, description="partition of jobs without a GPU; null: the cluster's default")
    gpu_partition: str | None = Field(None, description="partition of trainings; null: `partition`")
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
            "qos": self.qos,
            "constraint": self.constraint,
        }
        return {name: repr(value) for name, value in named.items() if value is not None}

    @property
    def set_resources(self) -> dict[str, dict[str, int | str]]:
        """What single rules ask for instead, as Snakemake's `set-resources` takes it."""
        partition = {} if self.gpu_partition is None else {"slurm_partition": repr(self.gpu_partition)}
        own: dict[str, dict[str, int | str]] = {rule: {**partition} for rule in TRAININGS if partition}
        for rule, asked in self.resources.items():
            own[rule] = own.get(rule, {}) | asked
        return own

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

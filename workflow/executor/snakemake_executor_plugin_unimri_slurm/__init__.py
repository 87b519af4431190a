"""Snakemake's SLURM executor, which tries a job again that SLURM has taken away and does not put back.

The stock executor leaves jobs that are PREEMPTED to SLURM, and waits for ever where the partition cancels what it
preempts (`PreemptMode=CANCEL`) instead of requeueing it. A package of its own, because Snakemake finds its plugins by
the names of top-level packages.
"""

import getpass
import shlex
import subprocess
from collections.abc import AsyncGenerator

import snakemake_executor_plugin_slurm as slurm
from snakemake_executor_plugin_slurm import ExecutorSettings, common_settings
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

# As squeue calls a job that is over, and the stock executor does not know or leaves to SLURM: one that is put back is
# COMPLETING, then PENDING, or held for somebody to look at (SPECIAL_EXIT).
TAKEN_AWAY = {"PREEMPTED", "NODE_FAIL", "REVOKED", "LAUNCH_FAILED", "RECONFIG_FAIL", "SPECIAL_EXIT"}


class Executor(slurm.Executor):
    """See the module."""

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        active = [job async for job in super().check_active_jobs(active_jobs)]
        taken_away = _taken_away(active)
        for job in active:
            if job.external_jobid in taken_away:
                self.report_job_error(job, msg=f"SLURM has taken job {job.external_jobid} away. ")
            else:
                yield job
        # The stock one asks ever more seldom, up to every three minutes, while no job ends: what follows would wait.
        self.next_seconds_between_status_checks = self.workflow.executor_settings.init_seconds_before_status_checks

    def get_partition_arg(self, job: JobExecutorInterface) -> str:
        partition = job.resources.get("gpu") and job.resources.get("gpu_partition")
        return f" -p {shlex.quote(partition)}" if partition else super().get_partition_arg(job)

    def additional_general_args(self) -> str:
        # Not by a step of the allocation, which would have a Snakemake of its own: it takes seconds to start.
        return "--executor local"


def _taken_away(jobs: list[SubmittedJobInfo]) -> set[str | None]:
    """Numbers of those jobs that are over, and that the stock executor takes for running."""
    if not jobs:
        return set()
    numbers = {job.external_jobid for job in jobs}
    # Not --jobs: that fails as a whole when SLURM has forgotten one of them.
    command = ["squeue", "--noheader", f"--user={getpass.getuser()}", "--states=all", "--format=%i|%T"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    states = (line.split("|") for line in answer.split())
    return {number for number, state in states if number in numbers and state in TAKEN_AWAY}

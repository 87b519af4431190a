"""Snakemake's SLURM executor, which takes over the jobs that an earlier Snakemake left running.

A package of its own, because Snakemake finds its plugins by the names of top-level packages.

Snakemake's own executor forgets its jobs when it is killed: they run on, and the next Snakemake submits them again
beside them. This one

- gives all jobs of one working folder one name in SLURM, so that they are found again (and `squeue --name` watches,
  `scancel --name` stops all of them);
- keeps, when it submits a job, the record of what the job is made from, which Snakemake writes only when a job has
  finished: a job that finishes without its Snakemake is known for what it is, also when settings have changed since;
- looks, before it submits its first job, for those that are still in the queue. It takes over a job that it would
  submit just as it is, and cancels one that nobody needs any more or of which something has changed since.
"""

import asyncio
import getpass
import hashlib
import json
import math
import shlex
import subprocess
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import snakemake_executor_plugin_slurm as slurm
from snakemake_executor_plugin_slurm import common_settings
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from unimri.core.artifacts import remove, write_json


@dataclass
class ExecutorSettings(slurm.ExecutorSettings):
    """Those of the executor that this one builds on, and one more."""

    gpu_partition: Optional[str] = field(  # noqa: UP045 - Snakemake calls the type
        default=None,
        metadata={
            "help": "Partition of jobs that ask for GPUs, in place of their slurm_partition.",
            "env_var": False,
            "required": False,
        },
    )


__all__ = ["Executor", "ExecutorSettings", "common_settings"]

# Of a job that has not ended.
ALIVE = "PENDING,CONFIGURING,RUNNING,COMPLETING,SUSPENDED,REQUEUED,REQUEUE_HOLD,STOPPED,SIGNALING,STAGE_OUT"

# Seconds that Ctrl-C waits for cancelled jobs to end. SLURM itself kills them after its KillWait, 30 by default.
PATIENCE = 60.0


def run_name(folder: Path) -> str:
    """The name that the jobs of a working folder have in SLURM."""
    return f"unimri-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"


class Executor(slurm.Executor):
    """See the module."""

    def __post_init__(self, test_mode: bool = False) -> None:
        super().__post_init__(test_mode)
        self.run_uuid = run_name(Path(self.workflow.workdir_init))
        self.logger.info(f"Jobs of this folder are called {self.run_uuid} in SLURM: squeue --name={self.run_uuid}")
        # Numbers in SLURM of jobs of an earlier Snakemake that are wanted as they are; None until we have looked.
        self._left_running: set[str] | None = None
        self._met: set[JobExecutorInterface] = set()
        self._in_arrays: set[JobExecutorInterface] = set()

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        if self._left_running is None:
            self._left_running = self._look_around(jobs)
        super().run_jobs([])  # so that it knows the event loop
        # Not by the method that it overrides: of an array's jobs that one forgets those that come alone (2.8.0), and
        # asks for all of them what the first one needs.
        alike: dict[Any, list[JobExecutorInterface]] = defaultdict(list)
        for job in jobs:
            if not self._taken_over(job):
                array = not job.is_group() and not self.array_jobs.isdisjoint({job.rule.name, "all"})
                alike[(job.rule.name, *sorted(job.resources.items())) if array else id(job)].append(job)
        for together in alike.values():
            if len(together) > 1:
                self._submit_array_jobs(together)
            else:
                self._submit_job(together[0])

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        async for job in super().check_active_jobs(active_jobs):
            yield job
        # That asks ever more seldom, up to every three minutes, while no job ends: what follows would wait.
        self.next_seconds_between_status_checks = self.workflow.executor_settings.init_seconds_before_status_checks

    def get_partition_arg(self, job: JobExecutorInterface) -> str:
        partition = self.workflow.executor_settings.gpu_partition
        if partition and job.resources.get("gpu"):
            return f" -p {shlex.quote(partition)}"
        return super().get_partition_arg(job)

    def run_job(self, job: JobExecutorInterface) -> None:
        if self._keep_record([job]):
            super().run_job(job)

    def run_array_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        if self._keep_record(jobs):
            self._in_arrays.update(jobs)
            super().run_array_jobs(jobs)
            self._in_arrays.difference_update(jobs)

    def format_job_exec(self, job: JobExecutorInterface) -> str:
        command = super().format_job_exec(job)
        if job in self._in_arrays:
            return command
        # Not by steps of the allocation, each with a Snakemake of its own and one after the other: those of a group run
        # at once, on the CPUs that the group has asked for.
        return command.replace(self.additional_general_args(), "--executor local")

    def _look_around(self, jobs: list[JobExecutorInterface]) -> set[str]:
        """What an earlier Snakemake left running and is wanted; the rest is cancelled, and gone on return."""
        alive = self._alive()
        # What is not ready waits for another job, which will change what it is made from.
        ready = {*jobs, *self.workflow.dag.ready_jobs} if alive else ()
        for file in self._outputs_file("any").parent.glob("*"):
            if file.stem not in alive:
                file.unlink()
        wanted = {number for job in ready if (number := self._same(job, alive))}
        unwanted = sorted(alive - wanted)
        if unwanted:
            self.logger.info(
                f"SLURM jobs {', '.join(unwanted)}, left running by an earlier Snakemake, are cancelled: "
                "nothing needs them as they are."
            )
            self._cancel(unwanted)
        return wanted

    def _same(self, job: JobExecutorInterface, alive: set[str]) -> str | None:
        """Number of the SLURM job that is making all of `job` and from the same things, if there is one."""
        persistence, members = self.workflow.persistence, list(_members(job))
        for member in members:
            changed = persistence.params_changed(member) or any(persistence.code_changed(member))
            if changed or any(persistence.input_changed(member)) or not persistence.has_metadata(member):
                return None
        return next((number for number in sorted(alive) if _outputs(job) <= self._outputs(number)), None)

    def report_job_submission(self, job_info: SubmittedJobInfo, register_job: bool = True) -> None:
        # In a file of our own: Snakemake's mark of an incomplete file forgets the number as soon as the job has begun.
        # Several jobs, if one that was taken over makes all of them.
        outputs = self._outputs(job_info.external_jobid) | _outputs(job_info.job)
        write_json(self._outputs_file(job_info.external_jobid), sorted(outputs))
        super().report_job_submission(job_info, register_job)

    def _outputs_file(self, number: str) -> Path:
        return Path(self.workflow.persistence.path) / "unimri_slurm" / f"{number}.json"

    def _outputs(self, number: str) -> set[str]:
        """What a SLURM job makes; nothing when it is not known."""
        file = self._outputs_file(number)
        return set(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else set()

    def _taken_over(self, job: JobExecutorInterface) -> bool:
        if not self._left_running or job in self._met:
            return False
        # What fails is tried again, and not taken over again.
        self._met.add(job)
        number = self._same(job, self._left_running)
        if number is None:
            return False
        self.run_job_pre(job)
        self.logger.info(f"Job {job.jobid} runs already as SLURM job {number} of an earlier Snakemake: taken over.")
        info = SubmittedJobInfo(job, external_jobid=number, aux={"slurm_logfile": self.slurm_logdir / f"{number}.log"})
        self.report_job_submission(info)
        return True

    def _keep_record(self, jobs: list[JobExecutorInterface]) -> bool:
        try:
            asyncio.run(self._record([member for job in jobs for member in _members(job)]))
        except OSError as fault:
            for job in jobs:
                self._report_job_error_threadsafe(SubmittedJobInfo(job), f"Not submitted: {fault}.")
            return False
        return True

    async def _record(self, members: list[Any]) -> None:
        persistence = self.workflow.persistence
        for member in members:
            # In this order: at no time does a record stand beside files that were made from something else. The job
            # itself would remove them as the first thing.
            persistence.started(member)
            await member.remove_existing_output()
            await persistence.finished(member)
            persistence.started(member)

    def _alive(self) -> set[str]:
        command = ["squeue", "--noheader", "--array", f"--user={getpass.getuser()}", f"--name={self.run_uuid}"]
        answer = subprocess.run(
            [*command, f"--states={ALIVE}", "--format=%i"], capture_output=True, text=True, check=False
        )
        if answer.returncode:
            raise WorkflowError(
                f"squeue cannot say which jobs of an earlier Snakemake still run: {answer.stderr.strip()}. "
                "Start again when SLURM answers."
            )
        return set(answer.stdout.split())

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        # Those that have ended by now may have done all that they had to.
        cancelled = self._alive().intersection(str(info.external_jobid) for info in active_jobs)
        super().cancel_jobs(active_jobs)
        self._await_end(cancelled, PATIENCE)

    def _cancel(self, numbers: list[str]) -> None:
        subprocess.run(["scancel", *numbers], check=False)
        self._await_end(set(numbers))

    def _await_end(self, cancelled: set[str], seconds: float = math.inf) -> None:
        """Wait for cancelled jobs to be gone, and remove what they have made.

        One that is about to finish may still write everything, after its own Snakemake has taken it for failed and
        dropped its record: nobody would see any more what these files were made from.
        """
        end = time.monotonic() + seconds
        # A training that is cancelled writes its checkpoint first.
        while (left := self._alive() & cancelled) and time.monotonic() < end:
            self.logger.debug(f"waiting for {left} to end")
            time.sleep(1)
        for number in cancelled - left:
            for output in self._outputs(number):
                remove(Path(output))


def _members(job: JobExecutorInterface) -> Iterable[Any]:
    return job.jobs if job.is_group() else [job]


def _outputs(job: JobExecutorInterface) -> set[str]:
    return {str(output) for member in _members(job) for output in member.output}

"""What the executor of the cluster's profile takes for lost, with a squeue that is a script."""

from pathlib import Path

import pytest
from snakemake_executor_plugin_unimri_slurm import _taken_away
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo


def test_only_what_slurm_does_not_put_back_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"1": "PREEMPTED", "2": "COMPLETING", "3": "NODE_FAIL", "4": "PENDING", "5": "PREEMPTED"}
    states |= {"6": "LAUNCH_FAILED", "7": "REVOKED", "8": "SPECIAL_EXIT", "9": "RUNNING"}
    said = "\n".join(f"{number}|{state}" for number, state in states.items())
    (tmp_path / "squeue").write_text(f"#!/bin/sh\ncat <<END\n{said}\nEND\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert _taken_away([SubmittedJobInfo(None, number) for number in "12346789"]) == set("13678")
    assert _taken_away([]) == set()

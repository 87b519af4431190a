"""Jobs that an earlier Snakemake left to SLURM, with commands of SLURM that are a script each."""

from pathlib import Path

import pytest

from unimri.core.errors import UnimriError
from unimri.workflow.jobs import cancel_leftovers


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder from which jobs were submitted; what squeue says is in `queue`."""
    (tmp_path / ".snakemake/slurm_logs").mkdir(parents=True)
    tools = {
        "squeue": f"cat {tmp_path}/queue",
        "scancel": f'echo "$@" >> {tmp_path}/cancelled; [ -e {tmp_path}/hangs ] || : > {tmp_path}/queue',
    }
    for name, line in tools.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    jobs = (("my-snakemake", tmp_path), ("unimri_4f", tmp_path), ("unimri_4f", tmp_path / "other"))
    queue = "".join(f"{number}|{name}|{folder}\n" for number, (name, folder) in enumerate(jobs, 1))
    (tmp_path / "queue").write_text(queue)
    return tmp_path / "queue"


def test_those_of_the_folder_are_cancelled_and_no_others(queue: Path) -> None:
    cancel_leftovers(queue.parent)
    assert (queue.parent / "cancelled").read_text() == "2\n"
    cancel_leftovers(queue.parent)
    assert (queue.parent / "cancelled").read_text() == "2\n"


def test_one_that_does_not_end_is_said(queue: Path) -> None:
    (queue.parent / "hangs").touch()
    with pytest.raises(UnimriError, match="SLURM jobs 2 of an earlier Snakemake were cancelled and do not end"):
        cancel_leftovers(queue.parent, seconds=0)


def test_nothing_is_asked_where_nothing_was_submitted(queue: Path) -> None:
    (queue.parent / ".snakemake/slurm_logs").rmdir()
    cancel_leftovers(queue.parent)
    assert not (queue.parent / "cancelled").exists()


def test_a_slurm_that_does_not_answer_is_said(queue: Path) -> None:
    (queue.parent / "squeue").write_text("#!/bin/sh\necho Unable to contact slurm controller >&2; exit 1\n")
    with pytest.raises(UnimriError, match=r"squeue: Unable to contact slurm controller; it must say .* start again"):
        cancel_leftovers(queue.parent)

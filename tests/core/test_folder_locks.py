import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from unimri.core.errors import UnimriError
from unimri.core.locks import lock_folders

HOLDER = "import sys, time; from pathlib import Path; from unimri.core.locks import lock_folders; " + (
    "kept = lock_folders(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def holder(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()


def test_a_folder_that_another_process_has_is_refused_and_says_whose_it_is(tmp_path: Path, holder) -> None:
    with pytest.raises(UnimriError) as fault:
        lock_folders(tmp_path / "free", tmp_path)
    assert f"{tmp_path}: another Snakemake works on it" in str(fault.value)
    assert f"process {holder.pid}" in str(fault.value)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_folder_is_free_when_its_holder_has_died(tmp_path: Path, holder, ending) -> None:
    os.kill(holder.pid, ending)
    holder.wait()
    (lock,) = lock_folders(tmp_path)
    assert json.loads((tmp_path / ".lock.json").read_text())["process"] == os.getpid()
    lock.release()


def test_a_refusal_leaves_the_holders_name(tmp_path: Path, holder) -> None:
    before = (tmp_path / ".lock.json").read_bytes()
    for _ in range(2):
        with pytest.raises(UnimriError):
            lock_folders(tmp_path)
    assert (tmp_path / ".lock.json").read_bytes() == before


def test_what_cannot_be_locked_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnimriError, match="file: cannot be locked \\(File exists\\)"):
        lock_folders(tmp_path / "file")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_without_locks_it_warns_and_leaves_none_behind(tmp_path: Path, monkeypatch, caplog, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert lock_folders(tmp_path) == lock_folders(tmp_path) == []
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert f"{tmp_path}: no locks ({os.strerror(number)})" in caplog.text

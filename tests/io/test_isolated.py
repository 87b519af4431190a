"""A process of its own for reading: crashes, hangs and memory are told by the file's name, and nothing outlives us."""

import errno
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import pytest
from damage import crash, doze, fail, leave, read_from_nowhere, shout, spin, stall, stop, take

import unimri.core.stacks
from unimri.core.errors import AGAIN, ReadError, UnimriError
from unimri.core.stacks import Slices, in_memory
from unimri.io.isolated import Worker, isolated
from unimri.io.notes import heard, note

HERE = Path(__file__)


def number(_):
    return os.getpid()


def halves(_, count):
    return [np.arange(count, dtype=np.uint16), np.arange(count, dtype=np.float32) / 2]


def refuse(path):
    raise ReadError(path, "is too old", "make it young")


@pytest.fixture
def worker() -> Iterator[Worker]:
    """One that gives a second, and another for 1000 bytes."""
    worker = Worker(seconds=1, bytes_per_second=1000)
    yield worker
    worker.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.h5"
    path.write_bytes(b"scan")
    return path


def test_arrays_come_back_as_they_are_from_one_process_for_all_files(file):
    whole, half = isolated(file, "bad", halves, 3)
    assert (whole.dtype, half.dtype) == (np.uint16, np.float32)
    np.testing.assert_array_equal(whole, [0, 1, 2])
    np.testing.assert_array_equal(half, [0, 0.5, 1])
    first = isolated(file, "bad", number)
    assert first != os.getpid()
    assert isolated(HERE, "bad", number) == first


@pytest.mark.parametrize("function", [crash, read_from_nowhere, leave, stop, fail])
def test_whatever_goes_wrong_is_told_and_the_next_file_is_read(file, function):
    with pytest.raises(ReadError) as told:
        isolated(file, "is bad", function)
    assert (told.value.path, told.value.reason, told.value.mend) == (file, "is bad", AGAIN)
    assert isolated(file, "is bad", number) != os.getpid()


@pytest.mark.parametrize(("function", "arguments"), [(doze, (1000,)), (spin, ()), (stall, ())])
def test_a_file_that_takes_too_long_is_told_and_the_next_one_is_read(file, worker, function, arguments):
    before = worker.run(file, "is bad", number)
    with pytest.raises(ReadError, match=r"a\.h5: is bad; "):
        worker.run(file, "is bad", function, *arguments)
    assert not psutil.pid_exists(before)
    assert worker.run(file, "is bad", number) != before


def test_a_larger_file_may_take_longer(file, worker):
    file.write_bytes(bytes(9000))
    assert worker.run(file, "is bad", doze, 1.5) == 1.5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
def test_a_file_that_takes_more_memory_than_it_can_need_is_told(file):
    assert isolated(file, "is bad", take, 2**30) == 2**30
    with pytest.raises(ReadError, match=r"a\.h5: is bad"):
        isolated(file, "is bad", take, 5 * 2**30)
    with file.open("wb") as content:
        content.truncate(2**30)
    assert isolated(file, "is bad", take, 5 * 2**30) == 5 * 2**30


def test_a_fault_that_was_told_there_is_told_here(file, monkeypatch):
    isolated(file, "is bad", number)
    monkeypatch.chdir(file.parent)
    with pytest.raises(ReadError) as told:
        isolated(Path("a.h5"), "is bad", refuse)
    assert (told.value.path, told.value.reason, told.value.mend) == (Path("a.h5"), "is too old", "make it young")
    assert str(told.value) == "a.h5: is too old; make it young"


def test_a_fault_can_be_pickled():
    fault = pickle.loads(pickle.dumps(ReadError(Path("a"), "is too old", "make it young")))
    assert (fault.path, fault.reason, fault.mend) == (Path("a"), "is too old", "make it young")
    assert str(fault) == "a: is too old; make it young"


def test_a_process_that_ends_between_two_files_is_nobodys_fault(file, worker):
    for wait in (0, 0.5):
        os.kill(worker.run(file, "is bad", number), signal.SIGKILL)
        time.sleep(wait)
        assert worker.run(file, "is bad", take, 1) == 1


def stacks(_, count):
    kspace = Slices.of(np.arange(count * 6, dtype=np.complex64).reshape(count, 2, 3) * 1j, np.complex64)
    return {"kspace": kspace, "truth": Slices.new((0, 4), np.float32), "again": kspace}


@pytest.mark.parametrize("spool", [0, 2**26])
def test_slices_come_one_at_a_time(file, spool, monkeypatch):
    monkeypatch.setattr(unimri.core.stacks, "IN_MEMORY", spool)
    found = isolated(file, "is bad", stacks, 5)
    assert found["kspace"].dtype == np.complex64
    wanted = np.arange(30).reshape(5, 2, 3) * 1j
    np.testing.assert_array_equal(in_memory(found["kspace"]), wanted)
    np.testing.assert_array_equal(found["again"][1:4], wanted[1:4])
    assert found["truth"].shape == (0, 4)
    # In step with the next.
    assert isolated(file, "is bad", number) == isolated(file, "is bad", number)


def test_a_full_temporary_folder_is_not_taken_for_damage(file, worker, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Slices, "__setitem__", full)
    with pytest.raises(ReadError, match=r"a\.h5: is more than the temporary folder holds; .*TMPDIR"):
        worker.run(file, "is bad", stacks, 5)
    monkeypatch.undo()
    assert len(worker.run(file, "is bad", stacks, 5)["kspace"]) == 5


def noted(path):
    note(path, "is odd")
    return 3


def test_notes_come_with_the_result(file):
    with heard() as notes:
        assert isolated(file, "is bad", noted) == 3
    assert notes == ["is odd"]


def test_nothing_that_is_printed_there_comes_out_here(file, worker, capfd):
    worker.run(file, "is bad", shout)
    with pytest.raises(ReadError):
        worker.run(file, "is bad", crash)
    worker.close()
    assert capfd.readouterr() == ("", "")


PROGRAM = """
from damage import spin
from test_isolated import HERE, halves, number
from unimri.core.stacks import Slices, in_memory
from unimri.io.isolated import isolated
print(isolated(HERE, "is bad", number), flush=True)
isolated(HERE, "is bad", {function})
"""


def start(function: str) -> tuple[subprocess.Popen, int]:
    """Run a program in which a function of a file is running, and give the process that runs it."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(function=function)],
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that a shell runs in the background have Ctrl-C ignored, and would hand that on.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    return program, int(program.stdout.readline())


def ended(process: int) -> bool:
    """Whether a process is gone, or waits for nobody but the system to notice."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_process_ends_with_the_program():
    program, process = start("number")
    assert program.communicate(timeout=20) == ("", "")
    assert program.returncode == 0
    assert ended(process)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_program_that_another_has_started_reads_with_a_process_of_its_own_and_ends(file, method):
    before = isolated(file, "is bad", number)
    program = get_context(method).Process(target=isolated, args=(file, "is bad", halves, 3))
    program.start()
    program.join(20)
    if program.is_alive():
        program.kill()
    assert program.exitcode == 0
    assert isolated(file, "is bad", number) == before


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_process_ends_however_the_program_does(how):
    program, process = start("spin")
    begun = psutil.Process(process).cpu_times().user
    while psutil.Process(process).cpu_times().user < begun + 0.3:
        time.sleep(0.05)
    program.send_signal(how)
    program.communicate(timeout=20)
    assert program.returncode != 0
    deadline = time.monotonic() + 5
    while not (gone := ended(process)) and time.monotonic() < deadline:
        time.sleep(0.05)
    if not gone:
        os.kill(process, signal.SIGKILL)
    assert gone


class Unknown:
    def __reduce__(self):
        return import_module, ("no_such_module",)


def test_a_function_that_cannot_be_imported_is_told(file, worker):
    with pytest.raises(UnimriError, match=r"a\.h5: its reader cannot be imported \(No module named 'no_such_module'\)"):
        worker.run(file, "is bad", Unknown())
    assert worker.run(file, "is bad", take, 1) == 1

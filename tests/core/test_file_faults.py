"""What is said of a file that the system does not give: not that it is damaged. And HDF5 where there are no locks."""

import ast
import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import h5py
import numpy as np
import pytest
from scan_files import noise, write_fastmri

from unimri.core.errors import AGAIN, ReadError, check_file, unreadable
from unimri.core.hdf5 import hdf5_file, writing_hdf5
from unimri.io.formats import load_kspace
from unimri.models.folder import load_tensors
from unimri.physics.masks import read_mask

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOENT, "is missing"),
        (errno.EACCES, "must not be read; ask its owner"),
        (errno.EAGAIN, "is in use"),
        (errno.ENOLCK, "is in use"),
        (errno.EIO, "is not given by its disk or network"),
        (errno.ESTALE, "is not given by its disk or network"),
        (errno.EMFILE, "ulimit"),
    ],
)
def test_the_system_tells_what_is_wrong(number, says):
    fault = unreadable(Path("a.h5"), OSError(number, "?"), "is bad")
    assert str(fault).startswith(f"a.h5: {says}") or says in str(fault)
    assert AGAIN not in str(fault)


@pytest.mark.parametrize("error", [OSError("file signature not found"), OSError(errno.EINVAL, "?"), ValueError()])
def test_all_else_is_damage(error):
    fault = unreadable(Path("a.h5"), error, "is bad")
    assert str(fault) == f"a.h5: is bad; {AGAIN}"


def test_a_pipe_is_no_file(tmp_path):
    for name in ("scan.h5", "scan.npy", "mask.npy", "a.safetensors"):
        os.mkfifo(tmp_path / name)
    for call, name in (
        (load_kspace, "scan.h5"),
        (load_kspace, "scan.npy"),
        (read_mask, "mask.npy"),
        (load_tensors, "a.safetensors"),
        (check_file, "mask.npy"),
    ):
        with pytest.raises(ReadError, match=f"{name}: is no file"):
            call(tmp_path / name)


@pytest.mark.parametrize(("call", "name"), [(read_mask, "mask.npy"), (load_tensors, "a.safetensors")])
def test_a_missing_file_is_missing_and_not_damaged(tmp_path, call, name):
    with pytest.raises(ReadError, match=f"{name}: is missing; check the path"):
        call(tmp_path / name)


def test_a_file_that_another_program_holds_is_read(tmp_path):
    path = write_fastmri(tmp_path / "file1.h5", kspace=noise(2, 16, 10))
    with path.open("rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert load_kspace(path).kspace.shape == (2, 1, 16, 10)


def test_a_file_whose_writer_was_killed_is_not_called_damaged(tmp_path):
    path = tmp_path / "file1.h5"
    program = "import h5py, os, sys; file = h5py.File(sys.argv[1], 'w', libver='latest'); file['kspace'] = [1j]; "
    subprocess.run([sys.executable, "-c", program + "file.flush(); os._exit(0)", path], check=True)
    with pytest.raises(ReadError, match="is being written, or its writer was killed"):
        load_kspace(path)


def test_nothing_else_opens_hdf5_files():
    for path in (ROOT / "unimri").rglob("*.py"):
        if path.name != "hdf5.py":
            names = [node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
            assert "File" not in names, path


NO_LOCKS = "#include <errno.h>\nint flock(int file, int how) { (void)file, (void)how; errno = %d; return -1; }\n"


@pytest.mark.skipif(which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_files_are_read_and_written_where_there_are_no_locks(tmp_path, number):
    (tmp_path / "locks.c").write_text(NO_LOCKS % number)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "locks.so", "locks.c"], cwd=tmp_path, check=True)
    write_fastmri(tmp_path / "file1.h5", kspace=noise(2, 16, 10))
    program = (
        "from pathlib import Path\n"
        "from unimri.data.shard import writing_shard\n"
        "from unimri.io.formats import load_kspace\n"
        "with writing_shard(Path('shard-000.h5'), 'brain', 8): pass\n"
        "if __name__ == '__main__': print(load_kspace('file1.h5').kspace.shape)\n"
    )
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=os.environ | {"LD_PRELOAD": str(tmp_path / "locks.so"), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "(2, 1, 16, 10)\n", done.stderr
    with h5py.File(tmp_path / "shard-000.h5") as file:
        assert file["slices"].shape == (0, 8, 8)


def test_hdf5_is_written_and_read_while_the_program_has_it_open_with_locks(tmp_path):
    with writing_hdf5(tmp_path / "a.h5") as file:
        file["a"] = np.arange(3)
    with h5py.File(tmp_path / "a.h5"), hdf5_file(tmp_path / "a.h5") as file:
        assert file["a"][2] == 2

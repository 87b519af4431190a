"""Opening HDF5 files, for reading and for writing: the one place that does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from unimri.core.errors import unwritable

# What HDF5 has not written yet, and writes beside the data.
_AROUND = 4_000_000


def hdf5_file(path: Path) -> Any:
    """Open a file for reading as h5py does, without a lock.

    Network file systems may have no locks (Lustre, BeeGFS, NFS), and HDF5 would then refuse good files. What is read
    here is not changed meanwhile.

    Raises
    ------
    OSError : when it cannot be opened, with an `errno` where the system refused it and not the library.
    """
    try:
        return h5py.File(path, locking=False)
    except OSError as error:
        # The program itself has it open already, with locks.
        if "locking flag" not in str(error):
            raise
        return h5py.File(path)


@contextmanager
def writing_hdf5(path: Path, room: int = 0) -> Iterator[Any]:
    """Write a new file, without a lock.

    Parameters
    ----------
    room : bytes that it will take; what they are not known for is asked for with `check_room` as it comes.

    Raises
    ------
    OSError : when there is no room for them, with an `errno`.
    """
    with h5py.File(path, "w", locking=False) as file:
        check_room(file, room)
        yield file


def check_room(file: Any, count: int) -> None:
    """Ask the disk for so many bytes more before HDF5 writes them: where it cannot, it ends the process (SIGSEGV).

    Raises
    ------
    OSError : when they are not to be had.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with Path(file.filename).open("r+b") as raw:
        written = os.fstat(raw.fileno()).st_size
        try:
            os.posix_fallocate(raw.fileno(), written, count + _AROUND)
        except OSError as fault:
            # Some file systems cannot tell.
            if unwritable(fault) is not None:
                raise
        finally:
            os.truncate(raw.fileno(), written)

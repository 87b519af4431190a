"""Opening HDF5 files, for reading and for writing: the one place that does."""

from pathlib import Path
from typing import Any, Literal

import h5py


def hdf5_file(path: Path, mode: Literal["r", "r+", "w"] = "r") -> Any:
    """Open a file as h5py does, without a lock.

    Network file systems may have no locks (Lustre, BeeGFS, NFS), and HDF5 would then refuse good files. What is read
    here is not changed meanwhile, and what is written has a name of its own until it is whole.

    Raises
    ------
    OSError : when it cannot be opened, with an `errno` where the system refused it and not the library.
    """
    try:
        return h5py.File(path, mode, locking=False)
    except OSError as error:
        # The program itself has it open already, with locks.
        if "locking flag" not in str(error):
            raise
        return h5py.File(path, mode)

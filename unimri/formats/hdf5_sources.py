"""Finding the volumes of folders in which HDF5 files of several kinds may lie."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from unimri.data.read.error import ReadError
from unimri.data.read.hdf5_file import UNREADABLE
from unimri.data.read.isolated import isolated
from unimri.formats.scan import Found


def find_hdf5(root: Path, files: Sequence[Path], title: str, is_kind: Callable[[Path], bool]) -> list[Found]:
    """The `.h5` files for which `is_kind` holds, and those that cannot be opened, with the fault.

    Parameters
    ----------
    root, files : see `Format.find`.
    title : of the progress bar.
    is_kind : runs in another process, see `isolated`.
    """
    found = []
    for path in tqdm([path for path in files if path.suffix.lower() == ".h5"], desc=title, unit="file", disable=None):
        name = name_below(root, path)
        try:
            if isolated(path, UNREADABLE, is_kind):
                found.append(Found(name, (path,)))
        except ReadError as fault:
            found.append(Found(name, (path,), fault))
    return found


def name_below(root: Path, path: Path) -> str:
    """Path of a file below the input; its own name where it is the input."""
    return path.name if path == root else path.relative_to(root).as_posix()

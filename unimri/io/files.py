"""The files of a folder."""

from pathlib import Path

from unimri.core.errors import UnimriError


def check_folder(folder: Path) -> None:
    """Raise UnimriError unless `folder` is a folder that holds something."""
    if not folder.exists():
        raise UnimriError(f"{folder}: no such folder; check the path")
    if not folder.is_dir():
        raise UnimriError(f"{folder}: is a file; give the folder that holds the data set")
    if not any(folder.iterdir()):
        raise UnimriError(f"{folder}: the folder is empty; put the data set there or give another folder")


def files_below(folder: Path) -> list[Path]:
    """All files below `folder`, sorted, without hidden ones (`._*` of macOS, `.git`).

    Raises
    ------
    UnimriError
        When `folder` does not exist, is no folder or is empty.
    """
    check_folder(folder)
    return sorted(
        path
        for path in folder.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts) and path.is_file()
    )


def nothing_found(folder: Path, wanted: str) -> UnimriError:
    """The fault of a folder that holds files, but none of the format: `wanted` says what was looked for."""
    return UnimriError(f"{folder}: found no {wanted}; check the folder and the format")


def name_below(root: Path, path: Path) -> str:
    """Path of a file below the input; its own name where it is the input."""
    return path.name if path == root else path.relative_to(root).as_posix()

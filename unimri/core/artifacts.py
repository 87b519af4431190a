"""Writing artifacts whole or not at all, and the digests that name them."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from unimri.core.errors import UnimriError, unreadable
from unimri.core.settings import parse_json


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write a file or folder to; rename it to `path` on success.

    When the body raises, the temporary is removed and whatever stood at `path` is untouched. On return file and name
    are on the disk, and not only in the system's memory.

    Raises
    ------
    OSError : when it cannot be written; it names `path`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as fault:
        raise UnimriError(f"{fault.filename}: is no folder; give another place for {path.name}") from None
    # The suffix stays last: libraries such as nibabel and matplotlib choose the format by it.
    temporary = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield temporary
        if temporary.is_dir():
            if path.exists():
                shutil.rmtree(path)
        else:
            _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except BaseException as fault:
        remove(temporary)
        # A full disk names no file, or the temporary one.
        if isinstance(fault, OSError) and fault.errno and str(fault.filename or temporary).startswith(str(temporary)):
            fault.filename = str(path)
        raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, name: str) -> None:
    """Remove what a killed process left of what it was writing to `folder` under names that match the pattern."""
    for temporary in folder.glob(f".partial-*-{name}"):
        remove(temporary)


def remove_all_leftovers(folder: Path) -> None:
    """Remove what killed processes left of what they were writing below `folder`, in which nobody may write now."""
    for inside, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if name.startswith(".partial-"):
                remove(Path(inside) / name)
        folders[:] = [name for name in folders if not name.startswith(".partial-")]


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path` like `write_text`, readable by its owner alone, and so its folder if it is new."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as JSON with sorted keys, so that equal content is equal bytes."""
    write_text(path, as_json(content))


def as_json(content: Any) -> str:
    """The text of `write_json`."""
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_made(path: Path, digest: str, mend: str) -> None:
    """Compare a file with the SHA-256 that was noted when it was made, once a process while nobody touches it.

    Raises
    ------
    UnimriError : when it is missing, cannot be read or is another; `mend` says what to do.
    """
    try:
        status = path.stat()
        # The time of the last change of its status cannot be set back, as that of its content can.
        found = _sha256(path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except FileNotFoundError:
        raise UnimriError(f"{path}: no such file; {mend}") from None
    except OSError as fault:
        raise unreadable(path, fault, "cannot be read", mend) from None
    if found != digest:
        raise UnimriError(f"{path}: is not the file that was made (SHA-256); {mend}")


@lru_cache(4096)
def _sha256(path: Path, *_: int) -> str:
    return sha256(path)


@contextmanager
def noting(path: Path) -> Iterator[Path]:
    """As `replacing` for a file, and note its SHA-256 beside it, as `sha256sum --check` reads it; see `check_noted`."""
    note = _note(path)
    with replacing(path) as temporary:
        yield temporary
        digest = sha256(temporary)
        # Killed before the new one is written, it has none, and passes for what it is: a file to be made again.
        note.unlink(missing_ok=True)
    write_text(note, f"{digest}  {path.name}\n")


def check_noted(path: Path, again: str = "") -> None:
    """Compare a file with the SHA-256 that was noted when it was made: beside it, or in the record of its training.

    Parameters
    ----------
    again : how to make it again; blank for what the workflow alone makes.

    Raises
    ------
    UnimriError : when it is not the file that was made. A file of which nothing is noted is taken as it is.
    """
    digest = _noted(path)
    if digest is not None:
        # What is no longer below the experiment's results cannot be made again where it lies.
        given = any((folder / "description.json").exists() for folder in path.parents[:2])
        check_made(path, digest, again or ("copy the model again" if given else make_again(path)))


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _noted(path: Path) -> str | None:
    try:
        return _note(path).read_text(encoding="ascii").partition(" ")[0]
    except FileNotFoundError:
        pass
    except (OSError, ValueError):
        return ""
    model, own = "model.json", f"{path.name.partition('.')[0]}.json"
    for record, name in (
        (path.with_name(own), path.name),
        (path.with_name(model), path.name),
        (path.parent.parent / model, f"{path.parent.name}/{path.name}"),
    ):
        try:
            return str(parse_json(record.read_text(encoding="utf-8"))["files"][name])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def make_again(path: Path) -> str:
    """The mend of a file that the workflow made, and which is not what it was."""
    return f"make it again: `snakemake --force {path}` with your configuration"

"""A model as one file: its folder as a ZIP archive, uncompressed, whose bytes depend on its content alone."""

import lzma
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from unimri.core.artifacts import replacing
from unimri.core.errors import UnimriError
from unimri.deploy.description import DESCRIPTION, ModelDescription

SUFFIX = ".unimri"

# A time that ZIP can write; the real one would change the bytes.
_TIME = (1980, 1, 1, 0, 0, 0)

# A base with its ASPINs has under a megabyte at the paper's size.
_LARGEST = 2**30

# What `zipfile` and its decompressors raise for damaged files.
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    RuntimeError,
    NotImplementedError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def pack(folder: Path, output: Path) -> None:
    """Write a model's folder to one file.

    Raises
    ------
    UnimriError : when the folder is no model, its files are not those that were made, or `output` has another ending.
    """
    if output.suffix != SUFFIX:
        raise UnimriError(f"{output}: a model's one file must end in {SUFFIX}")
    description = ModelDescription.load(folder)
    description.check_files(folder)
    with replacing(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name in (DESCRIPTION, *sorted(description.files)):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes())


def unpack(path: Path, folder: Path) -> None:
    """Write the files of a packed model to a folder that is not there yet, and compare them with their digests.

    Raises
    ------
    UnimriError : when the file is damaged or no packed model.
    """
    try:
        with zipfile.ZipFile(path) as archive, replacing(folder) as temporary:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > _LARGEST:
                raise UnimriError(f"{path}: holds more than {_LARGEST >> 20} MB; it is no model")
            for entry in entries:
                place = PurePosixPath(entry.filename)
                if place.is_absolute() or ".." in place.parts or entry.is_dir():
                    raise UnimriError(f"{path}: holds {entry.filename!r}, which no model does")
                target = temporary / place
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
            _check(temporary, path)
    except _DAMAGED as fault:
        raise UnimriError(f"{path}: cannot be read as a model ({fault}); copy it again") from None


def _check(folder: Path, path: Path) -> None:
    """Compare unpacked files with their digests; faults name the one file that was given."""
    try:
        ModelDescription.load(folder).check_files(folder)
    except UnimriError as fault:
        raise UnimriError(str(fault).replace(str(folder), str(path))) from None


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Give the folder of a model: itself, or where its one file is unpacked to for as long as the context lasts."""
    if path.is_dir():
        yield path
        return
    with TemporaryDirectory(prefix="unimri-") as temporary:
        folder = Path(temporary) / path.stem
        unpack(path, folder)
        yield folder

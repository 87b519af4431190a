"""Models on disk: where they are found that nobody names a path of, packed to one file, added and removed."""

import lzma
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from platformdirs import user_data_path

from unimri.core.artifacts import remove, replacing
from unimri.core.errors import UnimriError
from unimri.deploy.description import DESCRIPTION, ModelDescription

VARIABLE = "UNIMRI_MODELS"
"""Of the environment: folders that models are looked for in, separated as in `PATH`."""

SUFFIX = ".unimri"
"""Of a model's one file: its folder as a ZIP archive, uncompressed, whose bytes depend on its content alone."""

# A time that ZIP can write; the real one would change the bytes.
_TIME = (1980, 1, 1, 0, 0, 0)

# A base with its ASPINs has under a megabyte at the paper's size.
_LARGEST = 2**30

# Snakemake puts it into folders that a rule makes.
_SNAKEMAKES = ".snakemake_timestamp"

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


def search_path() -> list[Path]:
    """Folders that models are looked for in, the first first.

    Those of the environment variable `UNIMRI_MODELS` (separated as in `PATH`); `models` of the user's own data folder,
    where `unimri models add` puts them; `results/models` of the working folder, where the workflow puts what it has
    trained; and the same of the checkout that this package is run from.
    """
    named = [Path(folder) for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
    checkout = Path(__file__).parents[2]
    checkout = Path() if checkout.absolute() == Path.cwd() else checkout
    own = [Path("results/models"), *([checkout / "results/models"] if (checkout / "Snakefile").is_file() else [])]
    return list(dict.fromkeys([*named, user_models(), *own]))


def user_models() -> Path:
    """Where a user's own models lie."""
    return user_data_path("unimri", appauthor=False) / "models"


def list_models() -> list[Path]:
    """Folders of all models that are found, in the order of `search_path`; each once."""
    found: dict[Path, Path] = {}
    for folder in search_path():
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if not path.name.startswith(".") and (path / DESCRIPTION).is_file():
                    found.setdefault(path.resolve(), path)
    return list(found.values())


def find_model(name: Path | str | None = None, acceleration: float | None = None) -> Path:
    """The folder, or the one file, of a model.

    Parameters
    ----------
    name : its path, or its name; None for the default: the one whose acceleration is nearest to `acceleration`, or the
        first.

    Raises
    ------
    UnimriError : when there is none.
    """
    if name is not None and (Path(name) / DESCRIPTION).is_file():
        return Path(name)
    if name is not None and Path(name).is_file():
        if Path(name).suffix != SUFFIX:
            raise UnimriError(f"{name}: is no model; give its folder, or its one file (*{SUFFIX})")
        return Path(name)
    models = list_models()
    if name is not None:
        for path in models:
            if path.name == str(name) or _says(path, str(name)):
                return path
        if Path(name).exists():
            raise UnimriError(
                f"{name}: is no model (it has no {DESCRIPTION}); `unimri models list` says which there are"
            )
    if not models or name is not None:
        places = ", ".join(map(str, search_path()))
        what = "no model is there" if name is None else f"{name}: no such model"
        raise UnimriError(
            f"{what}; looked in {places}: run `make reproduce` in a checkout, or name a model's folder with -m"
        )
    if acceleration is None:
        return models[0]
    return min(models, key=lambda path: abs(ModelDescription.load(path).acceleration - acceleration))


def _says(path: Path, name: str) -> bool:
    """Whether a model calls itself so; a damaged one must not stand in the way of others."""
    try:
        return ModelDescription.load(path).name == name
    except UnimriError:
        return False


def describe(name: Path | str | None = None) -> ModelDescription:
    """The description of a model that `find_model` finds; errors as that and `ModelDescription.load`."""
    with opened(find_model(name)) as folder:
        return ModelDescription.load(folder)


def pack(folder: Path, output: Path) -> None:
    """Write a model's folder to one file.

    Raises
    ------
    UnimriError : when the folder is no model, its files are not those that were made, or `output` is there or has
        another ending.
    """
    if output.exists():
        raise UnimriError(f"{output}: is there already; remove it, or give another name")
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


def install(source: Path, models: Path) -> Path:
    """Copy a model's folder to where models are found; give its folder there.

    Raises
    ------
    UnimriError : when there is one of its name.
    """
    description = ModelDescription.load(source)
    description.check_files(source)
    target = models / description.name
    if target.exists():
        raise UnimriError(f"{target}: is there already; `unimri models remove {description.name}` first")
    with replacing(target) as temporary:
        shutil.copytree(source, temporary, ignore=shutil.ignore_patterns(".*"))
    return target


def uninstall(name: str) -> Path:
    """Remove a model that `install` copied to the user's own; give where its folder was.

    Raises
    ------
    UnimriError : when there is none of this name.
    """
    folder = user_models() / Path(name).name
    ModelDescription.load(folder)
    remove(folder)
    return folder


def changeable(folder: Path) -> ModelDescription:
    """Give the description of a model whose ASPINs may be changed.

    Raises
    ------
    UnimriError : when it is one file, is the workflow's, which would make it again without them, or is damaged.
    """
    if not folder.is_dir():
        raise UnimriError(f"{folder}: is one file; unpack it with `unimri models add`, and name the folder")
    if (folder / _SNAKEMAKES).exists():
        raise UnimriError(
            f"{folder}: is the workflow's, which may make it again; copy it first: `unimri models add {folder}`"
        )
    description = ModelDescription.load(folder)
    description.check_files(folder)
    return description

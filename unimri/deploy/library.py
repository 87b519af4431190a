"""Models on disk: what each says of itself, where they are found, packed to one file, added and removed.

Nothing here needs torch: the workflow's plan describes models, too.
"""

import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, Self

from platformdirs import user_data_path
from pydantic import AfterValidator, Field, model_validator

from unimri.core.artifacts import check_made, remove, replacing, sha256, write_json
from unimri.core.errors import UnimriError, check_file
from unimri.core.settings import AnatomyName, Settings, check_plain, read_settings
from unimri.metrics.base import MetricSettings
from unimri.physics.mask import Acceleration
from unimri.physics.masks import MaskSettings

DESCRIPTION = "description.json"

LEVELS = (0.03, 0.1, 0.2, 0.4, 0.6)
"""Fractions of a volume's largest intensity; a slice's features hold how much of it is brighter than each."""

FEATURES = 18 + len(LEVELS)
"""How many features a slice has, see `unimri.deploy.estimates.features`."""

VARIABLE = "UNIMRI_MODELS"
"""Of the environment: folders that models are looked for in, separated as in `PATH`."""

SUFFIX = ".unimri"
"""Of a model's one file: its folder as a ZIP archive, uncompressed, whose bytes depend on its content alone."""

# A time that ZIP can write; the real one would change the bytes.
_TIME = (1980, 1, 1, 0, 0, 0)

# A base with its ASPINs has under a megabyte at the paper's size, and its description 20 kB.
_LARGEST, _LONGEST, _MOST_FILES = 2**30, 10_000_000, 10_000

# Snakemake puts it into folders that a rule makes.
SNAKEMAKES = ".snakemake_timestamp"


def _inside(name: str) -> str:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or name != PurePosixPath(name).as_posix():
        raise ValueError(f"{name!r} is no name of a file inside the model's folder")
    return name


class AnatomyTask(Settings):
    """An anatomy of the experiment that a model is made from."""

    origin: Literal["simulated", "real"]
    role: Literal["base", "new"]
    crop: int | None


class ModelTask(Settings):
    """All that a model of a finished experiment is made from, apart from files."""

    name: str
    acceleration: float
    mask: MaskSettings
    smoothing: float | None
    metrics: MetricSettings
    anatomies: dict[str, AnatomyTask]
    settings: dict[str, Any]


class Quality(Settings):
    """Means over the slices of a test split: PSNR in dB, SSIM in percent, of this model and of zero filling."""

    slices: int
    patients: int
    psnr_db: float
    ssim_percent: float
    zero_filled_psnr_db: float
    zero_filled_ssim_percent: float

    @classmethod
    def of(cls, slices: int, patients: int, own: tuple[float, float], zero_filled: tuple[float, float]) -> Self:
        """From PSNR and SSIM of the model and of zero filling."""
        return cls(
            slices=slices,
            patients=patients,
            # Not rounded: whoever prints them rounds once.
            psnr_db=own[0],
            ssim_percent=own[1],
            zero_filled_psnr_db=zero_filled[0],
            zero_filled_ssim_percent=zero_filled[1],
        )


class ChoiceQuality(Settings):
    """How good `--anatomy auto` is on the test split, by volumes.

    `right` are those whose own anatomy was chosen, `refused` those that were found to be like none. `loss_db` is the
    mean over the others of what PSNR loses against knowing the anatomy, `largest_loss_db` the largest of them.
    `strangers_refused` are those that are found to be like none when their own ASPIN is taken away.
    """

    volumes: int
    right: int
    refused: int
    loss_db: float
    largest_loss_db: float
    strangers_refused: int


class Adaptation(Settings):
    """How an ASPIN came about that was fitted to somebody's own scans; see `unimri.deploy.adapt`."""

    training_slices: int
    validation_slices: int
    image_size: int
    seed: int
    epochs: int
    learning_rate: float
    data_sha256: str = Field(description="of the manifest of the prepared slices")
    code: str
    versions: dict[str, str]


class AnatomyDescription(Settings):
    """One anatomy that a model has an ASPIN for.

    `scale_factor` is the largest intensity of a volume over the largest of its zero-filled image, the upper quartile
    over training volumes: how the scale of a scan that is not known fully sampled is estimated. `features` are means
    of its training slices, and `largest_distance` where scans stop to be like them, see `unimri.deploy.estimates`.
    `crop` is the side, in the scanner's pixels, of the centre that its slices were cut from; None: whole slices.
    `adaptation` is None for those that the experiment itself trained.
    """

    origin: Literal["simulated", "real"]
    role: Literal["base", "new"]
    crop: int | None = Field(ge=8, le=8192)
    scale_factor: float = Field(gt=0)
    features: list[float] = Field(min_length=FEATURES, max_length=FEATURES)
    largest_distance: float = Field(gt=0)
    training_patients: int
    quality: Quality | None = None
    adaptation: Adaptation | None = None


class ModelDescription(Settings):
    """A model's conventions and scores. `files` holds the SHA-256 of every other file of the folder, by its name."""

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    acceleration: Acceleration
    mask: MaskSettings
    image_size: int = Field(ge=1, le=4096, description="side of the slices that it was trained on, in pixels")
    smoothing: float | None = Field(ge=0, description="with which they were made smaller; see `preparation.smoothing`")
    metrics: MetricSettings
    anatomies: dict[AnatomyName, AnatomyDescription]
    inverse_covariance: list[Annotated[list[float], Field(min_length=FEATURES, max_length=FEATURES)]] = Field(
        min_length=FEATURES, max_length=FEATURES, description="of features, see `unimri.deploy.estimates`"
    )
    choice: ChoiceQuality | None = None
    settings: dict[str, Any] = Field(description="the experiment's, without folders and files")
    versions: dict[str, str]
    files: dict[Annotated[str, AfterValidator(_inside)], str]

    @model_validator(mode="before")
    @classmethod
    def _is_plain(cls, content: Any) -> Any:
        return check_plain(content)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model's description.

        Raises
        ------
        UnimriError : when the folder holds none, or a damaged one.
        """
        if not (folder / DESCRIPTION).is_file():
            raise UnimriError(
                f"{folder}: is no model (it has no {DESCRIPTION}); `unimri models list` says which there are"
            )
        if (folder / DESCRIPTION).stat().st_size > _LONGEST:
            raise UnimriError(f"{folder / DESCRIPTION}: is larger than any model's description; copy the model again")
        return read_settings(cls, folder / DESCRIPTION, "copy the model again, or make anew what an older unimri made")

    def save(self, folder: Path) -> None:
        """Write the description; see `load`."""
        write_json(folder / DESCRIPTION, self.model_dump(mode="json"))

    @property
    def base_sha256(self) -> str:
        """SHA-256 of the base's weights: an adapter fits the base that it was fitted to, and no other."""
        return self.files.get("model.safetensors", "")

    def about_export(self, anatomy: str) -> dict[str, str]:
        """What a file of the network with this anatomy's ASPIN alone says of itself."""
        return {
            "model": self.name,
            "anatomy": anatomy,
            "origin": f"{self.anatomies[anatomy].origin} scans",
            "acceleration": f"{self.acceleration:g}",
            "base_sha256": self.base_sha256,
            "scale_factor": f"{self.anatomies[anatomy].scale_factor:.6g}",
        }

    def check_files(self, folder: Path) -> Self:
        """Compare every file of a model's folder with its digest; give the description itself.

        Raises
        ------
        UnimriError : when one is missing, differs, or is there without being described.
        """
        for name, digest in self.files.items():
            path = folder / name
            # Of the workflow's own models `unimri reuse` makes links.
            if not (folder / SNAKEMAKES).exists() and not path.resolve().is_relative_to(folder.resolve()):
                raise UnimriError(f"{path}: is a link that leads out of the model; copy the model with `cp -rL`")
            if path.exists():
                check_file(path)
            check_made(path, digest, "copy the model again")
        strangers = sorted(set(list_files(folder)) - set(self.files))
        if strangers:
            raise UnimriError(f"{folder / strangers[0]}: does not belong to the model; remove it")
        return self


def list_files(folder: Path) -> list[str]:
    """Names of the files of a model's folder, relative to it, without its description."""
    return sorted(
        name
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
        if (name := path.relative_to(folder).as_posix()) != DESCRIPTION
    )


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each of them."""
    return {name: sha256(folder / name) for name in list_files(folder)}


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
    models = list_models()
    if name is not None:
        given = Path(name)
        if (given / DESCRIPTION).is_file() or (given.is_file() and given.suffix.lower() == SUFFIX):
            return given
        if given.is_file():
            raise UnimriError(f"{name}: is no model; give its folder, or its one file (*{SUFFIX})")
        for path in models:
            if path.name == str(name) or _says(path, str(name)):
                return path
        if given.exists():
            # Which says that it is none.
            ModelDescription.load(given)
    if not models or name is not None:
        places = ", ".join(map(str, search_path()))
        what = "no model is there" if name is None else f"{name}: no such model"
        raise UnimriError(f"{what}; looked in {places}: run `make reproduce` in a checkout, or name a model's folder")
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
    """The description of a model; arguments and errors as `find_model` and `ModelDescription.load`."""
    with opened(name) as folder:
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
    if output.suffix.lower() != SUFFIX:
        raise UnimriError(f"{output}: a model's one file must end in {SUFFIX}")
    description = ModelDescription.load(folder).check_files(folder)
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
            if len(entries) > _MOST_FILES or sum(entry.file_size for entry in entries) > _LARGEST:
                raise UnimriError(
                    f"{path}: holds more than {_LARGEST >> 20} MB, or {_MOST_FILES} files; it is no model"
                )
            for entry in entries:
                place = PurePosixPath(entry.filename)
                # What is hidden would not be compared with a digest.
                if place.is_absolute() or place.name.startswith(".") or ".." in place.parts or entry.is_dir():
                    raise UnimriError(f"{path}: holds {entry.filename!r}, which no model does")
                target = temporary / place
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
            try:
                ModelDescription.load(temporary).check_files(temporary)
            except UnimriError as fault:
                # The file that was given, and not where it was unpacked to.
                raise UnimriError(str(fault).replace(str(temporary), str(path))) from None
    except UnimriError:
        raise
    # `zipfile` and its decompressors raise whatever they meet in a damaged file.
    except Exception as fault:
        raise UnimriError(f"{path}: cannot be read as a model ({fault}); copy it again") from None


@contextmanager
def opened(name: Path | str | None = None) -> Iterator[Path]:
    """Find a model and give its folder, of one file where it is unpacked to for as long as the context lasts.

    Arguments and errors are those of `find_model`.
    """
    path = find_model(name)
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
    description = ModelDescription.load(source).check_files(source)
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

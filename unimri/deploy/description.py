"""What a model that is given to others says of itself: its conventions, its scores, where it comes from.

Nothing here needs torch: the workflow's plan describes models, too.
"""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from unimri.core.artifacts import sha256, write_json
from unimri.core.errors import UnimriError
from unimri.core.settings import Settings, read_settings
from unimri.metrics.settings import MetricSettings
from unimri.physics.masks import MaskSettings

DESCRIPTION = "description.json"

LEVELS = (0.03, 0.1, 0.2, 0.4, 0.6)
"""Fractions of a volume's largest intensity; a slice's features hold how much of it is brighter than each."""

FEATURES = 18 + len(LEVELS)
"""How many features a slice has, see `unimri.deploy.estimates.features`."""


class AnatomyTask(Settings):
    """An anatomy of the experiment that a model is made from."""

    origin: Literal["simulated", "real"]
    role: Literal["base", "new"]


class ModelTask(Settings):
    """All that a model of a finished experiment is made from, apart from files."""

    name: str
    acceleration: float
    mask: MaskSettings
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
        """From PSNR and SSIM of the model and of zero filling, rounded to four decimals."""
        return cls(
            slices=slices,
            patients=patients,
            psnr_db=round(own[0], 4),
            ssim_percent=round(own[1], 4),
            zero_filled_psnr_db=round(zero_filled[0], 4),
            zero_filled_ssim_percent=round(zero_filled[1], 4),
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

    `scale_factor` is the largest intensity of a volume over the largest of its zero-filled image, the median over the
    validation split: how the scale of a scan that is not known fully sampled is estimated. `features` are the means of
    its training slices', and `largest_distance` where scans stop to be like them, see `unimri.deploy.estimates`.
    `adaptation` is None for those that the experiment itself trained.
    """

    origin: Literal["simulated", "real"]
    role: Literal["base", "new"]
    scale_factor: float = Field(gt=0)
    features: list[float] = Field(min_length=FEATURES, max_length=FEATURES)
    largest_distance: float = Field(gt=0)
    training_patients: int
    quality: Quality | None = None
    adaptation: Adaptation | None = None


class ModelDescription(Settings):
    """A model's conventions and scores. `files` holds the SHA-256 of every other file of the folder, by its name."""

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    acceleration: float = Field(gt=1)
    mask: MaskSettings
    image_size: int = Field(description="side of the slices that it was trained on, in pixels")
    metrics: MetricSettings
    anatomies: dict[str, AnatomyDescription]
    inverse_covariance: list[list[float]] = Field(description="of features, see `unimri.deploy.estimates`")
    choice: ChoiceQuality | None = None
    settings: dict[str, Any] = Field(description="the experiment's, without folders and files")
    versions: dict[str, str]
    files: dict[str, str]

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

    def check_files(self, folder: Path) -> None:
        """Compare every file of a model's folder with its digest.

        Raises
        ------
        UnimriError : when one is missing, differs, or is there without being described.
        """
        for name, digest in self.files.items():
            try:
                found = sha256(folder / name)
            except OSError:
                raise UnimriError(f"{folder / name}: is missing or cannot be read; copy the model again") from None
            if found != digest:
                raise UnimriError(f"{folder / name}: is not the file that was made (SHA-256); copy the model again")
        strangers = sorted(set(list_files(folder)) - set(self.files))
        if strangers:
            raise UnimriError(f"{folder / strangers[0]}: does not belong to the model; remove it")


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

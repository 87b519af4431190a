"""The whole configuration, typed: read once, validated, with errors that name the key."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from unimri.classical.settings import ClassicalSettings
from unimri.core.errors import UnimriError
from unimri.core.settings import AnatomyName, Settings, parse_settings
from unimri.core.settings_file import read_yaml
from unimri.data.layouts import ReaderSettings
from unimri.data.prepare import Geometry, PreparationSettings
from unimri.data.scanner import KSPACE_FORMATS, SimulationSettings
from unimri.evaluation.averages import AVERAGE, KEYS
from unimri.evaluation.statistics import StatisticsSettings
from unimri.metrics.base import MetricSettings
from unimri.models.registry import NetworkSettings
from unimri.models.settings import CascadeSettings
from unimri.physics.drawing import AcquisitionSettings
from unimri.physics.mask import Acceleration
from unimri.physics.masks import MaskSettings, draw_masks
from unimri.training.methods import ADAPTATIONS, METHODS, Method, budgets, method
from unimri.training.settings import Budget, Distillation, Optimisation, Running


def _place(given: Path) -> Path:
    """A folder or file that somebody gives, with ~ and variables of the environment, such as $HOME, filled in."""
    path = Path(os.path.expandvars(given))
    with suppress(RuntimeError):
        # Which says that there is no such user.
        path = path.expanduser()
    if "{" in str(path) or "}" in str(path):
        raise ValueError("braces are wildcards of Snakemake; rename it, or make a link to it that has none")
    if not str(path).isprintable() or str(path).startswith("-"):
        raise ValueError("control characters and a - at the start cannot be used; rename it, or make a link to it")
    return path


Place = Annotated[Path, AfterValidator(_place)]
"""Relative to the working folder, in which Snakemake runs."""


class AnatomySettings(Settings):
    role: Literal["base", "new"] = Field(description="base: S1 to S3 train on it; new: S4 adds it")
    path: Place | None = Field(None, description="folder of real scans; without it the anatomy is simulated")
    simulation: SimulationSettings | None = Field(None, description="what to simulate when there is no path")
    reader: ReaderSettings = Field(description="how the folder is laid out")
    fit: Geometry = Field(description="crop: centre crop, zero padded; resize: the whole slice")
    splits: Place | None = Field(
        None,
        description="CSV with the columns patient (as `unimri inspect` names them) and split, "
        "instead of a division by `preparation.fractions`",
    )

    @model_validator(mode="after")
    def _has_source(self) -> Self:
        if self.path is None and self.simulation is None:
            raise ValueError("needs a path (real scans) or a simulation")
        return self

    @model_validator(mode="after")
    def _reads_what_is_simulated(self) -> Self:
        if self.path is None and self.simulation is not None:
            raw, own = self.simulation.kspace, self.reader.model_dump()["format"]
            if raw is not None and own != raw.format:
                raise ValueError(
                    f"reader.format is {own!r}, and simulation.kspace.format {raw.format!r}; allowed: the same for both"
                )
            if raw is None and own in KSPACE_FORMATS:
                raise ValueError(
                    f"reader.format is {own!r}, and images are simulated; set simulation.kspace.format to {own!r}, or "
                    "give a reader of images"
                )
        return self

    @property
    def simulated(self) -> bool:
        return self.path is None


class TrainingSettings(Running):
    optimisation: Optimisation = Field(default_factory=Optimisation, description="what all stages share")
    stages: dict[str, Budget] = Field(
        description="budgets, by their keys in the table of methods (unimri/training/methods.py)"
    )
    threads: int = Field(1, ge=1, description="CPU threads of one process")
    seeds: list[Annotated[int, Field(ge=0)]] | None = Field(
        None,
        min_length=1,
        description="every method is trained once with each; tables give mean and deviation; null: `seed` alone",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("cpu", description="auto: a GPU if there is one")


Role = Literal["main", "mask", "tried"]


@dataclass(frozen=True)
class Sampling:
    """One mask at one acceleration.

    Attributes
    ----------
    name : its folder's name.
    acceleration, mask : what it is.
    role : 'main' when Table 1 is of it, 'mask' when the study of another mask trains with it, 'tried' when networks
        that were trained for another sampling are tried on it.
    """

    name: str
    acceleration: float
    mask: MaskSettings
    role: Role


Count = Annotated[int, Field(ge=1)]


def _methods(kind: str | None = None) -> AfterValidator:
    """Allows keys of the table of methods, or of its rows of one kind."""

    def check(keys: list[str]) -> list[str]:
        allowed = [method.key for method in METHODS if kind in (None, method.kind)]
        if unknown := [key for key in keys if key not in allowed]:
            raise ValueError(f"{', '.join(unknown)}: no such method; allowed: {', '.join(allowed)}")
        return keys

    return AfterValidator(check)


class Robustness(Settings):
    """Trained networks on samplings and noise that they were not trained for."""

    methods: Annotated[list[str], _methods()] = Field(
        ["undersampled", "independent", "shared", "proposed"], description="methods of Table 1 to try"
    )
    accelerations: list[Acceleration] = Field([], description="others than the trained one")
    masks: list[MaskSettings] = Field([], description="others than the trained one, at the trained acceleration")
    noise: list[Annotated[float, Field(gt=0)]] = Field(
        [],
        description="standard deviations of complex Gaussian noise in k-space, each of real and imaginary part, on the "
        "scale of the prepared slices, whose volumes reach from 0 to 1 (the FFT is orthonormal)",
    )


class Studies(Settings):
    """Each is left out by an empty list, or false."""

    controls: Annotated[list[str], _methods("control")] = Field(
        [], description="rows of Table 1 that test what the paper's comparison leaves open"
    )
    classical: Annotated[list[str], _methods("classical")] = Field(
        [], description="rows of Table 1 that no training stands behind"
    )
    layers: list[Count] = Field([], description="layers to distil, for Table S2, beside distillation.layer")
    patients: list[Count] = Field(
        [],
        description="S4 against fine-tuning of the whole network and training from scratch, on so many training "
        "patients of each new anatomy, and on all of them",
    )
    masks: list[MaskSettings] = Field(
        [], description="other masks, with each of which all of Table 1 is trained and scored again"
    )
    robustness: Robustness = Field(default_factory=Robustness, description="samplings and noise not trained for")
    slices: int | None = Field(
        None,
        ge=1,
        description="robustness and the matrix of ASPINs score at most so many slices of an anatomy, evenly spaced; "
        "null: all",
    )
    aspin_matrix: bool = Field(True, description="score each anatomy with every anatomy's ASPIN")

    @property
    def methods(self) -> list[str]:
        """Keys of the rows of Table 1, in their order."""
        chosen = {*self.controls, *self.classical}
        return [method.key for method in METHODS if method.in_paper or method.key in chosen]

    @property
    def trained(self) -> list[Method]:
        """The rows that something is trained for: Table 1's, S4, and the study of few patients."""
        rows = [method for method in METHODS if method.budget is not None and method.key in self.methods]
        return [*rows, *(ADAPTATIONS if self.patients else ADAPTATIONS[:1])]


class Config(Settings):
    """The experiment. Nothing that varies between experiments is said anywhere else."""

    seed: int = Field(
        0, ge=0, description="seed of simulation and splits, and of the trainings without `training.seeds`"
    )
    results: Place = Field(Path("results"), description="folder that everything is written to")
    private: Place = Field(
        Path("private"),
        description="folder of the lists that join keys to names of patients and files",
    )
    container: str | None = Field(None, description="image that --sdm apptainer runs jobs in: a file or an address")
    accelerations: list[Acceleration] = Field(
        min_length=1, description="how many times fewer lines are kept; every method is trained for each"
    )
    anatomies: dict[AnatomyName, AnatomySettings] = Field(description="by names of your own choice")
    preparation: PreparationSettings = Field(
        default_factory=PreparationSettings, description="how scans become slices, and patients a split"
    )
    mask: MaskSettings = Field(description="which phase-encoding lines are kept")
    network: NetworkSettings = Field(default_factory=CascadeSettings, description="the cascade, of every method")
    acquisition: AcquisitionSettings | None = Field(
        None, description="coils, phase and noise that are drawn for slices; null, the paper's: one coil without either"
    )
    training: TrainingSettings = Field(description="how long, how fast and on what methods train")
    distillation: Distillation = Field(default_factory=Distillation, description="of S3")
    metrics: MetricSettings = Field(default_factory=MetricSettings, description="what is scored, and how")
    statistics: StatisticsSettings = Field(default_factory=StatisticsSettings, description="intervals of differences")
    classical: ClassicalSettings = Field(default_factory=ClassicalSettings, description="methods without training")
    studies: Studies = Field(default_factory=Studies, description="what is made beside Table 1")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.base:
            raise ValueError("anatomies: none has role 'base'; S1 to S3 need at least one")
        layers = self.network.layers
        counted = "network.convolutions" if isinstance(self.network, CascadeSettings) else "the network's layers"
        if self.distillation.layer > layers:
            raise ValueError(f"distillation.layer: {self.distillation.layer} is more than {counted}, {layers}")
        if deep := [layer for layer in self.studies.layers if layer > layers]:
            raise ValueError(f"studies.layers: {', '.join(map(str, deep))} is more than {counted}, {layers}")
        if taken := {*KEYS, AVERAGE, "curves", "adaptation", "aspin_matrix"} & set(self.anatomies):
            raise ValueError(
                f"anatomies: {', '.join(sorted(taken))}: a column of Table 1 or a figure has that name; choose another"
            )
        if len(set(self.accelerations)) < len(self.accelerations):
            raise ValueError(f"accelerations: {self.accelerations} names one twice; give each once")
        if self.metrics.ssim_window > self.preparation.image_size:
            raise ValueError(
                f"metrics.ssim_window: {self.metrics.ssim_window} pixels is more than preparation.image_size, "
                f"{self.preparation.image_size}"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"training.seeds: {self.seeds} names one twice; give each once")
        processes, batch_size = self.training.processes, self.training.optimisation.batch_size
        if batch_size % processes:
            raise ValueError(
                f"training.processes: {processes} processes cannot share training.optimisation.batch_size, "
                f"{batch_size}, evenly"
            )
        self._check_stages()
        self._check_acquisition()
        masks = {self.mask.name: self.mask} if self.studies.masks else {}
        for mask in (*self.studies.masks, *self.studies.robustness.masks):
            if masks.setdefault(mask.name, mask) != mask:
                raise ValueError(
                    f"studies: two different masks are called {mask.name!r}; give one of them another `name`"
                )
        for sampling in self.samplings.values():
            try:
                # One shows whether it fits; a bank takes long.
                one = sampling.mask.model_copy(update={"per_slice": False})
                draw_masks(one, self.preparation.image_size, sampling.acceleration)
            except UnimriError as error:
                raise ValueError(f"sampling {sampling.name}: {error}") from None
        return self

    def _check_stages(self) -> None:
        stages, rows = self.training.stages, budgets()
        if unknown := [stage for stage in stages if stage not in rows]:
            raise ValueError(f"training.stages.{unknown[0]}: no method has that budget; allowed: {', '.join(rows)}")
        for row in self.studies.trained:
            if row.budget not in stages:
                raise ValueError(f"training.stages.{row.budget}: missing; {row.title} is trained with it")
        for stage, row in rows.items():
            other = row.as_long_as
            if other and {stage, other} <= stages.keys() and stages[stage].epochs != stages[other].epochs:
                raise ValueError(
                    f"training.stages.{stage}.epochs: {stages[stage].epochs} is not {other}'s {stages[other].epochs}; "
                    "the control must train for as long"
                )

    def _check_acquisition(self) -> None:
        drawn, size = self.acquisition, self.preparation.image_size
        if drawn is None:
            return
        if drawn.patch is not None and drawn.patch > size:
            raise ValueError(f"acquisition.patch: {drawn.patch} is more than preparation.image_size, {size}")
        if max(drawn.coils) > 1 and not self.network.consistency.weight:
            raise ValueError(
                "network.consistency.weight: 0; must be above 0 to learn from several coils (acquisition.coils)"
            )
        unfit = [key for key in self.studies.classical if method(key).one_coil]
        if max(drawn.coils) > 1 and unfit:
            fit = [row.key for row in METHODS if row.kind == "classical" and not row.one_coil]
            raise ValueError(
                f"studies.classical: {', '.join(unfit)}: of one coil alone, and acquisition.coils has several; "
                f"allowed: {', '.join(fit)}"
            )
        for number, mask in enumerate(drawn.masks):
            for acceleration in drawn.accelerations:
                try:
                    mask.draw(drawn.patch or size, acceleration, np.random.default_rng(0))
                except UnimriError as error:
                    raise ValueError(f"acquisition.masks, number {number + 1}: {error}") from None

    @property
    def samplings(self) -> dict[str, "Sampling"]:
        """Every sampling that a study needs, by name; those that trainings are made for come first.

        A sampling with the experiment's own mask is called after its acceleration alone.
        """
        robustness = self.studies.robustness
        asked: list[tuple[float, MaskSettings, Role]] = [(rate, self.mask, "main") for rate in self.accelerations]
        asked += [(rate, mask, "mask") for mask in self.studies.masks for rate in self.accelerations]
        asked += [(rate, self.mask, "tried") for rate in robustness.accelerations]
        asked += [(rate, mask, "tried") for mask in robustness.masks for rate in self.accelerations]
        found: dict[str, Sampling] = {}
        for rate, mask, role in asked:
            name = f"{rate:g}x" if mask is self.mask else f"{rate:g}x-{mask.name}"
            found.setdefault(name, Sampling(name, rate, mask, role))
        return found

    @property
    def seeds(self) -> list[int]:
        """Seeds of the trainings."""
        return self.training.seeds or [self.seed]

    @property
    def base(self) -> list[str]:
        """Base anatomies, in the configured order."""
        return [name for name, anatomy in self.anatomies.items() if anatomy.role == "base"]

    @property
    def new(self) -> list[str]:
        """New anatomies, in the configured order."""
        return [name for name, anatomy in self.anatomies.items() if anatomy.role == "new"]


def parse_config(content: dict[str, Any]) -> Config:
    """Validate a configuration.

    A key whose value is null is taken out first, so that an overlay can remove what the default has (an anatomy, a
    setting of another reader).

    Raises
    ------
    UnimriError : one line with, for each fault, the key, the value and what is allowed.
    """
    return parse_settings(Config, _without_nulls(content), "config")


def load_config(path: Path, *overlays: Path) -> Config:
    """Read and validate YAML files, each merged over those before it, as Snakemake's `--configfile` does.

    Raises
    ------
    UnimriError : when one cannot be read, see `read_yaml`, or the whole does not validate.
    """
    content: dict[str, Any] = {}
    for file in (path, *overlays):
        content = _merged(content, read_yaml(file))
    return parse_config(content)


def _merged(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: _merged(below.get(key), value) for key, value in above.items()}
    return above


def _without_nulls(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nulls(value) for key, value in content.items() if value is not None}
    return content

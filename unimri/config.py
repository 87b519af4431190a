"""The whole configuration, typed: read once, validated, with errors that name the key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, StringConstraints, model_validator

from unimri.classical.settings import ClassicalSettings
from unimri.core.errors import UnimriError
from unimri.core.settings import Settings, parse_settings
from unimri.data.fit import Fit
from unimri.data.prepare import PreparationSettings
from unimri.data.read.registry import ReaderSettings
from unimri.data.simulate.settings import SimulationSettings
from unimri.evaluation.averages import AVERAGE, KEYS
from unimri.evaluation.statistics import StatisticsSettings
from unimri.evaluation.studies import Studies
from unimri.metrics.settings import MetricSettings
from unimri.models.registry import NetworkSettings
from unimri.models.settings import CascadeSettings
from unimri.physics.masks import MaskSettings, draw_masks
from unimri.training.settings import Budget, Distillation, Optimisation, Running

AnatomyName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]


class AnatomySettings(Settings):
    role: Literal["base", "new"] = Field(description="base: S1 to S3 train on it; new: S4 adds it")
    path: Path | None = Field(None, description="folder of real scans; without it the anatomy is simulated")
    simulation: SimulationSettings | None = Field(None, description="what to simulate when there is no path")
    reader: ReaderSettings = Field(description="how the folder is laid out")
    fit: Fit = Field(description="crop: centre crop, zero padded; resize: the whole slice")
    splits: Path | None = Field(
        None,
        description="CSV with the columns patient (as `unimri inspect` names them) and split, "
        "instead of a division by `preparation.fractions`",
    )

    @model_validator(mode="after")
    def _has_source(self) -> Self:
        if self.path is None and self.simulation is None:
            raise ValueError("needs a path (real scans) or a simulation")
        return self

    @property
    def simulated(self) -> bool:
        return self.path is None


class Stages(Settings):
    """Budgets of the stages. `continued` is the control without teachers; it should have `distilled`'s epochs."""

    independent: Budget
    shared: Budget
    shared_instance_norm: Budget
    pretrained: Budget
    distilled: Budget
    continued: Budget
    adapted: Budget
    finetuned: Budget


class TrainingSettings(Running):
    optimisation: Optimisation = Field(default_factory=Optimisation)
    stages: Stages
    threads: int = Field(1, ge=1, description="CPU threads of one process")
    seeds: list[Annotated[int, Field(ge=0)]] | None = Field(
        None,
        min_length=1,
        description="every method is trained once with each; tables give mean and deviation; null: `seed` alone",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("cpu", description="auto: a GPU if there is one")


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
    role: Literal["main", "mask", "tried"]


class Config(Settings):
    """The experiment. Nothing that varies between experiments is said anywhere else."""

    seed: int = Field(
        0, ge=0, description="seed of simulation and splits, and of the trainings without `training.seeds`"
    )
    results: Path = Field(Path("results"), description="folder that everything is written to")
    private: Path = Field(
        Path("private"),
        description="folder of the lists that join keys to names of patients and files",
    )
    container: str | None = Field(None, description="image that --sdm apptainer runs jobs in: a file or an address")
    accelerations: list[Annotated[float, Field(gt=1)]] = Field(min_length=1)
    anatomies: dict[AnatomyName, AnatomySettings]
    preparation: PreparationSettings = Field(default_factory=PreparationSettings)
    mask: MaskSettings
    network: NetworkSettings = Field(default_factory=CascadeSettings)
    training: TrainingSettings
    distillation: Distillation = Field(default_factory=Distillation)
    metrics: MetricSettings = Field(default_factory=MetricSettings)
    statistics: StatisticsSettings = Field(default_factory=StatisticsSettings)
    classical: ClassicalSettings = Field(default_factory=ClassicalSettings)
    studies: Studies = Field(default_factory=Studies)

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
        processes = self.training.processes * self.training.nodes
        batch_size = self.training.optimisation.batch_size
        if batch_size % processes:
            nodes = f" on {self.training.nodes} nodes" if self.training.nodes > 1 else ""
            raise ValueError(
                f"training.processes: {processes} processes{nodes} cannot share training.optimisation.batch_size, "
                f"{batch_size}, evenly"
            )
        stages = self.training.stages
        if stages.continued.epochs != stages.distilled.epochs:
            raise ValueError(
                f"training.stages.continued.epochs: {stages.continued.epochs} is not distilled's "
                f"{stages.distilled.epochs}; the control must train for as long"
            )
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

    @property
    def samplings(self) -> dict[str, "Sampling"]:
        """Every sampling that a study needs, by name; those that trainings are made for come first.

        A sampling with the experiment's own mask is called after its acceleration alone.
        """
        robustness = self.studies.robustness
        own = [Sampling(f"{rate:g}x", rate, self.mask, "main") for rate in self.accelerations]
        own += [
            Sampling(f"{rate:g}x-{mask.name}", rate, mask, "mask")
            for mask in self.studies.masks
            for rate in self.accelerations
        ]
        tried = [Sampling(f"{rate:g}x", rate, self.mask, "tried") for rate in robustness.accelerations]
        tried += [
            Sampling(f"{rate:g}x-{mask.name}", rate, mask, "tried")
            for mask in robustness.masks
            for rate in self.accelerations
        ]
        found: dict[str, Sampling] = {}
        for sampling in (*own, *tried):
            found.setdefault(sampling.name, sampling)
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
    UnimriError : when one is missing or is not YAML, or the whole does not validate.
    """
    content: dict[str, Any] = {}
    for file in (path, *overlays):
        content = _merged(content, read_yaml(file))
    return parse_config(content)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the settings of a YAML file.

    Raises
    ------
    UnimriError : when it is missing, is not YAML, or holds no settings.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        reason = " ".join(str(fault).split())
        raise UnimriError(f"{path}: cannot be read as YAML ({reason}); check the path and the file") from None
    if not isinstance(content, dict):
        raise UnimriError(f"{path}: holds no settings; start from the file that comes with the project")
    return content


def _merged(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: _merged(below.get(key), value) for key, value in above.items()}
    return above


def _without_nulls(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nulls(value) for key, value in content.items() if value is not None}
    return content

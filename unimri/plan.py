"""What the workflow's rules are given: settings of each stage as JSON, fingerprints of code, inputs by method."""

import hashlib
import json
import os
from dataclasses import dataclass

from pydantic import BaseModel

from unimri.config import Config
from unimri.data.prepare import PreparationTask
from unimri.data.store import shard_name
from unimri.errors import UnimriError
from unimri.evaluation.methods import method as find_method
from unimri.physics.masks import MaskTask
from unimri.provenance import code_digest
from unimri.report.assets import assets_digest
from unimri.report.settings import shown_settings
from unimri.training.settings import Distillation, TrainingTask
from unimri.training.stages import STAGES, StageName

STAGE_TITLES: dict[StageName, str] = {
    "independent": "S1, Independent",
    "shared": "Shared",
    "pretrained": "S2",
    "distilled": "S3 and its control",
    "continued": "S3 and its control",
    "adapted": "S4, ASPIN alone",
}
"""What a stage is called where people look; S3 and its control start alike and stand together."""


@dataclass(frozen=True)
class PlannedTraining:
    """One training of the plan.

    Attributes
    ----------
    stage : which.
    name : tells it from the others of its stage.
    folder : that it writes to.
    anatomies : that it learns from.
    base : folder of the universal network that it starts from, or None.
    layer : that it distils, or None.
    """

    stage: StageName
    name: str
    folder: str
    anatomies: tuple[str, ...]
    base: str | None = None
    layer: int | None = None

    @property
    def about(self) -> str:
        """Its provenance, written last."""
        return f"{self.folder}/{self.anatomies[0]}.json" if self.only_aspin else f"{self.folder}/model.json"

    @property
    def history(self) -> str:
        """Its history."""
        return f"{self.folder}/{self.anatomies[0]}.history.csv" if self.only_aspin else f"{self.folder}/history.csv"

    @property
    def only_aspin(self) -> bool:
        """Whether it writes one ASPIN into a model's folder."""
        return STAGES[self.stage].only_aspin


class WorkflowPlan:
    """Answers the rules' questions about a configuration. Paths are text, relative to the working folder."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.results = config.results.as_posix()
        self.private = config.private.as_posix()
        self.anatomies = list(config.anatomies)
        # Those that trainings are made for, and those of them that Table 1 is of.
        self.trained = [sampling.name for sampling in config.samplings.values() if sampling.role != "tried"]
        self.samplings = [sampling.name for sampling in config.samplings.values() if sampling.role == "main"]
        self.distilled = f"distilled/layer{config.distillation.layer}"
        # Of the trainings; figures show the first.
        self.seeds = [str(seed) for seed in config.seeds]
        self.methods = config.studies.methods
        # What a training asks of the scheduler: a GPU for each process, unless it is told to stay on the CPU.
        self.processes = config.training.processes
        self.gpus = 0 if config.training.device == "cpu" else self.processes
        self.threads = config.training.threads * self.processes
        training = config.training
        self.logging = (
            f"--logger {training.logger} --picture-epochs {training.picture_epochs}" if training.logger else ""
        )
        self.shards = [shard_name(number) for number in range(config.preparation.shards)]
        for name, anatomy in config.anatomies.items():
            if anatomy.path is not None and not anatomy.path.is_dir():
                raise UnimriError(f"config: anatomies.{name}.path: {anatomy.path} is no folder; correct the path")

    def code(self, *modules: str) -> str:
        """Fingerprint of modules and what they import."""
        return code_digest(*modules)

    def simulation(self, anatomy: str) -> str:
        """Settings of a simulated data set."""
        settings = self.config.anatomies[anatomy].simulation
        assert settings is not None
        return _json(settings)

    def raw(self, anatomy: str) -> str:
        """Folder of an anatomy's raw files."""
        path = self.config.anatomies[anatomy].path
        return f"{self.results}/simulated/{anatomy}" if path is None else path.as_posix()

    def raw_listing(self, anatomy: str) -> str:
        """Digest of real raw files' names and sizes: an added file prepares again, a touched one does not."""
        path = self.config.anatomies[anatomy].path
        if path is None:
            return ""
        digest = hashlib.sha256()
        for folder, folders, files in os.walk(path):
            # Hidden ones are passed over as the readers pass them over: a file manager writes some unasked.
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            below = os.path.relpath(folder, path)
            # Text and not Path: a data set may have half a million files.
            for file in sorted(name for name in files if not name.startswith(".")):
                try:
                    size = os.stat(f"{folder}/{file}").st_size  # noqa: PTH116
                except OSError:
                    size = -1
                digest.update(os.fsencode(f"{below}/{file}") + f"\0{size}\0".encode())
        return digest.hexdigest()[:16]

    def index(self, anatomy: str) -> str:
        """Settings of an anatomy's index."""
        return _json(self._preparation(anatomy).index())

    def splits(self, anatomy: str) -> list[str]:
        """File of an anatomy's splits, if there is one."""
        path = self.config.anatomies[anatomy].splits
        return [] if path is None else [path.as_posix()]

    def shard(self, anatomy: str) -> str:
        """Settings of an anatomy's shards."""
        return _json(self._preparation(anatomy).shard())

    def fractions(self) -> str:
        """Settings of the division of patients."""
        return _json(self.config.preparation.fractions)

    def _preparation(self, anatomy: str) -> PreparationTask:
        own = self.config.anatomies[anatomy]
        return PreparationTask(reader=own.reader, fit=own.fit, preparation=self.config.preparation, splits=own.splits)

    def mask(self, sampling: str) -> str:
        """Settings of a sampling's masks."""
        return _json(MaskTask(mask=self.config.samplings[sampling].mask, size=self.config.preparation.image_size))

    def acceleration(self, sampling: str) -> float:
        """Acceleration of a sampling."""
        return self.config.samplings[sampling].acceleration

    def task(self, stage: StageName, seed: int | str, layer: int | str | None = None) -> str:
        """A training's task."""
        training = self.config.training
        distillation = None
        if STAGES[stage].distils:
            distillation = Distillation(layer=int(str(layer)), omega=self.config.distillation.omega)
        return _json(
            TrainingTask(
                stage=stage,
                network=self.config.network,
                budget=getattr(training.stages, stage),
                optimisation=training.optimisation,
                distillation=distillation,
                seed=int(seed),
                threads=training.threads,
                device=training.device,
            )
        )

    def network(self) -> str:
        """Settings of the network."""
        return _json(self.config.network)

    def metrics(self) -> str:
        """Settings of the metrics."""
        return _json(self.config.metrics)

    def provenance(self) -> str:
        """Which anatomies are simulated and which real, in the configured order."""
        origins = {name: "simulated" if own.simulated else "real" for name, own in self.config.anatomies.items()}
        return json.dumps(origins)

    def model(self, method: str, sampling: str, seed: str, anatomy: str) -> str | None:
        """Model folder of a network, file of a classical method's settings, or None for zero filling."""
        if method == "undersampled":
            return None
        if find_method(method).kind == "classical":
            return f"{self.results}/{sampling}/classical/{method}/{anatomy}.json"
        folders = {
            "independent": f"independent/{anatomy}",
            "proposed": self.distilled,
            "without_distillation": "pretrained",
            "without_distillation_longer": "continued",
        }
        if method.startswith("layer"):
            return f"{self._models(sampling, seed)}/distilled/{method}"
        return f"{self._models(sampling, seed)}/{folders.get(method, method)}"

    def _models(self, sampling: str, seed: str) -> str:
        """Folder of all that is trained for one sampling with one seed."""
        return f"{self.results}/{sampling}/seed{seed}"

    def model_files(self, method: str, sampling: str, seed: str, anatomy: str) -> list[str]:
        """The files of a method's model that an anatomy needs."""
        model = self.model(method, sampling, seed, anatomy)
        if model is None:
            return []
        if model.endswith(".json"):
            return [model]
        files = [f"{model}/model.safetensors", f"{model}/model.json"]
        plain = method in ("independent", "shared", "shared_instance_norm", "shared_all")
        return files if plain else [*files, f"{model}/aspin/{anatomy}.safetensors"]

    def trainings(self, sampling: str, seed: str) -> list["PlannedTraining"]:
        """Every training at one acceleration with one seed, in the order of the stages."""
        base, new, layer = self.config.base, self.config.new, self.config.distillation.layer
        root, distilled = self._models(sampling, seed), self.distilled
        trainings = [
            PlannedTraining("independent", anatomy, f"{root}/independent/{anatomy}", (anatomy,))
            for anatomy in self.anatomies
        ]
        trainings += [
            PlannedTraining("shared", "shared", f"{root}/shared", tuple(base)),
            PlannedTraining("pretrained", "pretrained", f"{root}/pretrained", tuple(base)),
            PlannedTraining("distilled", distilled, f"{root}/{distilled}", tuple(base), f"{root}/pretrained", layer),
            PlannedTraining("continued", "continued", f"{root}/continued", tuple(base), f"{root}/pretrained"),
        ]
        trainings += [
            PlannedTraining("adapted", f"{anatomy} on {name}", f"{root}/{name}/aspin", (anatomy,), f"{root}/{name}")
            for name in ("pretrained", distilled, "continued")
            for anatomy in new
        ]
        return trainings

    def histories(self, sampling: str, seed: str) -> dict[str, dict[str, str]]:
        """`history.csv` of every training, by its stage's title and its name."""
        found: dict[str, dict[str, str]] = {title: {} for title in STAGE_TITLES.values()}
        for training in self.trainings(sampling, seed):
            found[STAGE_TITLES[training.stage]][training.name] = training.history
        return {title: histories for title, histories in found.items() if histories}

    def curves(self, sampling: str) -> str:
        """The histories that a figure shows: those with the first seed."""
        return json.dumps(self.histories(sampling, self.seeds[0]))

    def curves_title(self, sampling: str) -> str:
        """Title of that figure."""
        origins = {own.simulated for own in self.config.anatomies.values()}
        kind = "simulated and real data" if len(origins) > 1 else "simulated data" if True in origins else "real data"
        return f"Trainings at {sampling}, seed {self.seeds[0]} ({kind})"

    def report_inputs(self) -> list[str]:
        """What the page shows: tables and figures. What a study did not make is left out of it."""
        tables, figures = f"{self.results}/tables", f"{self.results}/figures"
        names = ["table1.csv", "table1_deviation.csv", "orderings.csv", "parameters.csv", "data.csv", "origins.json"]
        return [
            *(f"{tables}/{name}" for name in names),
            *(f"{figures}/{sampling}/{anatomy}.png" for sampling in self.samplings for anatomy in self.anatomies),
            *(f"{figures}/{sampling}/curves.png" for sampling in self.samplings),
            *(f"{figures}/data/{anatomy}.png" for anatomy in self.anatomies),
            f"{figures}/data/histograms.png",
            *(f"{self.results}/masks/{sampling}.png" for sampling in self.samplings),
        ]

    def report_code(self) -> str:
        """Fingerprint of the page's code, templates, style and scripts."""
        return f"{self.code('unimri.report.page')}{assets_digest()}"

    def whole(self) -> str:
        """The whole configuration as the page may show it; Snakemake's report shows it too, as the rule's parameter."""
        return json.dumps(shown_settings(self.config.model_dump(mode="json")))

    def models(self, sampling: str, seed: str, anatomy: str) -> str:
        """Model folder of every method, in the methods' order."""
        return json.dumps({method: self.model(method, sampling, seed, anatomy) for method in self.methods})


def _json(settings: BaseModel) -> str:
    return json.dumps(settings.model_dump(mode="json"), sort_keys=True)

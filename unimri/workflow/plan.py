"""What the workflow's rules are given: settings of each stage as JSON, fingerprints of code, inputs by method."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Any, Literal

from pydantic import BaseModel

from unimri.config import Config
from unimri.core.errors import UnimriError
from unimri.core.provenance import code_digest, files_digest
from unimri.data.prepare import PreparationTask
from unimri.data.store import shard_name
from unimri.deploy.task import ModelTask, Part
from unimri.physics.masks import MaskTask
from unimri.report.assets import assets_digest
from unimri.report.experiment import shown_settings
from unimri.training.methods import method as find_method
from unimri.training.methods import recipe
from unimri.training.settings import Distillation, TrainingTask

STAGE_TITLES: dict[str, str] = {
    "independent": "S1, Independent",
    "shared": "Shared",
    "shared_instance_norm": "Shared",
    "pretrained": "S2",
    "distilled": "S3 and its control",
    "continued": "S3 and its control",
    "adapted": "S4, ASPIN alone",
    "finetuned": "S4's control, whole network",
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
    patients : how many of each anatomy it learns from; None for all.
    """

    stage: str
    name: str
    folder: str
    anatomies: tuple[str, ...]
    base: str | None = None
    layer: int | None = None
    patients: int | None = None

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
        return recipe(self.stage).learns == "conditioning"


Way = Literal["aspin", "finetuned", "scratch"]

WAYS: dict[Way, str] = {"aspin": "adapted", "finetuned": "finetuned", "scratch": "independent"}
"""How a new anatomy is learnt in the study of few patients, and by which stage."""

ALL_PATIENTS = "all"


class WorkflowPlan:
    """Answers the rules' questions about a configuration. Paths are text, relative to the working folder."""

    def __init__(self, config: Config) -> None:
        self.config = config
        # Fingerprint of modules and what they import, the same for all jobs of a rule.
        self.code = cache(code_digest)
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
        # The rows of Table S2 that Table 1 does not have.
        own = config.distillation.layer
        self.layer_methods = [f"layer{layer}" for layer in sorted(set(config.studies.layers) - {own})]
        # What a training asks of the scheduler: a GPU for each process of all nodes, unless it is told to stay on the
        # CPU, and the CPUs of one node.
        self.processes, self.nodes = config.training.processes, config.training.nodes
        self.gpus = 0 if config.training.device == "cpu" else self.processes * self.nodes
        self.threads = config.training.threads * self.processes
        training = config.training
        self.launcher = Template(training.launcher).safe_substitute(nodes=self.nodes, threads=self.threads)
        self.logging = (
            f"--logger {training.logger} --picture-epochs {training.picture_epochs}" if training.logger else ""
        )
        self.shards = [shard_name(number) for number in range(config.preparation.shards)]
        for name, anatomy in config.anatomies.items():
            if anatomy.path is not None and not anatomy.path.is_dir():
                raise UnimriError(f"config: anatomies.{name}.path: {anatomy.path} is no folder; correct the path")

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
        # Text and not Path, and a folder at a time: a data set may have half a million files.
        digest = hashlib.sha256()
        waiting = ["."]
        while waiting:
            below = waiting.pop()
            files, folders = _listed(f"{path}/{below}")
            digest.update(os.fsencode("".join([f"{below}/{name}\0{size}\0" for name, size in files])))
            waiting += [name if below == "." else f"{below}/{name}" for name in reversed(folders)]
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

    def task(
        self, stage: str, seed: int | str, layer: int | str | None = None, patients: int | str | None = None
    ) -> str:
        """A training's task; `patients` is a number, or None or `all` for all."""
        training = self.config.training
        distillation = None
        if stage == "distilled":
            distillation = Distillation(layer=int(str(layer)), omega=self.config.distillation.omega)
        return _json(
            TrainingTask(
                stage=stage,
                recipe=recipe(stage),
                network=self.config.network,
                budget=getattr(training.stages, stage),
                optimisation=training.optimisation,
                distillation=distillation,
                seed=int(seed),
                patients=None if patients in (None, ALL_PATIENTS) else int(str(patients)),
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

    def statistics(self) -> str:
        """Settings of the intervals."""
        return _json(self.config.statistics)

    def classical(self, method: str) -> str:
        """Settings of a classical method."""
        return _json(self.config.classical.of(method))

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

    def released(self, sampling: str) -> str:
        """Folder of the network that is given to others: Proposed, with the first seed."""
        model = self.model("proposed", sampling, self.seeds[0], self.anatomies[0])
        assert model is not None
        return model

    def released_files(self, sampling: str) -> list[str]:
        """Its files, with every anatomy's ASPIN."""
        files = [
            file
            for anatomy in self.anatomies
            for file in self.model_files("proposed", sampling, self.seeds[0], anatomy)
        ]
        return list(dict.fromkeys(files))

    def released_scores(self, sampling: str) -> list[str]:
        """The scores that its card shows."""
        return [
            f"{self._models(sampling, self.seeds[0])}/metrics/{method}/{anatomy}.csv"
            for method in ("proposed", "undersampled")
            for anatomy in self.anatomies
        ]

    def model_task(self, sampling: str) -> str:
        """What that model says of itself."""
        own = self.config.samplings[sampling]
        task = ModelTask(
            name=f"unimri-{sampling}",
            acceleration=own.acceleration,
            mask=own.mask,
            metrics=self.config.metrics,
            anatomies={
                name: Part(origin="simulated" if part.simulated else "real", role=part.role)
                for name, part in self.config.anatomies.items()
            },
            settings=shown_settings(self._that_trains()),
        )
        return _json(task)

    def _that_trains(self) -> dict[str, Any]:
        """The part of the configuration that a network depends on: changing the rest makes no model again."""
        whole = self.config.model_dump(mode="json")
        names = ("seed", "anatomies", "preparation", "network", "distillation")
        kept: dict[str, Any] = {name: whole[name] for name in names}
        stages = ("independent", "pretrained", "distilled", "adapted")
        training = self.config.training
        kept["training"] = {
            "seed": self.seeds[0],
            "optimisation": training.optimisation.model_dump(mode="json"),
            "stages": {stage: whole["training"]["stages"][stage] for stage in stages},
        }
        return kept

    def trainings(self, sampling: str, seed: str) -> list["PlannedTraining"]:
        """Every training for one sampling with one seed, in the order of the stages."""
        base, new, every = tuple(self.config.base), self.config.new, tuple(self.anatomies)
        controls, root = self.config.studies.controls, self._models(sampling, seed)
        pretrained = f"{root}/pretrained"
        trainings = [
            PlannedTraining("independent", anatomy, f"{root}/independent/{anatomy}", (anatomy,))
            for anatomy in self.anatomies
        ]
        trainings.append(PlannedTraining("shared", "shared", f"{root}/shared", base))
        if "shared_all" in controls:
            trainings.append(PlannedTraining("shared", "shared_all", f"{root}/shared_all", every))
        if "shared_instance_norm" in controls:
            folder = f"{root}/shared_instance_norm"
            trainings.append(PlannedTraining("shared_instance_norm", "shared_instance_norm", folder, base))
        trainings.append(PlannedTraining("pretrained", "pretrained", pretrained, base))
        universal = ["pretrained"]
        for layer in self.layers(sampling):
            universal.append(f"distilled/layer{layer}")
            trainings.append(
                PlannedTraining("distilled", universal[-1], f"{root}/{universal[-1]}", base, pretrained, layer)
            )
        if "without_distillation_longer" in controls:
            universal.append("continued")
            trainings.append(PlannedTraining("continued", "continued", f"{root}/continued", base, pretrained))
        trainings += [
            PlannedTraining("adapted", f"{anatomy} on {name}", f"{root}/{name}/aspin", (anatomy,), f"{root}/{name}")
            for name in universal
            for anatomy in new
        ]
        if sampling in self.samplings:
            trainings += [self._few(root, way, patients, anatomy) for way, patients, anatomy in self.few()]
        return trainings

    def layers(self, sampling: str) -> list[int]:
        """Layers that are distilled: those of Table S2, and the experiment's own."""
        own = self.config.distillation.layer
        return sorted({own, *(self.config.studies.layers if sampling in self.samplings else ())})

    def few(self) -> list[tuple[Way, str, str]]:
        """Trainings on a new anatomy that the study of few patients adds: way, patients (or `all`), anatomy.

        Table 1's own trainings are the ASPIN and the network from scratch on all patients.
        """
        counts = [str(count) for count in self.config.studies.patients]
        planned: list[tuple[Way, str]] = [(way, count) for way in WAYS for count in counts]
        if counts:
            planned.append(("finetuned", ALL_PATIENTS))
        return [(way, patients, anatomy) for way, patients in planned for anatomy in self.config.new]

    def _few(self, root: str, way: Way, patients: str, anatomy: str) -> PlannedTraining:
        folder, name = f"{root}/adaptation/{way}/{patients}", f"{anatomy}, {way}, {patients} patients"
        count = None if patients == ALL_PATIENTS else int(patients)
        base = None if way == "scratch" else f"{root}/{self.distilled}"
        own = folder if way == "aspin" else f"{folder}/{anatomy}"
        return PlannedTraining(WAYS[way], name, own, (anatomy,), base, patients=count)

    def histories(self, sampling: str, seed: str) -> dict[str, dict[str, str]]:
        """`history.csv` of every training on all patients, by its stage's title and its name."""
        found: dict[str, dict[str, str]] = {title: {} for title in STAGE_TITLES.values()}
        for training in self.trainings(sampling, seed):
            if training.patients is None:
                found[STAGE_TITLES[training.stage]][training.name] = training.history
        return {title: histories for title, histories in found.items() if histories}

    def curves(self, sampling: str) -> str:
        """The histories that a figure shows: those with the first seed."""
        return json.dumps(self.histories(sampling, self.seeds[0]))

    def curves_title(self, sampling: str) -> str:
        """Title of that figure."""
        return f"Trainings at {sampling}, seed {self.seeds[0]} ({self._kind(self.anatomies)})"

    def study_title(self, study: str, sampling: str) -> str:
        """Title of a study's figure."""
        if study == "adaptation":
            return f"A new anatomy from few patients, {sampling} ({self._kind(self.config.new)})"
        return f"PSNR in dB with each ASPIN, {sampling} ({self._kind(self.anatomies)})"

    def _kind(self, anatomies: Sequence[str]) -> str:
        origins = {self.config.anatomies[name].simulated for name in anatomies}
        return "simulated and real data" if len(origins) > 1 else "simulated data" if True in origins else "real data"

    def report_inputs(self) -> list[str]:
        """What the page shows: tables and figures. What a study did not make is left out of it."""
        tables, figures = f"{self.results}/tables", f"{self.results}/figures"
        names = ["table1", "table1_deviation", "table1_published", "table_s2", "table_s2_published", "orderings"]
        names += ["comparisons", "claims", "conventions", "parameters", "data", *self.studies()]
        return [
            *(f"{tables}/{name}.csv" for name in names),
            f"{tables}/origins.json",
            *(
                f"{figures}/{sampling}/{anatomy}.{suffix}"
                for sampling in self.samplings
                for anatomy in self.anatomies
                for suffix in ("png", "npz")
            ),
            *(
                f"{figures}/{sampling}/{name}.png"
                for sampling in self.samplings
                for name in ("curves", *self.pictured())
            ),
            *(f"{figures}/data/{anatomy}.png" for anatomy in self.anatomies),
            f"{figures}/data/histograms.png",
            *(f"{self.results}/masks/{sampling}.png" for sampling in self.trained),
        ]

    def published(self) -> str:
        """Fingerprint of the paper's numbers and claims."""
        return files_digest(Path(__file__).parents[1] / "evaluation" / "published")

    def report_code(self) -> str:
        """Fingerprint of the page's code, templates, style and scripts."""
        return f"{self.code('unimri.report.page')}{assets_digest()}"

    def whole(self) -> str:
        """The whole configuration as the page may show it; Snakemake's report shows it too, as the rule's parameter."""
        return json.dumps(shown_settings(self.config.model_dump(mode="json")))

    def models(self, sampling: str, seed: str, anatomy: str) -> str:
        """Model folder of every method, in the methods' order."""
        return json.dumps({method: self.model(method, sampling, seed, anatomy) for method in self.methods})

    def studies(self) -> list[str]:
        """The studies that are made, each with a table."""
        studies, new = self.config.studies, bool(self.config.new)
        robustness = studies.robustness
        made = {
            "robustness": bool(robustness.accelerations or robustness.masks or robustness.noise),
            "aspin_matrix": studies.aspin_matrix and len(self.anatomies) > 1,
            "adaptation": bool(studies.patients) and new,
            "forgetting": new,
            "masks": bool(studies.masks),
        }
        return [name for name, wanted in made.items() if wanted]

    def pictured(self) -> list[str]:
        """Those of them that have a figure for each sampling."""
        return [study for study in self.studies() if study in ("adaptation", "aspin_matrix")]

    def conditions(self, sampling: str) -> dict[str, dict[str, object]]:
        """What networks that were trained for a sampling are tried on: mask and noise, by the condition's name."""
        own, robustness = self.config.samplings[sampling], self.config.studies.robustness
        tried = [f"{acceleration:g}x" for acceleration in robustness.accelerations]
        tried += [f"{own.acceleration:g}x-{mask.name}" for mask in robustness.masks]
        masks = {"as trained": sampling} | {name: name for name in tried if name != sampling}
        conditions: dict[str, dict[str, object]] = {name: {"mask": self._mask(file)} for name, file in masks.items()}
        for noise in robustness.noise:
            conditions[f"noise {noise:g}"] = {"mask": self._mask(sampling), "noise": noise}
        return conditions

    def _mask(self, sampling: str) -> str:
        return f"{self.results}/masks/{sampling}.npz"

    def slices(self) -> str:
        """The option that says how many slices those studies score."""
        limit = self.config.studies.slices
        return "" if limit is None else f"--slices {limit}"

    def tried_models(self, sampling: str, seed: str, anatomy: str) -> dict[str, str | None]:
        """Models of the methods whose robustness is tried."""
        return {
            method: self.model(method, sampling, seed, anatomy) for method in self.config.studies.robustness.methods
        }

    def study_scores(self, study: str) -> list[str]:
        """The files that a study's table is made from."""
        places = [(sampling, seed, self._models(sampling, seed)) for sampling in self.samplings for seed in self.seeds]
        if study in ("robustness", "aspin_matrix"):
            return [f"{root}/{study}/{anatomy}.csv" for _, _, root in places for anatomy in self.anatomies]
        if study == "forgetting":
            return [f"{root}/forgetting.csv" for _, _, root in places]
        if study == "adaptation":
            own = [
                f"{root}/metrics/{method}/{anatomy}.csv"
                for _, _, root in places
                for method in ("proposed", "independent")
                for anatomy in self.config.new
            ]
            return own + [
                f"{root}/adaptation/{way}/{patients}/metrics/{anatomy}.csv"
                for _, _, root in places
                for way, patients, anatomy in self.few()
            ]
        return [
            f"{self._models(sampling, seed)}/metrics/{method}/{anatomy}.csv"
            for sampling in self.trained
            for seed in self.seeds
            for method in self.methods
            for anatomy in self.anatomies
        ]

    def study_anatomies(self, study: str) -> list[str]:
        """The columns of a study's table."""
        return self.config.new if study == "adaptation" else self.anatomies

    def few_model(self, way: str, patients: str, sampling: str, seed: str, anatomy: str) -> tuple[str, str | None]:
        """Model of a training on few patients, and its ASPIN where that lies apart."""
        root = self._models(sampling, seed)
        if way == "aspin":
            return f"{root}/{self.distilled}", f"{root}/adaptation/aspin/{patients}/{anatomy}.safetensors"
        return f"{root}/adaptation/{way}/{patients}/{anatomy}", None

    def few_files(self, way: str, patients: str, sampling: str, seed: str, anatomy: str) -> list[str]:
        """The files of that model."""
        model, aspin = self.few_model(way, patients, sampling, seed, anatomy)
        files = [f"{model}/model.safetensors", f"{model}/model.json"]
        if way == "finetuned":
            aspin = f"{model}/aspin/{anatomy}.safetensors"
        return files if aspin is None else [*files, aspin]

    def finetuned(self, sampling: str, seed: str) -> dict[str, str]:
        """Networks that were fine-tuned on all patients of a new anatomy, by the anatomy."""
        return {
            anatomy: self.few_model(way, patients, sampling, seed, anatomy)[0]
            for way, patients, anatomy in self.few()
            if (way, patients) == ("finetuned", ALL_PATIENTS)
        }


def _listed(folder: str) -> tuple[list[tuple[str, int]], list[str]]:
    """Files of a folder with their bytes, -1 where they cannot be known, and folders in it, both by name.

    Hidden ones are passed over as the readers pass them over: a file manager writes some unasked. Links to folders are
    not followed. What cannot be opened holds nothing.
    """
    files, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                try:
                    if not entry.is_dir():
                        files.append((entry.name, entry.stat().st_size))
                    elif not entry.is_symlink():
                        folders.append(entry.name)
                except OSError:
                    files.append((entry.name, -1))
    except OSError:
        return [], []
    return sorted(files), sorted(folders)


def _json(settings: BaseModel) -> str:
    return json.dumps(settings.model_dump(mode="json"), sort_keys=True)

"""What the workflow's rules are given: settings of each step as JSON, fingerprints of code, files."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from unimri.config import Config
from unimri.core.errors import UnimriError
from unimri.core.provenance import files_digest
from unimri.data.prepare import PreparationTask
from unimri.data.store import shard_name
from unimri.deploy.library import AnatomyTask, ModelTask
from unimri.evaluation.reconstructions import Reconstruction, write_list
from unimri.evaluation.scores import after_learning, with_aspin_of
from unimri.io.volume import walk
from unimri.metrics.base import metric_modules, table_metrics
from unimri.metrics.score import AS_TRAINED
from unimri.physics.masks import MaskTask
from unimri.report.catalogue import TABLES
from unimri.report.experiment import made_from, shown_settings
from unimri.training.methods import method
from unimri.workflow.trainings import ALL_PATIENTS, TrainingPlan, as_json

REPORT = Path(__file__).parents[1] / "report"
PROPOSED, FINETUNED = "proposed", f"finetuned/{ALL_PATIENTS}"


class WorkflowPlan(TrainingPlan):
    """Answers the rules' questions about a configuration. Paths are text, relative to the working folder.

    `reconstructions` gives the `PlannedReconstructions` of a sampling and an anatomy.
    """

    def __init__(self, config: Config, trains_here: bool = False) -> None:
        super().__init__(config, trains_here)
        self.reconstructions = cache(partial(PlannedReconstructions, self))
        self.private = config.private.as_posix()
        training = config.training
        # What a training asks of the scheduler: CPUs, and a GPU for each process unless it is told to stay on the CPU.
        self.processes = training.processes
        self.threads = training.threads * training.processes
        self.gpus = 0 if self.device == "cpu" else training.processes
        self.logging = (
            f"--logger {training.logger} --picture-epochs {training.picture_epochs}" if training.logger else ""
        )
        self.shards = [shard_name(number) for number in range(config.preparation.shards)]
        faults = []
        for name, anatomy in config.anatomies.items():
            if anatomy.path is not None and not anatomy.path.is_dir():
                faults.append(f"config: anatomies.{name}.path: {_shown(anatomy.path)} is no folder; correct the path")
            if anatomy.splits is not None and not anatomy.splits.is_file():
                faults.append(f"config: anatomies.{name}.splits: {_shown(anatomy.splits)} is no file; correct the path")
        if faults:
            raise UnimriError("; ".join(faults))

    def simulation(self, anatomy: str) -> str:
        """Settings of a simulated data set."""
        settings = self.config.anatomies[anatomy].simulation
        assert settings is not None
        return as_json(settings)

    def raw(self, anatomy: str) -> str:
        """Folder of an anatomy's raw files."""
        path = self.config.anatomies[anatomy].path
        return f"{self.results}/simulated/{anatomy}" if path is None else path.as_posix()

    def raw_listing(self, anatomy: str) -> str:
        """Digest of real raw files' names and sizes: an added file prepares again, a touched one does not.

        It sees what the readers see: links are followed, hidden files are passed over.
        """
        path = self.config.anatomies[anatomy].path
        if path is None:
            return ""
        try:
            walked = walk(path)
        # Empty, or no folder any more: whoever reads it tells.
        except UnimriError:
            return ""
        names = [*walked.names, *(os.fspath(fault.path) for fault in walked.faults)]
        start = len(os.path.join(path, ""))  # noqa: PTH118
        listed = [f"{name[start:]}\0{_size(name)}\0" for name in names]
        digest = hashlib.sha256(os.fsencode("".join(listed)))
        return digest.hexdigest()[:16]

    def index(self, anatomy: str) -> str:
        """Settings of an anatomy's index."""
        return as_json(self._preparation(anatomy).index())

    def splits(self, anatomy: str) -> list[str]:
        """File of an anatomy's splits, if there is one."""
        path = self.config.anatomies[anatomy].splits
        return [] if path is None else [path.as_posix()]

    def shard(self, anatomy: str) -> str:
        """Settings of an anatomy's shards."""
        return as_json(self._preparation(anatomy).shard())

    def _preparation(self, anatomy: str) -> PreparationTask:
        own = self.config.anatomies[anatomy]
        return PreparationTask(reader=own.reader, fit=own.fit, preparation=self.config.preparation, splits=own.splits)

    def mask(self, sampling: str) -> str:
        """Settings of a sampling's masks."""
        return as_json(MaskTask(mask=self.config.samplings[sampling].mask, size=self.config.preparation.image_size))

    def acceleration(self, sampling: str) -> float:
        """Acceleration of a sampling."""
        return self.config.samplings[sampling].acceleration

    @property
    def tuned(self) -> list[str]:
        """The classical methods, whose weights are tuned on each anatomy."""
        tried = self.config.studies.robustness.methods if "robustness" in self.studies() else []
        return [key for key in dict.fromkeys([*self.methods, *tried]) if method(key).kind == "classical"]

    def classical(self) -> str:
        """Their settings."""
        classical = self.config.classical
        return classical.model_dump_json(include={"validation_slices", *self.tuned})

    def acquisition(self) -> list[str]:
        """The option that says what is drawn for slices; none when nothing is."""
        drawn = self.config.acquisition
        return [] if drawn is None else [f"--acquisition={drawn.model_dump_json()}"]

    def tuning_metrics(self) -> str:
        """The settings of PSNR, by which their weights are chosen: with another SSIM nothing is tuned again."""
        return json.dumps({"data_range": self.config.metrics.data_range})

    def provenance(self) -> str:
        """Which anatomies are simulated and which real, in the configured order."""
        origins = {name: "simulated" if own.simulated else "real" for name, own in self.config.anatomies.items()}
        return json.dumps(origins)

    def model_task(self, sampling: str) -> str:
        """What that model says of itself."""
        own = self.config.samplings[sampling]
        task = ModelTask(
            name=f"unimri-{sampling}",
            acceleration=own.acceleration,
            mask=own.mask,
            # A model is the same whichever metrics Table 1 shows.
            metrics=self.config.metrics.model_copy(update={"table": None}),
            anatomies={
                name: AnatomyTask(
                    origin="simulated" if part.simulated else "real",
                    role=part.role,
                    crop=self.config.preparation.crop if part.fit == "crop" else None,
                )
                for name, part in self.config.anatomies.items()
            },
            smoothing=self.config.preparation.smoothing,
            settings=shown_settings(self._that_trains()),
        )
        return as_json(task)

    def scans(self) -> str:
        """The scans of all anatomies, whose test patients a model is tried on: `unimri.deploy.build.Scans` of each."""
        # As plain values, because that module loads torch.
        scans = {
            name: {
                "folder": self.raw(name),
                # The manifest has the splits, and shards divide nothing here.
                "index": self._preparation(name)
                .index()
                .model_copy(update={"splits": None, "shards": 1})
                .model_dump(mode="json"),
                "seed": self.config.seed,
            }
            for name in self.config.anatomies
        }
        return json.dumps(scans, sort_keys=True)

    def _that_trains(self) -> dict[str, Any]:
        """The part of the configuration that a network depends on: changing the rest makes no model again."""
        whole = self.config.model_dump(mode="json")
        names = ("seed", "anatomies", "preparation", "network", "distillation", "acquisition")
        kept: dict[str, Any] = {name: whole[name] for name in names}
        training = self.config.training
        kept["training"] = {
            "seed": self.seeds[0],
            "optimisation": training.optimisation.model_dump(mode="json"),
            "stages": {stage: whole["training"]["stages"][stage] for stage in self.released_stages()},
        }
        return kept

    def figures(self, sampling: str) -> str:
        """What a sampling's figures show, all with the first seed: a `unimri.evaluation.figures.FiguresTask`."""
        # As plain values, because that module loads what draws.
        task = {
            "anatomies": {
                name: {
                    "reconstructions": f"{self.results}/{sampling}/reconstructions/{name}.h5",
                    "data": f"{self.results}/data/{name}",
                    "simulated": own.simulated,
                }
                for name, own in self.config.anatomies.items()
            },
            "methods": self.methods,
            "seed": int(self.seeds[0]),
            "metrics": self.config.metrics.model_dump(mode="json"),
            "histories": self.histories(sampling, self.seeds[0]),
            "title": f"Trainings at {sampling}, seed {self.seeds[0]} ({self._kind(self.anatomies)})",
            "acceleration": self.config.samplings[sampling].acceleration,
            "studies": {
                study: (f"{self.results}/tables/{study}.csv", self._title(study, sampling)) for study in self.pictured()
            },
            "masks": [f"{self.results}/masks/{name}.npz" for name in self.masks(sampling)],
        }
        return json.dumps(task)

    def masks(self, sampling: str) -> list[str]:
        """A sampling, and those that have other masks at its acceleration: also with the wildcard `{sampling}`."""
        return [sampling, *(f"{sampling}-{mask.name}" for mask in self.config.studies.masks)]

    def _title(self, study: str, sampling: str) -> str:
        """Title of a study's figure."""
        if study == "adaptation":
            return f"A new anatomy from few patients, {sampling} ({self._kind(self.config.new)})"
        return (
            f"{table_metrics(self.config.metrics)[0].words} with each ASPIN, {sampling} ({self._kind(self.anatomies)})"
        )

    def _kind(self, anatomies: Sequence[str]) -> str:
        origins = {self.config.anatomies[name].simulated for name in anatomies}
        return "simulated and real data" if len(origins) > 1 else "simulated data" if True in origins else "real data"

    def report_inputs(self) -> list[str]:
        """What the page shows: tables and figures. What a study did not make is left out of it."""
        tables, figures = f"{self.results}/tables", f"{self.results}/figures"
        shown = [one for one in TABLES if one.section != "studies" or one.file.removesuffix(".csv") in self.studies()]
        files = [file for one in shown for file in (one.file, one.beside, one.deviation) if file is not None]
        return [
            *(f"{tables}/{file}" for file in (*files, "best.csv", "orderings.csv", "origins.json")),
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
        code = self.code("unimri.report.page", *metric_modules(self.config.metrics))
        return f"{code}{files_digest(*(REPORT / folder for folder in ('templates', 'static', 'vendor')))}"

    def whole(self) -> str:
        """The whole configuration as the page may show it; Snakemake's report shows it too, as the rule's parameter."""
        return json.dumps(shown_settings(self.config.model_dump(mode="json")))

    def made_from(self) -> str:
        """What tables note that they are made from."""
        return json.dumps(made_from(self.config.model_dump(mode="json")))

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

    def scores(self, samplings: Sequence[str], anatomies: Sequence[str]) -> list[str]:
        """The slices' scores of some anatomies for some samplings."""
        return [f"{self.results}/{sampling}/scores/{anatomy}.csv" for sampling in samplings for anatomy in anatomies]

    def study_columns(self) -> str:
        """The columns of each study's table: anatomies."""
        columns = {study: self.config.new if study == "adaptation" else self.anatomies for study in self.studies()}
        return json.dumps(columns)


class PlannedReconstructions:
    """What is reconstructed of one anatomy's test split for one sampling: by every method, and as the studies ask.

    Attributes
    ----------
    reconstructions : seed by seed, the methods of Tables 1 and S2 first.
    files : that they are made from beside the prepared data and the mask of the trainings: trained networks.
    """

    def __init__(self, plan: WorkflowPlan, sampling: str, anatomy: str) -> None:
        self._plan, self._sampling, self._anatomy = plan, sampling, anatomy
        found = [one for seed in plan.seeds for one in self._of_seed(seed)]
        self.reconstructions = [one for one, _ in found]
        self.files = list(dict.fromkeys(file for _, files in found for file in files))

    @property
    def listed(self) -> str:
        """The reconstructions as JSON."""
        return write_list(self.reconstructions)

    def _of_seed(self, seed: str) -> Iterator[tuple[Reconstruction, list[str]]]:
        """Each reconstruction with the files of its model."""
        plan, main = self._plan, self._sampling in self._plan.samplings
        for key in [*plan.methods, *(plan.layer_methods if main else [])]:
            yield self._of_method(key, seed, AS_TRAINED)
        if not main:
            return
        studies = plan.studies()
        if "robustness" in studies:
            yield from self._robustness(seed)
        if "aspin_matrix" in studies:
            yield from self._matrix(seed)
        if self._anatomy in plan.config.base:
            yield from self._forgetting(seed)
        elif "adaptation" in studies:
            for how, patients, new in plan.few():
                if new == self._anatomy:
                    model, aspin, files = plan.few_model(how, patients, self._sampling, seed, new)
                    yield self._reconstruction(f"{how}/{patients}", seed, AS_TRAINED, model, aspin=aspin), files

    def _robustness(self, seed: str) -> Iterator[tuple[Reconstruction, list[str]]]:
        """Under other masks and with noise. Of a method that Table 1 does not have, as trained too."""
        plan, robustness = self._plan, self._plan.config.studies.robustness
        own = plan.config.samplings[self._sampling]
        masks = [f"{acceleration:g}x" for acceleration in robustness.accelerations]
        masks += [f"{own.acceleration:g}x-{mask.name}" for mask in robustness.masks]
        samplings = [plan.config.samplings[name] for name in masks if name != self._sampling]
        conditions: dict[str, dict[str, Any]] = {
            one.name: {"mask": {"acceleration": one.acceleration, "mask": one.mask}} for one in samplings
        }
        conditions |= {f"noise {noise:g}": {"noise": noise} for noise in robustness.noise}
        for key in robustness.methods:
            tried = conditions if key in plan.methods else {AS_TRAINED: {}} | conditions
            for name, condition in tried.items():
                yield self._of_method(key, seed, name, slices=plan.config.studies.slices, **condition)

    def _matrix(self, seed: str) -> Iterator[tuple[Reconstruction, list[str]]]:
        """With the other anatomies' ASPINs."""
        plan = self._plan
        model = plan.model(PROPOSED, self._sampling, seed, self._anatomy)
        for other in plan.anatomies:
            if other != self._anatomy:
                files = plan.model_files(PROPOSED, self._sampling, seed, other)
                how = {"aspin": f"{model}/aspin/{other}.safetensors", "slices": plan.config.studies.slices}
                yield self._reconstruction(PROPOSED, seed, with_aspin_of(other), model, **how), files

    def _forgetting(self, seed: str) -> Iterator[tuple[Reconstruction, list[str]]]:
        """A base anatomy after new ones were learnt: by S4, and by fine-tuning the whole network."""
        plan = self._plan
        for new in plan.config.new:
            one, files = self._of_method(PROPOSED, seed, after_learning(new), added=[new], before=PROPOSED)
            yield one, [*files, *plan.model_files(PROPOSED, self._sampling, seed, new)]
        for how, patients, new in plan.few():
            if f"{how}/{patients}" == FINETUNED:
                model, _, _ = plan.few_model(how, patients, self._sampling, seed, new)
                own = ("model.safetensors", "model.json", f"aspin/{self._anatomy}.safetensors")
                one = self._reconstruction(FINETUNED, seed, after_learning(new), model, before=PROPOSED)
                yield one, [f"{model}/{file}" for file in own]

    def _of_method(self, method: str, seed: str, condition: str, **how: Any) -> tuple[Reconstruction, list[str]]:
        place = (method, self._sampling, seed, self._anatomy)
        model, files = self._plan.model(*place), self._plan.model_files(*place)
        return self._reconstruction(method, seed, condition, model, **how), files

    def _reconstruction(self, method: str, seed: str, condition: str, model: str | None, **how: Any) -> Reconstruction:
        """The reconstruction, of paths as text."""
        named = {"method": method, "seed": seed, "condition": condition, "model": model}
        return Reconstruction.model_validate(named | {"acquisition": self._plan.config.acquisition} | how)


def _shown(path: Path) -> str:
    """A path that leads nowhere, with where it starts."""
    return str(path) if path.is_absolute() else f"{path} (in {Path.cwd()})"


def _size(path: str) -> int:
    """Bytes of a file; -1 where they cannot be known."""
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return -1

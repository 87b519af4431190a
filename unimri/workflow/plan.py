"""What the workflow's rules are given: settings of each step as JSON, fingerprints of code, files."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unimri.config import Config
from unimri.core.errors import UnimriError
from unimri.core.provenance import files_digest
from unimri.data.prepare import PreparationTask
from unimri.data.store import shard_name
from unimri.deploy.library import AnatomyTask, ModelTask
from unimri.metrics.base import metric_modules, table_metrics
from unimri.physics.masks import MaskTask
from unimri.report.experiment import shown_settings
from unimri.workflow.trainings import TrainingPlan, as_json

REPORT = Path(__file__).parents[1] / "report"


class WorkflowPlan(TrainingPlan):
    """Answers the rules' questions about a configuration. Paths are text, relative to the working folder."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.private = config.private.as_posix()
        training = config.training
        # What a training asks of the scheduler: CPUs, and a GPU for each process unless it is told to stay on the CPU.
        self.processes = training.processes
        self.threads = training.threads * training.processes
        self.gpus = 0 if training.device == "cpu" else training.processes
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
        return as_json(settings)

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

    def tuning_metrics(self) -> str:
        """The settings of PSNR, by which weights of classical methods are chosen."""
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
                name: AnatomyTask(origin="simulated" if part.simulated else "real", role=part.role)
                for name, part in self.config.anatomies.items()
            },
            settings=shown_settings(self._that_trains()),
        )
        return as_json(task)

    def _that_trains(self) -> dict[str, Any]:
        """The part of the configuration that a network depends on: changing the rest makes no model again."""
        whole = self.config.model_dump(mode="json")
        names = ("seed", "anatomies", "preparation", "network", "distillation")
        kept: dict[str, Any] = {name: whole[name] for name in names}
        training = self.config.training
        kept["training"] = {
            "seed": self.seeds[0],
            "optimisation": training.optimisation.model_dump(mode="json"),
            "stages": {stage: whole["training"]["stages"][stage] for stage in self.released_stages()},
        }
        return kept

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
        return (
            f"{table_metrics(self.config.metrics)[0].words} with each ASPIN, {sampling} ({self._kind(self.anatomies)})"
        )

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
        code = self.code("unimri.report.page", *metric_modules(self.config.metrics))
        return f"{code}{files_digest(*(REPORT / folder for folder in ('templates', 'static', 'vendor')))}"

    def whole(self) -> str:
        """The whole configuration as the page may show it; Snakemake's report shows it too, as the rule's parameter."""
        return json.dumps(shown_settings(self.config.model_dump(mode="json")))

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

    def mask_file(self, sampling: str) -> str:
        """A sampling's masks."""
        return f"{self.results}/masks/{sampling}.npz"

    def scores(self, samplings: Sequence[str], anatomies: Sequence[str]) -> list[str]:
        """The slices' scores of some anatomies for some samplings."""
        return [f"{self.results}/{sampling}/scores/{anatomy}.csv" for sampling in samplings for anatomy in anatomies]

    def study_scores(self, study: str) -> list[str]:
        """The files that a study's table is made from."""
        of = {"forgetting": self.config.base, "adaptation": self.config.new}
        return self.scores(self.trained if study == "masks" else self.samplings, of.get(study, self.anatomies))

    def study_anatomies(self, study: str) -> list[str]:
        """The columns of a study's table."""
        return self.config.new if study == "adaptation" else self.anatomies


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

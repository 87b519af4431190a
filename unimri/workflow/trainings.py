"""What is trained: the table of methods with a configuration's anatomies, seeds and studies, as jobs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from pydantic import BaseModel

from unimri.config import Config
from unimri.core.provenance import code_digest
from unimri.training.fingerprint import training_modules
from unimri.training.methods import ADAPTATIONS, Method, adaptation, ancestry, layer_of, method, trained
from unimri.training.settings import Distillation, Recipe, TrainingTask

ALL_PATIENTS = "all"
# Of a trained network: what others read, and what it leaves beside that.
_READ = ("model.safetensors", "model.json")
_BESIDE = ("history.csv", "last/model.safetensors")
# Of one anatomy's conditioning that was trained alone.
_ALONE = ("{anatomy}.safetensors", "last/{anatomy}.safetensors", "{anatomy}.json", "{anatomy}.history.csv")
_S4 = ADAPTATIONS[0]


@dataclass(frozen=True)
class TrainingRule:
    """One rule of the workflow: a row of the table, trained for any sampling and seed.

    Attributes
    ----------
    name : the rule's.
    method : the row.
    folder : that it writes to, below sampling and seed. It holds wildcards: anatomy, layer, patients, base.
    base : folder of the network that it starts from, likewise, or None.
    log : path of its log and benchmark, likewise.
    """

    name: str
    method: Method
    folder: str
    base: str | None
    log: str

    @property
    def priority(self) -> int:
        """Before other jobs: S2 and S3, which all of S4 waits for."""
        return 10 if self.method.in_paper and self.method.universal and self.method.learns_from == "base" else 0


@dataclass(frozen=True)
class PlannedTraining:
    """One training of the plan.

    Attributes
    ----------
    method : the row that it is of.
    name : tells it from the others of its stage.
    folder : that it writes to.
    anatomies : that it learns from.
    seed : of its initialisation and batches.
    base : folder of the universal network that it starts from, or None.
    teachers : model folder of each anatomy's teacher, when it distils.
    layer : that it distils, or None.
    patients : how many of each anatomy it learns from; None for all.
    recipe : how it learns; of S4 with the conditioning of its base.
    """

    method: Method
    name: str
    folder: str
    anatomies: tuple[str, ...]
    seed: str
    recipe: Recipe
    base: str | None = None
    teachers: Mapping[str, str] = field(default_factory=dict)
    layer: int | None = None
    patients: int | None = None

    @property
    def stage(self) -> str:
        """Its kind: the key of its budget."""
        assert self.method.budget is not None
        return self.method.budget

    @property
    def about(self) -> str:
        """Its provenance, written last."""
        return f"{self.folder}/{self.anatomies[0]}.json" if self._alone else f"{self.folder}/model.json"

    @property
    def history(self) -> str:
        """Its history."""
        return f"{self.folder}/{self.anatomies[0]}.history.csv" if self._alone else f"{self.folder}/history.csv"

    @property
    def _alone(self) -> bool:
        return self.recipe.learns == "conditioning"


class TrainingPlan:
    """The trainings of a configuration, and the models that come of them. Paths are text.

    Attributes
    ----------
    anatomies : names, in the configured order.
    trained, samplings : names of the samplings that trainings are made for, and of those that Table 1 is of.
    seeds : of the trainings, as text; figures show the first.
    methods : keys of Table 1's rows.
    layer_methods : keys of the rows of Table S2 that Table 1 does not have.
    training_rules : every rule, also of methods that this configuration leaves out.
    code : fingerprint of modules and what they import, the same for all jobs of a rule.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.code = cache(code_digest)
        self.results = config.results.as_posix()
        self.anatomies = list(config.anatomies)
        self.trained = [sampling.name for sampling in config.samplings.values() if sampling.role != "tried"]
        self.samplings = [sampling.name for sampling in config.samplings.values() if sampling.role == "main"]
        self.seeds = [str(seed) for seed in config.seeds]
        self.methods = config.studies.methods
        own = config.distillation.layer
        self.layer_methods = [f"layer{layer}" for layer in sorted(set(config.studies.layers) - {own})]
        networks = [TrainingRule(_folder(row), row, _pattern(row), self._base(row), _pattern(row)) for row in trained()]
        adapted = TrainingRule("adapted", _S4, "{base}/aspin", "{base}", "{base}/adapted/{anatomy}")
        self._few = {row.key: self._few_rule(row) for row in ADAPTATIONS}
        self._networks, self._adapted = networks, adapted
        self.training_rules = [*networks, adapted, *self._few.values()]

    def _base(self, row: Method) -> str | None:
        """Folder of the network that a row starts from, with the experiment's layer when that is distilled."""
        if row.base is None:
            return None
        return _pattern(method(row.base)).replace("{layer}", str(self.config.distillation.layer))

    def _few_rule(self, row: Method) -> TrainingRule:
        folder = f"adaptation/{row.key}/{{patients}}"
        alone = row.recipe.learns == "conditioning"
        own = f"{folder}/{{anatomy}}"
        return TrainingRule(f"few_{row.key}", row, folder if alone else own, self._base(row), own)

    @property
    def universal(self) -> list[str]:
        """Folders of the networks that S4 adds anatomies to, below sampling and seed, with the wildcard `layer`."""
        return [rule.folder for rule in self._networks if rule.method.universal]

    def training_files(self, rule: TrainingRule) -> list[str]:
        """What a rule writes, with its wildcards."""
        row, files = rule.method, [*_READ, *_BESIDE]
        if row.universal:
            anatomies = [*self.config.base, *(["{anatomy}"] if row.recipe.adds_anatomy else [])]
            files += [f"aspin/{anatomy}.safetensors" for anatomy in anatomies]
        if row.recipe.learns == "conditioning":
            files = list(_ALONE)
        return [f"{self.models_folder('{sampling}', '{seed}')}/{rule.folder}/{file}" for file in files]

    def learns_from(self, rule: TrainingRule) -> list[str]:
        """What its wildcard `anatomy` may be."""
        return self.config.new if rule.method.learns_from == "new" else self.anatomies

    def training(self, rule: TrainingRule, sampling: str, seed: str, **wildcards: str) -> PlannedTraining:
        """The training that a rule makes for these wildcards."""
        row, root = rule.method, self.models_folder(sampling, seed)
        several = {"base": self.config.base, "all": self.anatomies}
        anatomies = several.get(row.learns_from) or [wildcards["anatomy"]]
        base = None if rule.base is None else rule.base.format(**wildcards)
        recipe, folder = row.recipe, rule.folder.format(**wildcards)
        name = anatomies[0] if row.learns_from == "each" else folder
        if rule is self._adapted:
            assert base is not None
            name = f"{anatomies[0]} on {base}"
            of_base = next(own.method for own in self._networks if own.name == base.partition("/")[0])
            recipe = recipe.model_copy(update={"conditioning": of_base.conditioning})
        patients = wildcards.get("patients")
        if patients is not None:
            name = f"{anatomies[0]}, {row.key}, {patients} patients"
        teachers = {} if row.teachers is None else {name: self._each(row.teachers, root, name) for name in anatomies}
        return PlannedTraining(
            method=row,
            name=name,
            folder=f"{root}/{folder}",
            anatomies=tuple(anatomies),
            seed=seed,
            recipe=recipe,
            base=None if base is None else f"{root}/{base}",
            teachers=teachers,
            layer=int(wildcards["layer"]) if row.teachers is not None else None,
            patients=None if patients in (None, ALL_PATIENTS) else int(str(patients)),
        )

    def _each(self, key: str, root: str, anatomy: str) -> str:
        return f"{root}/{_pattern(method(key)).format(anatomy=anatomy)}"

    def training_inputs(self, training: PlannedTraining) -> list[str]:
        """Files of the networks that a training starts from or is taught by."""
        base = [] if training.base is None else [*_READ, *(f"aspin/{name}.safetensors" for name in self.config.base)]
        files = [f"{training.base}/{file}" for file in base]
        return files + [f"{folder}/{file}" for folder in training.teachers.values() for file in _READ]

    def training_code(self, training: PlannedTraining) -> str:
        """Fingerprint of the code of a training's own stage and conditioning."""
        return self.code(*training_modules(training.recipe.conditioning, bool(training.teachers)))

    def task(self, training: PlannedTraining) -> str:
        """A training's task, as JSON."""
        settings = self.config.training
        distillation = None
        if training.layer is not None:
            distillation = Distillation(layer=training.layer, omega=self.config.distillation.omega)
        return as_json(
            TrainingTask(
                stage=training.stage,
                recipe=training.recipe,
                network=self.config.network,
                budget=settings.stages[training.stage],
                optimisation=settings.optimisation,
                distillation=distillation,
                seed=int(training.seed),
                patients=training.patients,
                threads=settings.threads,
                device=settings.device,
            )
        )

    def trainings(self, sampling: str, seed: str) -> list[PlannedTraining]:
        """Every training for one sampling with one seed, in the order of the stages."""
        found = []
        for rule in self._networks:
            row = rule.method
            if row.key not in self.methods:
                continue
            for anatomy in self.anatomies if row.learns_from == "each" else [""]:
                for layer in self.layers(row, sampling):
                    found.append(self.training(rule, sampling, seed, anatomy=anatomy, layer=layer))
        root = self.models_folder(sampling, seed)
        bases = [training.folder.removeprefix(f"{root}/") for training in found if training.method.universal]
        found += [
            self.training(self._adapted, sampling, seed, base=base, anatomy=anatomy)
            for base in bases
            for anatomy in self.config.new
        ]
        if sampling in self.samplings:
            found += [self._few_training(*one, sampling, seed) for one in self.few()]
        return found

    def layers(self, row: Method, sampling: str) -> list[str]:
        """Layers that a method distils: the experiment's own, of Proposed those of Table S2 too; "" for none."""
        if row.teachers is None:
            return [""]
        own = self.config.distillation.layer
        further = self.config.studies.layers if row.key == "proposed" and sampling in self.samplings else ()
        return [str(layer) for layer in sorted({own, *further})]

    def histories(self, sampling: str, seed: str) -> dict[str, dict[str, str]]:
        """`history.csv` of every training on all patients, by its panel of the figure of curves and its name."""
        found: dict[str, dict[str, str]] = {}
        for training in self.trainings(sampling, seed):
            if training.patients is None:
                found.setdefault(training.method.curves or training.method.title, {})[training.name] = training.history
        return found

    def model(self, key: str, sampling: str, seed: str, anatomy: str) -> str | None:
        """Model folder of a network, file of a classical method's settings, or None for zero filling."""
        row = method(key)
        if row.kind == "classical":
            return f"{self.results}/{sampling}/classical/{key}/{anatomy}.json"
        if row.budget is None:
            return None
        layer = layer_of(key) or self.config.distillation.layer
        return f"{self.models_folder(sampling, seed)}/{_pattern(row).format(anatomy=anatomy, layer=layer)}"

    def models_folder(self, sampling: str, seed: str) -> str:
        """Folder of all that is trained for one sampling with one seed."""
        return f"{self.results}/{sampling}/seed{seed}"

    def model_files(self, key: str, sampling: str, seed: str, anatomy: str) -> list[str]:
        """The files of a method's model that an anatomy needs."""
        model, row = self.model(key, sampling, seed, anatomy), method(key)
        if model is None:
            return []
        if row.kind == "classical":
            return [model]
        files = [*_READ, *([f"aspin/{anatomy}.safetensors"] if row.universal else [])]
        return [f"{model}/{file}" for file in files]

    def few(self) -> list[tuple[str, str, str]]:
        """Trainings on a new anatomy that the study of few patients adds: row's key, patients (or `all`), anatomy.

        Where Table 1 has the same training on all patients, it is not made twice.
        """
        counts = [str(count) for count in self.config.studies.patients]
        planned = [(row.key, count) for row in ADAPTATIONS for count in counts]
        if counts:
            planned += [(row.key, ALL_PATIENTS) for row in ADAPTATIONS if row.with_all is None]
        return [(key, patients, anatomy) for key, patients in planned for anatomy in self.config.new]

    def _few_training(self, key: str, patients: str, anatomy: str, sampling: str, seed: str) -> PlannedTraining:
        rule = self._few[adaptation(key).key]
        return self.training(rule, sampling, seed, anatomy=anatomy, patients=patients)

    def few_model(self, method: str, patients: str, sampling: str, seed: str, anatomy: str) -> tuple[str, str | None]:
        """Model of a training on few patients, and its ASPIN where that lies apart."""
        training = self._few_training(method, patients, anatomy, sampling, seed)
        if training.recipe.learns == "conditioning":
            assert training.base is not None
            return training.base, f"{training.folder}/{anatomy}.safetensors"
        return training.folder, None

    def few_files(self, method: str, patients: str, sampling: str, seed: str, anatomy: str) -> list[str]:
        """The files of that model."""
        model, aspin = self.few_model(method, patients, sampling, seed, anatomy)
        if aspin is None and adaptation(method).universal:
            aspin = f"{model}/aspin/{anatomy}.safetensors"
        return [*(f"{model}/{file}" for file in _READ), *([] if aspin is None else [aspin])]

    def finetuned(self, sampling: str, seed: str) -> dict[str, str]:
        """Networks that were fine-tuned on all patients of a new anatomy, by the anatomy."""
        return {
            anatomy: self.few_model(key, patients, sampling, seed, anatomy)[0]
            for key, patients, anatomy in self.few()
            if (key, patients) == ("finetuned", ALL_PATIENTS)
        }

    def released(self, sampling: str) -> str:
        """Folder of the network that is given to others: Proposed, with the first seed."""
        model = self.model("proposed", sampling, self.seeds[0], self.anatomies[0])
        assert model is not None
        return model

    def released_files(self, sampling: str) -> list[str]:
        """Its files, with every anatomy's ASPIN."""
        each = [self.model_files("proposed", sampling, self.seeds[0], anatomy) for anatomy in self.anatomies]
        return list(dict.fromkeys(file for files in each for file in files))

    def released_stages(self) -> list[str]:
        """The stages that it comes of, in their order."""
        rows = [row.key for row in ancestry("proposed")]
        return [str(row.budget) for row in (*trained(), _S4) if row.key in rows or row is _S4]


def _folder(row: Method) -> str:
    return row.folder or row.key


def _pattern(row: Method) -> str:
    """Folder of a row's model below sampling and seed, with the wildcards that it has."""
    each, layer = row.learns_from == "each", row.teachers is not None
    return f"{_folder(row)}{'/{anatomy}' if each else ''}{'/layer{layer}' if layer else ''}"


def as_json(settings: BaseModel) -> str:
    """Settings as rules are given them."""
    return json.dumps(settings.model_dump(mode="json"), sort_keys=True)

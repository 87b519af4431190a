"""What is trained: the table of methods with a configuration's anatomies, seeds and studies, as jobs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from pydantic import BaseModel

from unimri.config import Config
from unimri.core.machine import count_gpus
from unimri.core.provenance import code_digest
from unimri.models.registry import conditioning_module
from unimri.training.methods import ADAPTATIONS, Method, adaptation, ancestry, layer_of, method, trained
from unimri.training.settings import Distillation, Recipe, TrainingTask, training_modules

ALL_PATIENTS = "all"
# Of a trained network: what others read, and what it leaves beside that.
_READ = ("model.safetensors", "model.json")
_BESIDE = ("history.csv", "last/model.safetensors")
# Of one anatomy's conditioning that was trained alone.
_ALONE = ("{anatomy}.safetensors", "last/{anatomy}.safetensors", "{anatomy}.json", "{anatomy}.history.csv")


@dataclass(frozen=True)
class TrainingRule:
    """One rule of the workflow: a row of the table, trained for any sampling and seed.

    Attributes
    ----------
    name : the rule's.
    method : the row.
    folder : that it writes to, below sampling and seed. Its wildcards: anatomy, layer, patients, base.
    base : folder of the network that it starts from, likewise, or None.
    log : path of its log and benchmark, likewise.
    title : tells its trainings from others of their stage, with the same wildcards.
    """

    name: str
    method: Method
    folder: str
    base: str | None
    log: str
    title: str

    @property
    def priority(self) -> int:
        """Before other jobs: S2 and S3, which all of S4 waits for."""
        return 10 if self.method.in_paper and self.method.universal and self.method.learns_from == "base" else 0


def training_rules(layer: int) -> dict[str, TrainingRule]:
    """Every rule by its name, in the order of the stages: networks of Table 1, S4 on any of them, few patients.

    Parameters
    ----------
    layer : that a distilled network which others start from has distilled.
    """

    def base(row: Method) -> str | None:
        return None if row.base is None else method(row.base).models.replace("{layer}", str(layer))

    rules = []
    for row in trained():
        title = "{anatomy}" if row.learns_from == "each" else row.models
        rules.append(TrainingRule(row.models.partition("/")[0], row, row.models, base(row), row.models, title))
    s4 = ("{base}/aspin", "{base}", "{base}/adapted/{anatomy}", "{anatomy} on {base}")
    rules.append(TrainingRule("adapted", ADAPTATIONS[0], *s4))
    for row in ADAPTATIONS:
        several, own = f"adaptation/{row.key}/{{patients}}", f"adaptation/{row.key}/{{patients}}/{{anatomy}}"
        folder = several if row.recipe.learns == "conditioning" else own
        title = f"{{anatomy}}, {row.key}, {{patients}} patients"
        rules.append(TrainingRule(f"few_{row.key}", row, folder, base(row), own, title))
    names = [rule.name for rule in rules]
    assert len(set(names)) == len(names), f"two rows of the table of methods have folders that begin alike: {names}"
    return {rule.name: rule for rule in rules}


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
    training_rules : every rule by its name, also of methods that this configuration leaves out.
    code : fingerprint of modules and what they import, the same for all jobs of a rule.
    device : that trainings are told. On a machine without a GPU `auto` is the CPU, and plans nothing again.

    Parameters
    ----------
    config : the configuration.
    trains_here : whether it is trained on this machine, and not on a cluster's.
    """

    def __init__(self, config: Config, trains_here: bool = False) -> None:
        self.config = config
        device = config.training.device
        self.device = "cpu" if device == "auto" and trains_here and not count_gpus() else device
        self.code = cache(code_digest)
        self.results = config.results.as_posix()
        self.anatomies = list(config.anatomies)
        self.trained = [sampling.name for sampling in config.samplings.values() if sampling.role != "tried"]
        self.samplings = [sampling.name for sampling in config.samplings.values() if sampling.role == "main"]
        self.seeds = [str(seed) for seed in config.seeds]
        self.methods = config.studies.methods
        own = config.distillation.layer
        self.layer_methods = [f"layer{layer}" for layer in sorted(set(config.studies.layers) - {own})]
        self.training_rules = training_rules(own)

    @property
    def universal(self) -> list[str]:
        """Folders of the networks that S4 adds anatomies to, below sampling and seed, with the wildcard `layer`."""
        return [row.models for row in trained() if row.universal]

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
        row, root, recipe = rule.method, self.models_folder(sampling, seed), rule.method.recipe
        anatomies = {"base": self.config.base, "all": self.anatomies}.get(row.learns_from) or [wildcards["anatomy"]]
        base = None if rule.base is None else rule.base.format(**wildcards)
        if row.learns_from == "new" and base is not None:
            own = self.training_rules[base.partition("/")[0]].method
            recipe = recipe.model_copy(update={"conditioning": own.conditioning})
        teachers = {}
        if row.teachers is not None:
            models = method(row.teachers).models
            teachers = {anatomy: f"{root}/{models.format(anatomy=anatomy)}" for anatomy in anatomies}
        patients = wildcards.get("patients", ALL_PATIENTS)
        return PlannedTraining(
            method=row,
            name=rule.title.format(**wildcards),
            folder=f"{root}/{rule.folder.format(**wildcards)}",
            anatomies=tuple(anatomies),
            seed=seed,
            recipe=recipe,
            base=None if base is None else f"{root}/{base}",
            teachers=teachers,
            layer=None if row.teachers is None else int(wildcards["layer"]),
            patients=None if patients == ALL_PATIENTS else int(patients),
        )

    def training_inputs(self, training: PlannedTraining) -> list[str]:
        """Files of the networks that a training starts from or is taught by."""
        base = [] if training.base is None else _network_files(training.base, self.config.base)
        return base + [file for folder in training.teachers.values() for file in _network_files(folder)]

    def training_code(self, training: PlannedTraining) -> str:
        """Fingerprint of the code of a training's own stage, its conditioning and its teachers'."""
        return self.code(*training_modules(training.recipe))

    def conditionings(self, methods: Sequence[str]) -> list[str]:
        """Modules of some methods' conditionings, for the code of what runs their networks."""
        return sorted({conditioning_module(method(key).conditioning) for key in methods})

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
                acquisition=self.config.acquisition,
                seed=int(training.seed),
                patients=training.patients,
                threads=settings.threads,
                device=self.device,
            )
        )

    def trainings(self, sampling: str, seed: str) -> list[PlannedTraining]:
        """Every training for one sampling with one seed, in the order of the stages."""
        rules, new = self.training_rules, self.config.new
        found = [
            self.training(rules[row.models.partition("/")[0]], sampling, seed, anatomy=anatomy, layer=layer)
            for row in trained()
            if row.key in self.methods
            for anatomy in (self.anatomies if row.learns_from == "each" else [""])
            for layer in self.layers(row, sampling)
        ]
        bases = [one.name for one in found if one.method.universal]
        found += [
            self.training(rules["adapted"], sampling, seed, base=base, anatomy=anatomy)
            for base in bases
            for anatomy in new
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
        """`history.csv` of every training on all patients, by its panel of the figure of curves and its title there."""
        found: dict[str, dict[str, str]] = {}
        titles: dict[str | None, str] = {}
        for training in self.trainings(sampling, seed):
            row = training.method
            title = titles.get(training.base, row.title) if row.learns_from == "new" else row.title
            if row.learns_from in ("each", "new"):
                title += f", {training.anatomies[0]}"
            elif len(self.layers(row, sampling)) > 1:
                title += f", layer {training.layer}"
            if row.learns_from != "new":
                titles[training.folder] = title
            if training.patients is None:
                found.setdefault(row.curves or row.title, {})[title] = training.history
        return found

    def model(self, key: str, sampling: str, seed: str, anatomy: str) -> str | None:
        """Model folder of a network, file of a classical method's settings, or None for zero filling."""
        row = method(key)
        if row.kind == "classical":
            return f"{self.results}/{sampling}/classical/{key}/{anatomy}.json"
        if row.budget is None:
            return None
        layer = layer_of(key) or self.config.distillation.layer
        return f"{self.models_folder(sampling, seed)}/{row.models.format(anatomy=anatomy, layer=layer)}"

    def models_folder(self, sampling: str, seed: str) -> str:
        """Folder of all that is trained for one sampling with one seed."""
        return f"{self.results}/{sampling}/seed{seed}"

    def model_files(self, key: str, sampling: str, seed: str, anatomy: str) -> list[str]:
        """The files of a method's network that an anatomy needs; none without a network."""
        model, row = self.model(key, sampling, seed, anatomy), method(key)
        if model is None or row.kind == "classical":
            return []
        return _network_files(model, [anatomy] if row.universal else [])

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
        rule = self.training_rules[f"few_{adaptation(key).key}"]
        return self.training(rule, sampling, seed, anatomy=anatomy, patients=patients)

    def few_model(
        self, key: str, patients: str, sampling: str, seed: str, anatomy: str
    ) -> tuple[str, str | None, list[str]]:
        """Model of a training on few patients, its ASPIN where that lies apart, and the files of both."""
        training = self._few_training(key, patients, anatomy, sampling, seed)
        if training.recipe.learns == "conditioning":
            assert training.base is not None
            model, aspin = training.base, f"{training.folder}/{anatomy}.safetensors"
            return model, aspin, [*_network_files(model), aspin]
        return training.folder, None, _network_files(training.folder, [anatomy] if training.method.universal else [])

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
        rows = {row.key for row in ancestry("proposed")}
        return [*(str(row.budget) for row in trained() if row.key in rows), str(ADAPTATIONS[0].budget)]


def _network_files(folder: str, anatomies: Iterable[str] = ()) -> list[str]:
    """What others read of a trained network, with the ASPINs of some anatomies."""
    return [f"{folder}/{file}" for file in (*_READ, *(f"aspin/{anatomy}.safetensors" for anatomy in anatomies))]


def as_json(settings: BaseModel) -> str:
    """Settings as rules are given them."""
    return json.dumps(settings.model_dump(mode="json"), sort_keys=True)

"""The table of methods: what is compared, and how each of them is trained. Workflow, evaluation and page read it.

A new control is one row here, and its budget under `training.stages` of the configuration.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from unimri.core.errors import UnimriError
from unimri.training.settings import Recipe

Kind = Literal["paper", "control", "classical"]

_PLAIN = Recipe()


@dataclass(frozen=True)
class Method:
    """One row.

    Attributes
    ----------
    key : the method's name in files and paths.
    title : its name in tables and figures.
    kind : 'paper' when the paper has it (Liu et al., MICCAI 2021), 'control' for a training of ours that tests what the
        paper's comparison leaves open, 'classical' for an iterative reconstruction without training.
    note : what it is, for those that the paper does not have.
    budget : key of its epochs and learning rate under `training.stages`, and the name of the stage; rows that share one
        have one recipe. None when nothing is trained.
    recipe : how it learns.
    learns_from : 'each': one anatomy, each has a network of its own; 'base': the base anatomies; 'all': those and the
        new ones; 'new': one new anatomy.
    base : key of the row whose network it starts from; None for the initialisation.
    teachers : key of the row whose networks, one a base anatomy, it is distilled from; `recipe` has their conditioning.
    universal : the network holds numbers of each anatomy (its conditioning's), and S4 adds those of new ones.
    folder : of its models, below sampling and seed; the key when empty.
    one_coil : of a classical one that knows of one coil alone, without phase or with its own.
    curves : panel of the figure of training curves that it stands in.
    as_long_as : key of the budget whose number of epochs it must have, for the comparison to be fair.
    with_all : of a row of `ADAPTATIONS`: key of the method of Table 1 that it is, when it learns from all patients.
    """

    key: str
    title: str
    kind: Kind = "paper"
    note: str = ""
    budget: str | None = None
    recipe: Recipe = _PLAIN
    learns_from: Literal["each", "base", "all", "new"] = "base"
    base: str | None = None
    teachers: str | None = None
    universal: bool = False
    folder: str = ""
    one_coil: bool = False
    curves: str = ""
    as_long_as: str | None = None
    with_all: str | None = None

    @property
    def in_paper(self) -> bool:
        """Whether the paper has it."""
        return self.kind == "paper"

    @property
    def models(self) -> str:
        """Folder of its models, below sampling and seed; `{anatomy}` and `{layer}` stand for what they are of."""
        each, layer = self.learns_from == "each", self.teachers is not None
        return f"{self.folder or self.key}{'/{anatomy}' if each else ''}{'/layer{layer}' if layer else ''}"

    @property
    def conditioning(self) -> str:
        """Name of the network's conditioning; see `unimri.models.conditioning`."""
        return self.recipe.conditioning


METHODS = (
    Method("undersampled", "Undersampled"),
    Method(
        "conjugate_filling",
        "Conjugate filling",
        "classical",
        "lines filled in by k(-f) = conj k(f), which images without phase have; nothing is tuned",
        one_coil=True,
    ),
    Method(
        "total_variation",
        "Total variation",
        "classical",
        "compressed sensing with an isotropic total variation penalty, its weight tuned on validation",
        one_coil=True,
    ),
    Method(
        "total_variation_real",
        "Total variation, real",
        "classical",
        "total variation of an image that has to be real, whose lines tell their opposite ones",
        one_coil=True,
    ),
    Method(
        "wavelet",
        "Wavelet",
        "classical",
        "compressed sensing with an L1 penalty on wavelet coefficients, its weight tuned on validation",
        one_coil=True,
    ),
    Method(
        "cg_sense",
        "CG-SENSE",
        "classical",
        "parallel imaging by conjugate gradients, its weight tuned on validation",
    ),
    Method(
        "wavelet_sense",
        "L1-wavelet SENSE",
        "classical",
        "parallel imaging with an L1 penalty on wavelet coefficients, its weight tuned on validation",
    ),
    Method(
        "total_variation_sense",
        "TV SENSE",
        "classical",
        "parallel imaging with a total variation penalty, its weight tuned on validation",
    ),
    # S1: the base anatomies' networks are the teachers; also each new anatomy's own.
    Method("independent", "Independent", budget="independent", learns_from="each", curves="S1, Independent"),
    Method("shared", "Shared", budget="shared", curves="Shared"),
    Method(
        "shared_instance_norm",
        "Shared, IN",
        "control",
        "Shared with plain instance normalisation, one set of parameters for all anatomies",
        budget="shared_instance_norm",
        recipe=Recipe(conditioning="instance_norm"),
        curves="Shared",
    ),
    Method(
        "shared_all",
        "Shared, all",
        "control",
        "Shared trained on the slices of all anatomies, the new ones too",
        budget="shared",
        learns_from="all",
        curves="Shared",
    ),
    # S3
    Method(
        "proposed",
        "Proposed",
        budget="distilled",
        recipe=Recipe(conditioning="aspin", from_base=True, in_turn=True, taught_by="none"),
        base="without_distillation",
        teachers="independent",
        universal=True,
        folder="distilled",
        curves="S3 and its control",
    ),
    # S2
    Method(
        "without_distillation",
        "w/o MD",
        budget="pretrained",
        recipe=Recipe(conditioning="aspin", in_turn=True),
        universal=True,
        folder="pretrained",
        curves="S2",
    ),
    Method(
        "without_distillation_longer",
        "w/o MD, trained on",
        "control",
        "w/o MD trained on for as many steps as Proposed has more, without the distillation term",
        budget="continued",
        recipe=Recipe(conditioning="aspin", from_base=True, in_turn=True),
        base="without_distillation",
        universal=True,
        folder="continued",
        curves="S3 and its control",
        as_long_as="distilled",
    ),
)
"""Every method, in the order of the rows of Table 1."""

ADAPTATIONS = (
    # S4, of every universal network.
    Method(
        "aspin",
        "ASPIN alone",
        budget="adapted",
        recipe=Recipe(conditioning="aspin", learns="conditioning", from_base=True, adds_anatomy=True),
        learns_from="new",
        base="proposed",
        universal=True,
        curves="S4, ASPIN alone",
        with_all="proposed",
    ),
    Method(
        "finetuned",
        "fine-tuned",
        "control",
        "S4, but the whole network learns",
        budget="finetuned",
        recipe=Recipe(conditioning="aspin", from_base=True, adds_anatomy=True),
        learns_from="new",
        base="proposed",
        universal=True,
        curves="S4's control, whole network",
    ),
    Method("scratch", "from scratch", budget="independent", learns_from="new", with_all="independent"),
)
"""How a new anatomy can be learnt, which the study of few patients compares; the first is S4."""


def layer_of(key: str) -> int | None:
    """The layer that a method distils which is a row of Table S2 and not of Table 1; None for the others."""
    number = key.removeprefix("layer")
    return int(number) if number != key and number.isdecimal() else None


def place_of(key: str) -> int:
    """Where a method stands in tables: those of Table 1 in their order, then the layers in theirs.

    Raises
    ------
    UnimriError : as `method`.
    """
    layer = layer_of(method(key).key)
    return [known.key for known in METHODS].index(key) if layer is None else len(METHODS) + layer


def method(key: str) -> Method:
    """Give the method of this key; `layer2` is Proposed with layer 2 distilled (Table S2).

    Raises
    ------
    UnimriError : when there is none; the message lists the keys that are allowed.
    """
    if (layer := layer_of(key)) is not None:
        return replace(method("proposed"), key=key, title=f"layer {layer}")
    return _row(METHODS, key, "method", ", layer1, ...")


def adaptation(key: str) -> Method:
    """Give the row of `ADAPTATIONS` of this key.

    Raises
    ------
    UnimriError : when there is none; the message lists the keys that are allowed.
    """
    return _row(ADAPTATIONS, key, "adaptation")


def _row(rows: Sequence[Method], key: str, what: str, more: str = "") -> Method:
    for row in rows:
        if row.key == key:
            return row
    raise UnimriError(f"{what} {key!r} is unknown; allowed: {', '.join(row.key for row in rows)}{more}")


def trained() -> list[Method]:
    """The methods of Table 1 that are trained, in the order of the stages: after those that they build on."""
    found: dict[str, Method] = {}

    def add(key: str) -> None:
        row = method(key)
        for before in (row.base, row.teachers):
            if before is not None:
                add(before)
        if row.budget is not None:
            found.setdefault(key, row)

    for row in METHODS:
        add(row.key)
    stages = list(dict.fromkeys(row.budget for row in found.values()))
    return sorted(found.values(), key=lambda row: stages.index(row.budget))


def budgets() -> dict[str, Method]:
    """The first row of each key of `training.stages`, in the order of the stages."""
    found: dict[str, Method] = {}
    for row in (*trained(), *ADAPTATIONS):
        assert row.budget is not None
        found.setdefault(row.budget, row)
    return found


def recipe(stage: str) -> Recipe:
    """How the trainings of a stage, a key of `training.stages`, learn.

    Raises
    ------
    UnimriError : when there is no such stage; the message lists those that there are.
    """
    rows = budgets()
    if stage not in rows:
        raise UnimriError(f"stage {stage!r} is unknown; allowed: {', '.join(rows)}")
    return rows[stage].recipe


def ancestry(key: str) -> Iterator[Method]:
    """A method and those that it builds on, base and teachers, which may come twice."""
    row = method(key)
    for before in (row.teachers, row.base):
        if before is not None:
            yield from ancestry(before)
    yield row

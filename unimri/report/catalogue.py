"""What the page shows, as data: a new table or figure is one entry here."""

from dataclasses import dataclass
from typing import Literal

from unimri.metrics.base import CONVENTIONS
from unimri.training.methods import ADAPTATIONS

Section = Literal["results", "studies", "curves", "data", "masks"]

Kind = Literal[
    "text", "method", "metric", "acceleration", "anatomy", "count", "value", "signed", "probability", "small"
]
"""How a column is read and shown: the last five are numbers. `value` and `signed` are in the row's metric's unit."""


@dataclass(frozen=True)
class Column:
    """A column that is not an anatomy's.

    Attributes
    ----------
    title : its heading.
    kind : how it is shown.
    """

    title: str
    kind: Kind = "text"


COLUMNS = {
    "acceleration": Column("Acceleration", "acceleration"),
    "after": Column("After", "value"),
    "anatomy": Column("Anatomy", "anatomy"),
    "aspin": Column("ASPIN of", "anatomy"),
    "before": Column("Before", "value"),
    "claim": Column("Claim"),
    "condition": Column("Tried on"),
    "contradicted": Column("Contradicted", "count"),
    "convention": Column("Convention"),
    "difference": Column("Difference", "signed"),
    "distilled_layer": Column("Distilled layer"),
    "for_each_anatomy": Column("Added for each anatomy", "count"),
    "for_each_anatomy_percent": Column("% of a backbone", "value"),
    "held": Column("Held", "count"),
    "high": Column("to", "signed"),
    "largest_pixel_change": Column("Largest change of a pixel", "small"),
    "low": Column("Interval from", "signed"),
    "mask": Column("Mask"),
    "method": Column("Method", "method"),
    "metric": Column("Metric", "metric"),
    "new": Column("Added", "anatomy"),
    "orderings": Column("Orderings", "count"),
    "other": Column("Against", "method"),
    "p_corrected": Column("p, corrected", "probability"),
    "p_value": Column("p", "probability"),
    "parameters": Column("Parameters", "count"),
    "patients": Column("Patients", "count"),
    "seeds": Column("Seeds", "count"),
    "slices": Column("Slices", "count"),
    "split": Column("Split"),
    "statement": Column("The paper says"),
    "supported": Column("Supported", "count"),
    "times_backbone": Column("In backbones", "value"),
    "trained": Column("Trained at"),
    "value": Column("Value", "value"),
    "verdict": Column("Verdict"),
    "volumes": Column("Volumes", "count"),
    "where": Column("Where"),
}
"""Columns of every table. A column that is not here is an anatomy's, or `average`: numbers of the row's metric."""

WORDS = {
    "convention": {convention.name: convention.title for convention in CONVENTIONS},
    "distilled_layer": {"none": "none (w/o MD)"},
}
"""Plain words for what the files abbreviate, by column."""


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes
    ----------
    file : in the tables' folder.
    section : where it stands.
    title, caption : its heading; what it is and what to look for.
    keys : columns that it must have, apart from the anatomies'.
    beside : a file with the paper's numbers (anatomy, published, difference), and the columns that join it.
    deviation : a file of the same shape with deviations over seeds.
    anatomies : whether columns of anatomies follow the keys; the best of each is bold.
    pivot : (column that becomes columns, shown value, value below it), or none.
    forest : whether a forest plot is drawn of each part.
    folded : whether the parts are folded away.
    of_data : whether its numbers depend on the data, which then must be said to be simulated or real.
    """

    file: str
    section: Section
    title: str
    caption: str
    keys: tuple[str, ...]
    beside: str | None = None
    deviation: str | None = None
    anatomies: bool = False
    pivot: tuple[str, str, str] | None = None
    forest: bool = False
    folded: bool = False
    of_data: bool = True

    @property
    def blocks(self) -> tuple[str, ...]:
        """Columns, one part of the table for each of whose values: they name the part and are no columns of it."""
        return tuple(name for name in self.keys if name in ("acceleration", "trained", "metric"))

    @property
    def best_within(self) -> tuple[str, ...]:
        """Columns whose rows are compared with their like only: all but the part's, and those that are compared."""
        return tuple(name for name in self.keys if name not in (*self.blocks, "method", "distilled_layer"))

    @property
    def key(self) -> str:
        """Its name in the page."""
        return f"table-{self.file.partition('.')[0]}"


TABLES = (
    Table(
        "table1.csv",
        "results",
        "Table 1: every method on every anatomy",
        "Mean over the test slices of each anatomy; average: mean over the anatomies. The best of each column is bold. "
        "With several seeds, ± is the standard deviation over them. In small print, where the paper has the number: "
        "the paper's value, then ours minus the paper's. The paper's data and masks are other ones, so read the order "
        "of the methods before the distance from the paper.",
        ("acceleration", "method", "metric"),
        beside="table1_published.csv",
        deviation="table1_deviation.csv",
        anatomies=True,
    ),
    Table(
        "table_s2.csv",
        "results",
        "Table S2: which layer to distil",
        "Proposed with another layer distilled, beside no distillation. Look whether the layers differ by more than "
        "seeds and patients do.",
        ("acceleration", "distilled_layer", "metric"),
        beside="table_s2_published.csv",
        anatomies=True,
    ),
    Table(
        "parameters.csv",
        "results",
        "Parameters",
        "What each method stores, and what a further anatomy costs.",
        ("method", "parameters", "times_backbone", "for_each_anatomy", "for_each_anatomy_percent"),
        of_data=False,
    ),
    Table(
        "claims.csv",
        "results",
        "The paper's claims",
        "Each claim of the paper that these data can speak to. Supported and contradicted count those orderings whose "
        "confidence interval leaves zero out, on one side or the other; the others are within chance.",
        ("claim", "where", "statement", "orderings", "held", "supported", "contradicted", "verdict"),
    ),
    Table(
        "comparisons.csv",
        "results",
        "Proposed against each other method",
        "Proposed minus the other method, with a confidence interval over patients. An interval that holds zero says "
        "that the order may be chance. Corrected: for the number of comparisons.",
        (
            *("acceleration", "metric", "anatomy", "other", "difference", "low", "high"),
            *("patients", "seeds", "p_value", "p_corrected"),
        ),
        forest=True,
        folded=True,
    ),
    Table(
        "conventions.csv",
        "results",
        "Conventions of PSNR and SSIM side by side",
        "The same reconstructions scored in the ways that the literature has. Look whether the order of the methods "
        "depends on the convention; the values do. The best of each convention is bold.",
        ("convention", "acceleration", "method", "metric"),
        anatomies=True,
        folded=True,
    ),
    Table(
        "robustness.csv",
        "studies",
        "Robustness: samplings and noise that were not trained for",
        "Networks trained on one sampling, tried on others and on noisy k-space. Look how much each method loses from "
        '"as trained", and whether their order changes. The best of each condition is bold.',
        ("trained", "condition", "method", "metric"),
        anatomies=True,
        folded=True,
    ),
    Table(
        "aspin_matrix.csv",
        "studies",
        "Each anatomy with every anatomy's ASPIN",
        "Rows: whose slices; columns: whose ASPIN. In small print: the difference to the anatomy's own ASPIN. Where "
        "an ASPIN carries what is special to its anatomy, the diagonal is the best of its row.",
        ("acceleration", "metric", "anatomy", "aspin", "value", "difference"),
        pivot=("aspin", "value", "difference"),
    ),
    Table(
        "adaptation.csv",
        "studies",
        "Adding an anatomy with few patients",
        f"Each new anatomy learnt from so many training patients: {', '.join(row.title for row in ADAPTATIONS)}. ASPIN "
        "are 1,280 numbers. Look where they cross. The best for each number is bold.",
        ("acceleration", "metric", "method", "patients"),
        anatomies=True,
    ),
    Table(
        "forgetting.csv",
        "studies",
        "Forgetting: the base anatomies after another was added",
        "PSNR in dB of the base anatomies before and after. With ASPIN alone nothing else changes, so differences and "
        "changes of pixels must be exactly zero; fine-tuning shows what is lost without it.",
        ("acceleration", "method", "new", "anatomy", "before", "after", "difference", "largest_pixel_change"),
    ),
    Table(
        "masks.csv",
        "studies",
        "Other masks",
        "All of Table 1 trained and scored again with other masks. Look whether the order of the methods depends on "
        "the mask. The best of each mask is bold.",
        ("mask", "acceleration", "method", "metric"),
        anatomies=True,
        folded=True,
    ),
    Table(
        "data.csv",
        "data",
        "Splits",
        "Patients, volumes and slices of each split. A patient is in one split only.",
        ("anatomy", "split", "patients", "volumes", "slices"),
    ),
)
"""Every table, in the order of the page."""


@dataclass(frozen=True)
class Figure:
    """Figures of the page that are shown as they are.

    Attributes
    ----------
    pattern : below the results' folder; a `*` is what the figure's title adds.
    section : where they stand.
    title, caption : what they are and what to look for.
    """

    pattern: str
    section: Section
    title: str
    caption: str


FIGURES = (
    Figure(
        "figures/*/adaptation.png",
        "studies",
        "Adding an anatomy with few patients",
        "Scores on the test split against the number of training patients.",
    ),
    Figure(
        "figures/*/aspin_matrix.png",
        "studies",
        "Each anatomy with every anatomy's ASPIN",
        "The table above as a picture: the diagonal is each anatomy's own ASPIN.",
    ),
    Figure(
        "figures/*/curves.png",
        "curves",
        "Training curves",
        "Training loss above, PSNR on validation below, with the first seed. Look whether curves have become flat: one "
        "that still rises stands for a training that was too short.",
    ),
    Figure(
        "figures/data/histograms.png",
        "data",
        "Histograms of intensity",
        "Of the prepared slices. Anatomies that differ here ask different things of one network.",
    ),
    Figure(
        "figures/data/*.png",
        "data",
        "Contact sheet",
        "Middle slices of prepared volumes, with their split. Look for slices that are cut, upside down or empty.",
    ),
    Figure(
        "masks/*.png",
        "masks",
        "Mask",
        "Which phase-encoding lines are kept, and how densely.",
    ),
)
"""Every such figure, in the order of the page; a file belongs to the first entry that it matches."""

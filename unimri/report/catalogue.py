"""What the page shows: a new table or figure is one entry of `templates/catalogue.toml`."""

import tomllib
from pathlib import Path
from typing import Literal

from unimri.core.settings import Settings
from unimri.evaluation.statistics import CLEAR
from unimri.metrics.base import CONVENTIONS
from unimri.training.methods import ADAPTATIONS

Section = Literal["results", "studies", "curves", "data", "masks"]

Kind = Literal[
    "text", "method", "metric", "acceleration", "anatomy", "count", "value", "signed", "probability", "small"
]
"""How a column is read and shown: the last five are numbers. `value` and `signed` are in the row's metric's unit."""


class Column(Settings):
    """A column that is not an anatomy's.

    Attributes
    ----------
    title : its heading.
    kind : how it is shown.
    """

    title: str
    kind: Kind = "text"


class Table(Settings):
    """A table of the page.

    Attributes
    ----------
    file : in the tables' folder.
    section : where it stands.
    title, caption : its heading; what it is and what to look for.
    keys : columns that it must have, apart from the anatomies'.
    beside : a file with the paper's numbers (anatomy, published, difference), and the columns that join it.
    deviation : a file of the same shape with deviations over seeds.
    anatomies : whether columns of anatomies follow the keys; the best of each is bold where that is sure.
    pivot : (column that becomes columns, shown value, value below it), or none.
    forest : whether a forest plot is drawn of each part.
    folded : whether all of it is folded away below its title.
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
    def place(self) -> tuple[str, ...]:
        """Columns that say what a number is of, apart from the anatomy."""
        return tuple(name for name in self.keys if self.pivot is None or name not in ("anatomy", *self.pivot[1:]))

    @property
    def compared(self) -> str:
        """The column whose values are compared, within those of the other columns of `place`."""
        return next((name for name in ("method", "distilled_layer", "aspin") if name in self.keys), "")

    @property
    def key(self) -> str:
        """Its name in the page."""
        return f"table-{self.file.partition('.')[0]}"


class Figure(Settings):
    """Figures of the page that are shown as they are.

    Attributes
    ----------
    pattern : below the results' folder; a `*` is what the figure's title adds.
    section : where they stand.
    table : file of the table that they are pictures of and stand with, where that is there.
    title, caption : what they are and what to look for.
    """

    pattern: str
    section: Section
    table: str | None = None
    title: str
    caption: str


_CATALOGUE = tomllib.loads((Path(__file__).parent / "templates/catalogue.toml").read_text(encoding="utf-8"))
_ADAPTATIONS = ", ".join(row.title for row in ADAPTATIONS)

COLUMNS = {name: Column.model_validate(own) for name, own in _CATALOGUE["columns"].items()}
"""Columns of every table. A column that is not here is an anatomy's, or `average`: numbers of the row's metric."""

TABLES = [
    Table.model_validate(own | {"caption": own["caption"].format(adaptations=_ADAPTATIONS, clear=CLEAR)})
    for own in _CATALOGUE["tables"]
]
"""Every table, in the order of the page."""

FIGURES = [Figure.model_validate(own) for own in _CATALOGUE["figures"]]
"""Every figure that is shown as it is, in the order of the page; a file belongs to the first entry that it matches."""

WORDS = {
    "convention": {convention.name: convention.title for convention in CONVENTIONS},
    "distilled_layer": {"none": "none (w/o MD)"},
}
"""Plain words for what the files abbreviate, by column."""

"""Tables as the page shows them: read strictly, divided into parts, every number as text and as number."""

import csv
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unimri.core.errors import UnimriError
from unimri.core.text import decimals
from unimri.evaluation.averages import AVERAGE
from unimri.evaluation.claims import state_of
from unimri.evaluation.statistics import SUPPORTED
from unimri.evaluation.tables import BEST
from unimri.metrics.base import Metric, metrics
from unimri.report.catalogue import COLUMNS, WORDS, Column, Table
from unimri.training.methods import ADAPTATIONS, METHODS, method

Row = dict[str, str]

# In tables of the studies, which learn new anatomies in several ways.
_ADAPTATIONS = {row.key: row.title for row in ADAPTATIONS}
_TEXTS = ("text", "method", "metric", "acceleration", "anatomy")
_MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """A cell: what is read, what it is sorted by, what stands below it in small print.

    Attributes
    ----------
    text, below : shown.
    sort : a number or a word; empty when the value is missing.
    number : whether it is aligned as a number.
    best : whether it is the best of its column, beyond doubt.
    state : a word that its style follows, such as a verdict.
    """

    text: str
    sort: str
    number: bool = False
    best: bool = False
    below: str = ""
    state: str = ""


@dataclass(frozen=True)
class Heading:
    """A column's heading, with `simulated` or `real` where these are mixed."""

    text: str
    number: bool = False
    origin: str = ""


@dataclass(frozen=True)
class Line:
    """A row of cells, and whether it is Proposed's."""

    cells: list[Cell]
    ours: bool = False


@dataclass(frozen=True)
class Part:
    """One part of a table.

    Attributes
    ----------
    title : what sets it apart from the other parts; empty when it is the only one.
    headings, lines : the grid.
    rows : those of the file that it shows.
    plot : a picture of them as a data URI, or nothing.
    """

    title: str
    headings: list[Heading]
    lines: list[Line]
    rows: list[Row]
    plot: str = ""


def read_rows(path: Path, needed: Sequence[str]) -> tuple[list[str], list[Row]]:
    """Read a CSV file as text.

    Returns
    -------
    columns in the file's order, and rows by column.

    Raises
    ------
    UnimriError : when it is missing, is no CSV, or lacks a column.
    """
    again = "make it again with `snakemake --forcerun tables`"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        reason = getattr(fault, "strerror", None) or fault
        raise UnimriError(f"{path}: cannot be read as a table ({reason}); {again}") from None
    columns = lines[0] if lines else []
    if missing := [name for name in needed if name not in columns]:
        raise UnimriError(f"{path}: lacks the column(s) {', '.join(missing)}; {again}")
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(columns):
            raise UnimriError(f"{path}: line {number} has {len(line)} values for {len(columns)} columns; {again}")
    return columns, [dict(zip(columns, line, strict=True)) for line in lines[1:]]


def read_number(row: Row, column: str, path: Path) -> float:
    """A number of a table, NaN where there is none.

    Raises
    ------
    UnimriError : when it is something else.
    """
    text = row[column].strip()
    try:
        return float(text) if text else math.nan
    except ValueError:
        raise UnimriError(f"{path}: {column}: {text!r} is no number; make the table again") from None


def metric_of(row: Row) -> Metric | None:
    """The metric of a row; None when it names none, or one that is not here."""
    return next((metric for metric in metrics().values() if metric.column == row.get("metric")), None)


def metric_title(column: str) -> str:
    """A metric with its unit."""
    metric = metric_of({"metric": column})
    return column.upper() if metric is None else metric.heading


def best_of(row: Row, values: Iterable[float]) -> float:
    """The best of some values of a row's metric, the highest where that is not known; NaN when none is there."""
    metric = metric_of(row)
    known = (value for value in values if not math.isnan(value))
    return max(known, key=lambda value: value if metric is None else metric.gain(value), default=math.nan)


def rate(text: str) -> str:
    """An acceleration as it is written in words: 4×."""
    try:
        return f"{float(text):g}×"
    except ValueError:
        return text


def read_table(entry: Table, folder: Path, origins: Mapping[str, str]) -> list[Part]:
    """Read a table and what belongs beside it, and divide it into its parts.

    Parameters
    ----------
    entry : which.
    folder : of the tables.
    origins : whether each anatomy is 'simulated' or 'real'.

    Raises
    ------
    UnimriError : when one of its files is damaged.
    """
    path = folder / entry.file
    columns, rows = read_rows(path, entry.keys)
    below, deviations, clear = _below(entry, folder), _deviations(entry, folder), clear_places(entry, folder)
    return [
        _part(entry, path, columns, chosen, title, origins, below, deviations, clear)
        for title, chosen in _blocks(entry.blocks, rows)
    ]


def _blocks(blocks: Sequence[str], rows: list[Row]) -> Iterable[tuple[str, list[Row]]]:
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in blocks), []).append(row)
    for values, chosen in found.items():
        named = [_named(name, value) for name, value in zip(blocks, values, strict=True)]
        yield ", ".join(named), chosen


def _named(name: str, value: str) -> str:
    """A part's name: a bare word says what it is."""
    column = COLUMNS[name]
    return f"{column.title.lower()} {value}" if column.kind == "text" else _word(name, column, value)


def _join(entry: Table, row: Row, anatomy: str) -> tuple[str, ...]:
    return (*(rate(row[key]) if key == "acceleration" else row[key] for key in entry.place), anatomy)


def clear_places(entry: Table, folder: Path) -> set[tuple[str, ...]]:
    """The cells of a table that are bold, by the columns of its `place` and the anatomy; none where nobody compared."""
    path = folder / BEST
    if not path.is_file() or not (entry.anatomies or entry.pivot):
        return set()
    others = [name for name in entry.place if name != entry.compared]
    _, rows = read_rows(path, ["table", "anatomy", "best", "verdict", *others])
    return {
        _join(entry, row | {entry.compared: row["best"]}, row["anatomy"])
        for row in rows
        if (row["table"], row["verdict"]) == (Path(entry.file).stem, SUPPORTED)
    }


def _below(entry: Table, folder: Path) -> dict[tuple[str, ...], str]:
    """What the paper has, by the keys and anatomy of a cell."""
    if entry.beside is None or not (folder / entry.beside).is_file():
        return {}
    path = folder / entry.beside
    _, rows = read_rows(path, [*entry.keys, "anatomy", "published", "difference"])
    return {
        _join(entry, row, row["anatomy"]): f"{decimals(read_number(row, 'published', path))}, "
        f"{decimals(read_number(row, 'difference', path), signed=True)}"
        for row in rows
        if row["published"].strip()
    }


def _deviations(entry: Table, folder: Path) -> dict[tuple[str, ...], float]:
    if entry.deviation is None or not (folder / entry.deviation).is_file():
        return {}
    path = folder / entry.deviation
    columns, rows = read_rows(path, entry.keys)
    return {
        _join(entry, row, anatomy): read_number(row, anatomy, path)
        for row in rows
        for anatomy in columns
        if anatomy not in entry.keys
    }


def _part(
    entry: Table,
    path: Path,
    columns: Sequence[str],
    rows: list[Row],
    title: str,
    origins: Mapping[str, str],
    below: Mapping[tuple[str, ...], str],
    deviations: Mapping[tuple[str, ...], float],
    clear: Collection[tuple[str, ...]],
) -> Part:
    if entry.pivot is not None:
        return _pivoted(entry, entry.pivot, path, rows, title, origins, clear)
    keys = [name for name in entry.keys if name not in entry.blocks]
    values = [name for name in columns if name not in COLUMNS] if entry.anatomies else []
    if entry.anatomies and not values:
        raise UnimriError(f"{path}: has no column of an anatomy; make the table again")
    grid = []
    for row in rows:
        cells = [_cell(name, COLUMNS[name], row, path) for name in keys]
        for name in values:
            cell = _cell(name, Column(title=name, kind="value"), row, path)
            place = _join(entry, row, name)
            deviation = deviations.get(place, math.nan)
            spread = "" if math.isnan(deviation) or deviation == 0 else f" ± {decimals(deviation, _digits(row))}"
            cells.append(Cell(cell.text + spread, cell.sort, True, place in clear, below.get(place, "")))
        grid.append(Line(cells, row.get("method") == "proposed"))
    headings = [Heading(COLUMNS[name].title, COLUMNS[name].kind not in _TEXTS) for name in keys]
    headings += [_anatomy_heading(name, origins) for name in values]
    return Part(title, headings, grid, rows)


def _anatomy_heading(name: str, origins: Mapping[str, str]) -> Heading:
    if len(set(origins.values())) < 2:
        return Heading(name, True)
    return Heading(name, True, "mixed" if name == AVERAGE else origins.get(name, ""))


def _pivoted(
    entry: Table,
    pivot: tuple[str, str, str],
    path: Path,
    rows: list[Row],
    title: str,
    origins: Mapping[str, str],
    clear: Collection[tuple[str, ...]],
) -> Part:
    across, shown, small = pivot
    keys = [name for name in entry.keys if name not in (*entry.blocks, *pivot)]
    named = list(dict.fromkeys(row[across] for row in rows))
    lines: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        lines.setdefault(tuple(row[name] for name in keys), {})[row[across]] = row
    grid = []
    for line in lines.values():
        first = next(iter(line.values()))
        cells = [_cell(name, COLUMNS[name], first, path) for name in keys]
        for name in named:
            if name not in line:
                cells.append(Cell(_MISSING, "", True))
                continue
            cell = _cell(shown, COLUMNS[shown], line[name], path)
            below = decimals(read_number(line[name], small, path), _digits(first), signed=True)
            cells.append(Cell(cell.text, cell.sort, True, _join(entry, line[name], first["anatomy"]) in clear, below))
        grid.append(Line(cells))
    headings = [Heading(COLUMNS[name].title) for name in keys]
    label = COLUMNS[across].title
    headings += [
        Heading(f"{label} {name}", True, origins.get(name, "") if len(set(origins.values())) > 1 else "")
        for name in named
    ]
    return Part(title, headings, grid, rows)


def _word(name: str, column: Column, text: str) -> str:
    if column.kind == "acceleration":
        return rate(text)
    if column.kind == "metric":
        return metric_title(text)
    if column.kind == "method":
        return _ADAPTATIONS.get(text) or method(text).title
    return WORDS.get(name, {}).get(text, text)


def _digits(row: Row) -> int:
    metric = metric_of(row)
    return 2 if metric is None else metric.decimals


def _cell(name: str, column: Column, row: Row, path: Path) -> Cell:
    text = row[name].strip()
    if column.kind in _TEXTS:
        shown = _word(name, column, text)
        number = column.kind == "acceleration"
        return Cell(shown, text if number else shown, number, state=state_of(text) if name == "verdict" else "")
    if name == "patients" and text == "all":
        return Cell("all", "Infinity", True)
    value = read_number(row, name, path)
    if math.isnan(value):
        return Cell(_MISSING, "", True)
    digits = _digits(row)
    if column.kind == "count":
        shown = decimals(value, 0)
    elif column.kind == "probability":
        shown = "< 0.001" if value < 0.001 else f"{value:.3f}"
    elif column.kind == "small":
        shown = f"{value:.2g}" if value else "0"
    else:
        shown = decimals(value, digits, column.kind == "signed")
    return Cell(shown, repr(value), True)


def notes(rows: Iterable[Row]) -> list[str]:
    """What the methods of a table are that the paper does not have."""
    shown = {row.get("method") for row in rows}
    return [f"{known.title}: {known.note}." for known in METHODS if known.note and known.key in shown]

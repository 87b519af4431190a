"""The page: gathers what the results folder has, and fills the templates."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from unimri.core.artifacts import write_text
from unimri.core.errors import UnimriError
from unimri.core.settings import parse_settings, read_settings
from unimri.core.text import decimals, listed
from unimri.evaluation.averages import AVERAGE
from unimri.evaluation.claims import NOT_CHECKED
from unimri.evaluation.statistics import CLEAR, tally
from unimri.evaluation.tables import check_tables
from unimri.report.answer import STATES, Claim, answer, read_claims
from unimri.report.catalogue import FIGURES, TABLES, Figure, Table
from unimri.report.experiment import CHANGES, Experiment, commands, of_tables
from unimri.report.images import Picture, comparison, forest, picture_file
from unimri.report.provenance import clock, costs, left_out, provenance, total
from unimri.report.tables import (
    Part,
    Row,
    clear_places,
    metric_of,
    metric_title,
    notes,
    rate,
    read_number,
    read_rows,
    read_table,
)
from unimri.training.methods import method

FOLDER = Path(__file__).parent
"""Its templates, its style, its script, and the libraries that go into it."""

_LIBRARIES = ("sortable-tablesort/sortable.js", "image-compare/image-compare.js")

FEW_PATIENTS = 10
"""Fewer test patients of an anatomy than this are called few."""

PAPER_SIZE = 320
"""Side of the paper's images, in pixels."""

Origins = dict[str, Literal["simulated", "real"]]


class ShownTable(NamedTuple):
    """A table of the page: its entry, its parts, what its methods are."""

    entry: Table
    parts: list[Part]
    notes: list[str]


class ShownFigures(NamedTuple):
    """Figures of one entry."""

    entry: Figure
    pictures: list[Picture]


@dataclass(frozen=True)
class Averages:
    """Averages over the anatomies: columns by acceleration and metric, rows by method."""

    columns: list[str]
    rows: list[tuple[str, bool, list[tuple[str, bool]]]]


def write_report(results: Path, config: dict[str, Any], output: Path) -> None:
    """Write the page of a finished experiment: one HTML file that needs no other.

    What the results do not have is left out. The same results on the same machine give the same bytes.

    Parameters
    ----------
    results : the experiment's folder, with `tables/table1.csv` in it.
    config : the whole configuration, as `unimri.config.Config.model_dump(mode="json")` gives it.
    output : the page to write.

    Raises
    ------
    UnimriError : when Table 1 is missing, a file is damaged, or the configuration lacks a setting.
    """
    tables = results / "tables"
    if not (tables / "table1.csv").is_file():
        raise UnimriError(f"{tables / 'table1.csv'}: not there yet; run `snakemake` with the same configuration first")
    experiment = parse_settings(Experiment, config, "--config")
    check_tables(tables, of_tables(config))
    origins = _origins(tables, experiment)
    shown = [_shown(entry, tables, origins) for entry in TABLES if (tables / entry.file).is_file()]
    figures = _figures(results, experiment)
    comparisons = [comparison(path, _key(path, results)) for path in _sampled(results, experiment, "npz")]
    spent = costs(results / "benchmarks")
    context: dict[str, Any] = {
        "data": _data_words(origins),
        "origins": origins,
        "summary": _summary(tables, experiment, origins),
        "tables": shown,
        "reconstructions": [_reconstruction(path, results, origins) for path in _sampled(results, experiment, "png")],
        "comparisons": comparisons,
        "figures": figures,
        "left_out": left_out(results),
        "costs": spent,
        "total": total(spent),
        "provenance": provenance(results, config),
        "commands": commands(results, experiment),
        "changes": CHANGES,
        "hidden_folder": results.is_absolute(),
        "style": style(),
        "scripts": scripts(),
        "decimals": decimals,
        "clear": CLEAR,
        "clock": clock,
    }
    context["sections"] = _sections(context)
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(output, environment.get_template("page.html").render(context))


def _origins(tables: Path, experiment: Experiment) -> Mapping[str, str]:
    """What the tables were made from, and not what the configuration says by now."""
    path = tables / "origins.json"
    if not path.is_file():
        return experiment.origins
    found = read_settings(Origins, path, "make the tables again")
    # In the configured order; JSON sorts them.
    return {name: found[name] for name in (*experiment.anatomies, *found) if name in found}


def _data_words(origins: Mapping[str, str]) -> str:
    kinds = set(origins.values())
    if len(kinds) == 1:
        return f"{kinds.pop()} data".capitalize()
    named = [
        f"{kind}: {', '.join(name for name, own in origins.items() if own == kind)}" for kind in ("simulated", "real")
    ]
    return "; ".join(named).capitalize()


def _shown(entry: Table, tables: Path, origins: Mapping[str, str]) -> ShownTable:
    parts = read_table(entry, tables, origins)
    if entry.forest:
        parts = [replace(part, plot=forest(part.rows, tables / entry.file)) for part in parts]
    return ShownTable(entry, parts, notes(row for part in parts for row in part.rows))


def _summary(tables: Path, experiment: Experiment, origins: Mapping[str, str]) -> dict[str, Any]:
    path = tables / "table1.csv"
    _, table1 = read_rows(path, ["acceleration", "method", "metric", "average"])
    counted = tables / "data.csv"
    columns = ["anatomy", "split", "patients", "volumes", "slices"]
    data = read_rows(counted, columns)[1] if counted.is_file() else []
    splits: dict[str, dict[str, Any]] = {}
    for row in data:
        splits.setdefault(row["anatomy"], {})[row["split"]] = row
    found = read_claims(tables)
    counts = Counter(claim.state for claim in found)
    return {
        "answer": answer(tables, table1, found, origins, data),
        "accelerations": [rate(text) for text in dict.fromkeys(row["acceleration"] for row in table1)],
        "methods": [method(key).title for key in dict.fromkeys(row["method"] for row in table1)],
        "seeds": experiment.seeds,
        "size": experiment.preparation.image_size,
        "network": _describe_network(experiment),
        "roles": {name: own.role for name, own in experiment.anatomies.items()},
        "splits": splits,
        "averages": averages(table1, path),
        "claims": found,
        # The expected ones in their order, then whatever else there is.
        "counts": {state: counts[state] for state in dict.fromkeys((*STATES, *counts)) if counts[state]},
        "orderings": _orderings(tables),
        "shortcomings": _shortcomings(tables, experiment, origins, data, found),
    }


def _describe_network(experiment: Experiment) -> str:
    """The network in one line."""
    settings = dict(experiment.network)
    name = str(settings.pop("name", "network"))
    described = [f"{key.replace('_', ' ')} {value}" for key, value in settings.items()]
    return f"{name.upper()} ({', '.join(described)})"


def averages(table1: list[Row], path: Path) -> Averages:
    """Take the averages from Table 1; those that are bold there are marked."""
    places = list(dict.fromkeys((row["acceleration"], row["metric"]) for row in table1))
    values = {(row["method"], row["acceleration"], row["metric"]): read_number(row, AVERAGE, path) for row in table1}
    clear = clear_places(TABLES[0], path.parent)
    rows = []
    for key in dict.fromkeys(row["method"] for row in table1):
        shown = []
        for place in places:
            value, metric = values.get((key, *place), math.nan), metric_of({"metric": place[1]})
            best = (rate(place[0]), key, place[1], AVERAGE) in clear
            shown.append((decimals(value, metric.decimals if metric else 2), best))
        rows.append((method(key).title, key == "proposed", shown))
    return Averages([f"{rate(acceleration)} {metric_title(metric)}" for acceleration, metric in places], rows)


def _orderings(tables: Path) -> str:
    """Say what the intervals say of the paper's orderings; nothing when they were not compared."""
    path = tables / "orderings.csv"
    if not path.is_file():
        return ""
    _, rows = read_rows(path, ["verdict", "published_held"])
    counts = tally(row["verdict"] for row in rows if row["published_held"] == "True")
    return f"The paper's orderings, Proposed above the other method: {counts}."


def _shortcomings(
    tables: Path, experiment: Experiment, origins: Mapping[str, str], data: list[Row], found: Sequence[Claim]
) -> list[str]:
    """Say what these results cannot show, as far as it can be told from them."""
    said = []
    if simulated := [name for name, origin in origins.items() if origin == "simulated"]:
        whole = "Every anatomy is" if len(simulated) == len(origins) else f"{listed(simulated)}:"
        said.append(f"{whole} simulated. These numbers say nothing about scans of patients.")
    said.append(
        "The images are magnitudes, as the paper's are. They have no phase, so that k(−f) = conj k(f) tells lines that "
        "were left out; measured k-space has phase, coils and noise."
    )
    if len(experiment.seeds) == 1:
        said.append("One seed: how much a result varies from training to training is not known.")
    elif len(experiment.seeds) < 3:
        said.append(f"{len(experiment.seeds)} seeds are too few for a deviation that can be relied on.")
    few = {
        row["anatomy"]: int(read_number(row, "patients", tables / "data.csv"))
        for row in data
        if row["split"] == "test" and read_number(row, "patients", tables / "data.csv") < FEW_PATIENTS
    }
    if few:
        counts = listed([f"{name} {count}" for name, count in few.items()])
        said.append(f"Few test patients ({counts}): differences between methods may be those between patients.")
    size = experiment.preparation.image_size
    if size != PAPER_SIZE:
        said.append(f"Images of {size} × {size} pixels; the paper's are {PAPER_SIZE} × {PAPER_SIZE}.")
    if not found:
        said.append("The paper's claims were not checked one by one.")
    elif unchecked := sum(claim.state == NOT_CHECKED for claim in found):
        said.append(f"{unchecked} of the paper's claims could not be checked with this experiment.")
    missing = [entry.title.split(":")[0] for entry in TABLES if not (tables / entry.file).is_file()]
    if missing:
        said.append(f"Not made: {'; '.join(missing)}.")
    return said


def _key(path: Path, results: Path) -> str:
    return "-".join(path.relative_to(results).with_suffix("").parts).replace(".", "-")


def _order(results: Path, experiment: Experiment) -> Callable[[Path], tuple[list[int], str]]:
    """Key of files that puts samplings and anatomies in the configured order, and others after them by name."""
    known = [*experiment.samplings, *experiment.anatomies]

    def place(path: Path) -> tuple[list[int], str]:
        parts = path.relative_to(results).as_posix().rpartition(".")[0].split("/")
        return [known.index(name) if name in known else len(known) for name in parts], path.as_posix()

    return place


def _sampled(results: Path, experiment: Experiment, kind: str) -> list[Path]:
    """Files of the figures of each sampling and anatomy that are there, in the configured order."""
    # A sampling's name starts with its acceleration; those of other masks come after those of Table 1.
    there = [path for path in results.glob(f"figures/[0-9]*/*.{kind}") if path.stem in experiment.anatomies]
    return sorted(there, key=_order(results, experiment))


def _reconstruction(path: Path, results: Path, origins: Mapping[str, str]) -> Picture:
    sampling, anatomy = path.parent.name, path.stem
    title = f"{anatomy}, {sampling.replace('x', '×', 1)} ({origins.get(anatomy, 'unknown')})"
    alt = f"{title}: one slice, the truth and each method's reconstruction, a zoomed patch of them, and error maps"
    return picture_file(path, _key(path, results), title, alt, "Image, zoomed patch and error map of each method.")


def _figures(results: Path, experiment: Experiment) -> list[ShownFigures]:
    order = _order(results, experiment)
    taken: set[Path] = set()
    found = []
    for entry in FIGURES:
        paths = [path for path in sorted(results.glob(entry.pattern), key=order) if path not in taken]
        taken |= set(paths)
        if paths:
            found.append(ShownFigures(entry, [_picture(entry, path, results) for path in paths]))
    return found


def _picture(entry: Figure, path: Path, results: Path) -> Picture:
    # What stands for the pattern's star.
    parts = zip(path.relative_to(results).with_suffix("").parts, entry.pattern.split("/"), strict=True)
    title = ", ".join((entry.title, *(part for part, asked in parts if "*" in asked)))
    return picture_file(path, _key(path, results), title, f"{title}. {entry.caption}", entry.caption)


def _sections(context: Mapping[str, Any]) -> dict[str, str]:
    """Titles of the sections that there is something for, by their names, in the order of the page."""

    def has(section: str) -> bool:
        return any(shown.entry.section == section for shown in (*context["tables"], *context["figures"]))

    there = {
        "summary": ("Summary", True),
        "results": ("Results", has("results")),
        "figures": ("Reconstructions", bool(context["reconstructions"] or context["comparisons"])),
        "studies": ("Studies", has("studies")),
        "curves": ("Training curves", has("curves")),
        "data": ("Data", has("data") or bool(context["left_out"])),
        "masks": ("Masks", has("masks")),
        "cost": ("Cost", bool(context["costs"])),
        "provenance": ("Provenance", True),
        "rerun": ("How to rerun", True),
    }
    return {name: title for name, (title, present) in there.items() if present}


def style() -> str:
    """The page's style sheet."""
    return _read("static/style.css")


def scripts() -> list[str]:
    """What the page runs, in order: the libraries, each with its licence, then the page's own lines."""
    libraries = [
        f"/*!\n{_read(f'vendor/{Path(library).parent}/LICENSE').strip()}\n*/\n{_read(f'vendor/{library}')}"
        for library in _LIBRARIES
    ]
    return [*libraries, _read("static/report.js")]


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")

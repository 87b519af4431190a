"""The page: gathers what the results folder has, and fills the templates."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from unimri.core.artifacts import write_text
from unimri.core.errors import UnimriError
from unimri.core.settings import read_settings
from unimri.report import assets
from unimri.report.catalogue import FIGURES, TABLES, Figure, Table
from unimri.report.experiment import CHANGES, Experiment, commands, read_experiment
from unimri.report.forest import forest
from unimri.report.images import Picture, comparison, picture_file, svg
from unimri.report.provenance import clock, costs, left_out, provenance, total
from unimri.report.summary import averages, claims, describe_network, methods_of, orderings, shortcomings
from unimri.report.tables import Part, decimals, notes, rate, read_rows, read_table

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
    experiment = read_experiment(config)
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
        "style": assets.style(),
        "scripts": assets.scripts(),
        "decimals": decimals,
        "clock": clock,
    }
    context["sections"] = _sections(context)
    environment = Environment(
        loader=FileSystemLoader(assets.FOLDER / "templates"),
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
        parts = [replace(part, plot=svg(forest(part.rows, tables / entry.file))) for part in parts]
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
    found = claims(tables)
    return {
        "accelerations": [rate(text) for text in dict.fromkeys(row["acceleration"] for row in table1)],
        "methods": methods_of(table1),
        "seeds": experiment.seeds,
        "size": experiment.preparation.image_size,
        "network": describe_network(experiment),
        "roles": {name: own.role for name, own in experiment.anatomies.items()},
        "splits": splits,
        "averages": averages(table1, path),
        "claims": found,
        "orderings": orderings(tables),
        "shortcomings": shortcomings(tables, experiment, origins, data, found),
    }


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

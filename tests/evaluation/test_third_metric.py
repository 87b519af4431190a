"""A further metric is a column of Table 1: its lowest in bold, its orderings right, and nothing else is edited."""

import re

import numpy as np
import pandas as pd
import pytest
from scores import write_tables

from unimri.core.errors import UnimriError
from unimri.evaluation.averages import AVERAGE
from unimri.evaluation.tables import format_table1_for_terminal, read_table1
from unimri.metrics.base import MetricSettings
from unimri.metrics.score import (
    AS_TRAINED,
    score_slices,
    score_volume,
    volumes_file,
    write_scores,
    write_volume_scores,
)
from unimri.report.catalogue import TABLES
from unimri.report.page import averages
from unimri.report.tables import read_rows, read_table

ORIGINS = {"brain": "simulated", "knee": "simulated"}
NOISE = {"undersampled": 0.2, "shared": 0.05, "proposed": 0.01, "without_distillation": 0.03}


def write_experiment(folder, settings, patients=7):
    """Scores of images that are more or less noisy; Proposed is the best everywhere, w/o MD the next."""
    rng = np.random.default_rng(0)
    slices, volumes = [], []
    for anatomy in ORIGINS:
        for patient in range(patients):
            truth = rng.random((2, 32, 32)).astype(np.float32)
            # A slice that is all zero has no ratio to it.
            truth[1] *= patient > 0
            for method, noise in NOISE.items():
                images = np.abs(truth + noise * rng.standard_normal(truth.shape))
                who = {
                    "condition": AS_TRAINED,
                    "mask": "m",
                    "acceleration": 4,
                    "seed": 7,
                    "method": method,
                    "anatomy": anatomy,
                }
                who |= {"patient": f"p{patient}", "volume": f"v{patient}"}
                slices += [who | row for row in score_slices(truth, images, settings)]
                volumes.append(who | score_volume(truth, images, settings))
    write_scores(folder / "all.csv", slices, settings)
    write_volume_scores(volumes_file(folder / "all.csv"), volumes, settings)
    return pd.DataFrame(slices)


def bold(line):
    """Cells of a markdown row, and which of them are bold."""
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    return cells[2:], [cell.startswith("**") for cell in cells[2:]]


@pytest.mark.parametrize("how", ["a module that says in_table", "the setting"])
def test_a_third_metric_stands_in_table_1_with_the_lowest_in_bold(how, tmp_path, add_metric):
    if how == "the setting":
        settings, column, title, decimals = MetricSettings(table=["psnr", "ssim", "hfen"]), "hfen", "HFEN", 4
    else:
        add_metric()
        settings, column, title, decimals = MetricSettings(), "mae_permille", "MAE", 3
    scores = write_experiment(tmp_path, settings)
    write_tables([tmp_path / "all.csv"], ORIGINS, tmp_path, settings=settings)
    means = scores.groupby(["method", "anatomy"])[column].mean().unstack("anatomy")

    # CSV: a third block of rows.
    table = read_table1(tmp_path / "table1.csv")
    assert list(table["metric"].unique()) == ["psnr_db", "ssim_percent", column]
    rows = table[table["metric"] == column].set_index("method")
    for anatomy in ORIGINS:
        assert rows[anatomy].to_dict() == pytest.approx(means[anatomy].to_dict(), abs=1e-6)
    assert rows[AVERAGE].to_dict() == pytest.approx(means.mean(axis=1).to_dict(), abs=1e-6)

    # Markdown: a third column, its lowest in bold, in its decimals.
    text = (tmp_path / "table1.md").read_text()
    lines = {cells[1].strip(): line for line in text.splitlines() if len(cells := line.strip("|").split("|")) == 11}
    header, _ = bold(lines["Method"])
    assert header == [f"{one} {anatomy}" for one in ("PSNR", "SSIM", title) for anatomy in (*ORIGINS, AVERAGE)]
    for label in ("Undersampled", "Shared", "Proposed", "w/o MD"):
        assert bold(lines[label])[1] == [label == "Proposed"] * 9
    assert bold(lines["Proposed"])[0][6] == f"**{means.loc['proposed', 'brain']:.{decimals}f}**"
    assert re.search(rf"PSNR in dB, SSIM in % and {title}[ ,].*{title}: .*, lower is better\), mean over", text)
    assert f"which has SSIM and {title} too" in text
    assert re.search(r"the paper does not make, Proposed better than the other: \d+ supported", text)
    terminal = format_table1_for_terminal(tmp_path, ORIGINS)
    assert re.search(rf"PSNR \(dB\) / SSIM \(%\) / {title}[ ,]", terminal)
    (line,) = [line for line in terminal.splitlines() if line.startswith("Proposed")]
    assert line.count("*") == 9

    # Orderings: supported where Proposed is lower.
    compared = pd.read_csv(tmp_path / "orderings.csv")
    own = compared[compared["metric"] == column]
    assert len(own) == 3 * 3
    assert (own["difference"] < 0).all()
    assert (own["verdict"] == "supported").all()
    assert (own["better_seeds"] == own["seeds"]).all()
    assert own["published_held"].isna().all()
    tested = pd.read_csv(tmp_path / "comparisons.csv")
    tested = tested[(tested["metric"] == column) & (tested["anatomy"] == "knee")]
    assert (tested["high"] < 0).all()
    assert ((tested["low"] <= tested["difference"]) & (tested["difference"] <= tested["high"])).all()
    assert tested["p_value"].tolist() == pytest.approx([2 / 2**7] * 3)

    # The page: a third part of the table, its lowest marked as the best.
    entry = TABLES[0]
    first, second, third = read_table(entry, tmp_path, ORIGINS)
    assert third.title.startswith(f"4×, {title}")
    for part in (first, second, third):
        assert [[cell.best for cell in line.cells[1:]] for line in part.lines] == [
            [line.ours] * 3 for line in part.lines
        ]
    (ours,) = [line for line in third.lines if line.ours]
    assert ours.cells[1].text == f"{means.loc['proposed', 'brain']:.{decimals}f}"
    _, read = read_rows(tmp_path / "table1.csv", [])
    shown = averages(read, tmp_path / "table1.csv")
    assert shown.columns[2].startswith(f"4× {title}")
    assert [[best for _, best in cells] for _, _, cells in shown.rows] == [[own] * 3 for _, own, _ in shown.rows]

    # Conventions: in those that it has.
    conventions = pd.read_csv(tmp_path / "conventions.csv").set_index(["metric", "convention"])
    kinds = (
        ["slice_maximum", "volume_maximum"] if title == "HFEN" else ["unit_range", "slice_maximum", "volume_maximum"]
    )
    assert list(conventions.loc[column].index.unique()) == kinds


def test_an_ordering_that_a_lower_value_breaks_is_contradicted(tmp_path):
    settings = MetricSettings(table=["hfen", "psnr"])
    write_experiment(tmp_path, settings)
    for path in (tmp_path / "all.csv", volumes_file(tmp_path / "all.csv")):
        swapped = {"proposed": "shared", "shared": "proposed"}
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        frame.assign(method=frame["method"].replace(swapped)).to_csv(path, index=False)
        path.with_name(f"{path.name}.sha256").unlink()
    write_tables([tmp_path / "all.csv"], ORIGINS, tmp_path, settings=settings)
    compared = pd.read_csv(tmp_path / "orderings.csv")
    judged = compared.set_index(["metric", "other"])["verdict"].sort_index()
    broken = [("hfen", "shared"), ("psnr_db", "shared"), ("hfen", "without_distillation")]
    assert not (judged.loc[broken] == "supported").any()
    assert (judged.loc[("hfen", "shared")] == "contradicted").all()
    assert (judged.loc[[("hfen", "undersampled"), ("psnr_db", "undersampled")]] == "supported").all()
    text = (tmp_path / "table1.md").read_text()
    # The first metric of the table, whichever it is.
    assert "HFEN of Proposed minus that of the other (lower is better), with its" in text
    (failed,) = [line for line in text.splitlines() if "HFEN" in line and "| Shared" in line and "knee" in line]
    assert re.search(r"\| \+0\.\d{6} \[\+0\.\d{6}, \+0\.\d{6}\]", failed)
    claims = pd.read_csv(tmp_path / "claims.csv").set_index("claim")["verdict"]
    assert claims["proposed-over-shared-ssim-4x"] == "not checked here (its metrics are not in the table)"


def test_files_without_the_metric_are_refused(tmp_path):
    write_experiment(tmp_path, MetricSettings())
    with pytest.raises(UnimriError, match=r"all\.csv: lacks the column\(s\) hfen; score again"):
        write_tables([tmp_path / "all.csv"], ORIGINS, tmp_path, settings=MetricSettings(table=["psnr", "hfen"]))

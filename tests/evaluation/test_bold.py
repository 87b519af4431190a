"""Bold is what is the best of its column beyond doubt, in every table and on the page."""

import pandas as pd
import pytest
from scores import row, shown, write_scores, write_tables

from unimri.evaluation.averages import AVERAGE
from unimri.evaluation.statistics import StatisticsSettings, leads
from unimri.evaluation.study_tables import write_study_tables
from unimri.evaluation.tables import format_table1_for_terminal
from unimri.metrics.base import MetricSettings
from unimri.report.page import averages
from unimri.report.tables import read_rows

ORIGINS = {"hand": "simulated"}
FEW = StatisticsSettings(resamples=200)
BASE = 30.0
CLEAR = (1.0, 1.1, 0.9, 1.2, 1.0, 0.8)
"""Gains of six patients, of which nobody doubts the sign; those below have about the same mean, and both signs."""
DOUBTFUL = (7.0, -6.0, 8.0, -5.0, 5.0, -3.0)


def scored(gains, method="proposed", other="shared"):
    """Scores of two methods, of which the first gains so much on each patient, and has a lower NMSE by as much."""
    rows = []
    for patient, gain in enumerate(gains):
        for key, more in ((method, gain), (other, 0.0)):
            own = row(4, 7, key, "hand", f"v{patient}", 0, BASE + patient + more, 80 + more)
            rows.append(own._replace(nmse=0.5 - more / 100))
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("gains", "bold"), [(CLEAR, True), (DOUBTFUL, False), ((1.0,), False), ((0.0,) * 6, False)])
def test_the_best_is_bold_only_where_the_interval_to_the_next_best_leaves_zero_out(gains, bold, tmp_path):
    write_scores(tmp_path / "a.csv", scored(gains))
    write_tables([tmp_path / "a.csv"], ORIGINS, tmp_path)
    text = (tmp_path / "table1.md").read_text()
    assert "leaves zero out" in text
    (table,) = [part for part in text.split("\n\n") if "PSNR hand" in part]
    # Of the anatomy and the average, in PSNR and SSIM.
    assert table.count("**") == (8 if bold else 0)
    page = tmp_path / "table1.csv"
    first = f"{BASE + (len(gains) - 1) / 2 + sum(gains) / len(gains):.2f}"
    assert [text for text in shown("table1.csv", tmp_path)[0] if text == first] == [first, first] * bold
    assert any(best for _, _, cells in averages(read_rows(page, [])[1], page).rows for _, best in cells) == bold
    terminal = format_table1_for_terminal(tmp_path, ORIGINS)
    assert (f"{first}*" in terminal) == bold
    assert bool(shown("conventions.csv", tmp_path)[0]) == bold


def test_two_layers_that_tie_leave_no_best_and_a_third_that_is_better_is_bold(tmp_path):
    rows = [scored(CLEAR, "layer1", "without_distillation"), scored(CLEAR, "proposed", "shared")]
    write_scores(tmp_path / "a.csv", pd.concat(rows))
    write_tables([tmp_path / "a.csv"], ORIGINS, tmp_path / "tie")
    assert shown("table_s2.csv", tmp_path / "tie")[0] == []
    rows.append(scored([gain + 1 for gain in CLEAR], "layer2", "undersampled"))
    write_scores(tmp_path / "a.csv", pd.concat(rows))
    write_tables([tmp_path / "a.csv"], ORIGINS, tmp_path / "best")
    assert shown("table_s2.csv", tmp_path / "best")[0] == ["34.50", "34.50", "82.00", "82.00"]
    assert (tmp_path / "best/table_s2.md").read_text().count("**34.50**") == 2


@pytest.mark.parametrize(("gains", "verdict"), [(CLEAR, "supported"), (DOUBTFUL, "undecided")])
def test_the_lowest_is_the_best_of_an_error(gains, verdict):
    found = leads(scored(gains), ["hand"], ["psnr_db", "nmse"], FEW)
    error = found[found["metric"] == "nmse"]
    assert error["anatomy"].tolist() == ["hand", AVERAGE]
    assert error["best"].tolist() == ["proposed"] * 2
    assert error["second"].tolist() == ["shared"] * 2
    assert (error["difference"] < 0).all()
    assert error["verdict"].tolist() == [verdict] * 2


def test_a_study_compares_within_what_it_tried(tmp_path):
    # With the first mask Proposed is clearly better, with the second clearly worse.
    first, second = scored(CLEAR), scored(CLEAR, "shared", "proposed").assign(mask="other")
    write_scores(tmp_path / "other.csv", second)
    settings = MetricSettings()
    study = {"masks": ["hand"]}
    found = write_study_tables(
        study, first, [tmp_path / "other.csv"], ["proposed", "shared"], settings, FEW, tmp_path / "tables"
    )
    best = found["masks"].groupby("mask")["best"].unique()
    assert {mask: list(own) for mask, own in best.items()} == {"fixed": ["proposed"], "other": ["shared"]}
    assert set(found["masks"]["verdict"]) == {"supported"}

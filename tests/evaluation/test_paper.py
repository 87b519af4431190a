import pandas as pd
import pytest
from scores import row, table1, write_scores, write_tables

from unimri.evaluation.averages import anatomies_of
from unimri.evaluation.paper import ORDERING_COLUMNS, orderings, published, summary
from unimri.evaluation.statistics import PROPOSED_PAIRS, differences

# 2 accelerations x 2 metrics x (4 others x 5 anatomies, and 3 averages: Undersampled has none).
PAPERS_ORDERINGS = 2 * 2 * (4 * 5 + 3)


def ordered(table):
    """The orderings of a table beside the paper's, as if each difference were known without doubt."""
    found = differences(table, PROPOSED_PAIRS)
    sure = found.assign(low=found["difference"], high=found["difference"])
    return orderings(sure, anatomies_of(table), published())


def test_the_papers_own_table_has_all_of_its_orderings():
    compared = ordered(published())
    assert tuple(compared.columns) == ORDERING_COLUMNS
    assert len(compared) == PAPERS_ORDERINGS
    assert (compared["verdict"] == "supported").all()
    assert compared["published_held"].all()
    assert summary(compared) == (
        f"The paper's orderings, Proposed above the other: {PAPERS_ORDERINGS} supported, 0 contradicted, "
        f"0 undecided of {PAPERS_ORDERINGS}."
    )


def test_an_ordering_that_fails_is_counted_as_failed():
    ours = published()
    cell = (ours["acceleration"] == 6) & (ours["method"] == "proposed") & (ours["metric"] == "psnr_db")
    ours.loc[cell, "knee"] = 33.0
    compared = ordered(ours)
    failed = compared[compared["verdict"] == "contradicted"]
    assert failed["anatomy"].tolist() == ["knee"]
    assert failed["other"].tolist() == ["without_distillation"]
    assert failed["difference"].item() == pytest.approx(33.0 - 33.36)
    assert failed["published_difference"].item() == pytest.approx(33.66 - 33.36)
    assert f": {PAPERS_ORDERINGS - 1} supported, 1 contradicted, 0 undecided of" in summary(compared)


def test_a_tie_is_undecided(make_scores):
    table = table1(make_scores({(4, "proposed", "brain"): (40, 90), (4, "shared", "brain"): (40, 89)}), ["brain"])
    compared = ordered(table).set_index(["metric", "anatomy"])
    assert compared.loc[("psnr_db", "brain"), "verdict"] == "undecided"
    assert compared.loc[("ssim_percent", "brain"), "verdict"] == "supported"


def test_comparisons_that_the_paper_does_not_make_are_counted_apart(make_scores):
    scores = make_scores(
        {
            (4, method, anatomy): (psnr, 90)
            for method, psnr in (("proposed", 40), ("shared", 39), ("without_distillation_longer", 41))
            for anatomy in ("brain", "spine")
        }
    )
    compared = ordered(table1(scores, ["brain", "spine"]))
    papers = compared[compared["published_held"].notna()]
    # The average is over other anatomies than the paper's, and the control is ours.
    assert set(zip(papers["anatomy"], papers["other"], strict=True)) == {("brain", "shared")}
    # All SSIM tie. Of PSNR, Proposed is above Shared for spine and average, and nowhere above the control.
    assert summary(compared) == (
        "The paper's orderings, Proposed above the other: 1 supported, 0 contradicted, 1 undecided of 2. Comparisons "
        "that the paper does not make, Proposed above the other: 2 supported, 3 contradicted, 5 undecided of 10."
    )


def test_without_proposed_there_is_nothing_to_compare(make_scores):
    compared = ordered(table1(make_scores({(4, "shared", "a"): (30, 90)}), ["a"]))
    assert compared.empty
    assert "Nothing to compare" in summary(compared)


def test_what_fails_stands_in_the_report(tmp_path):
    values = {"proposed": 40.0, "shared": 40.001, "without_distillation_longer": 41.0}
    write_scores(
        tmp_path / "a.csv",
        [row(4, 7, method, "brain", "v", 0, psnr, psnr) for method, psnr in values.items()],
    )
    write_tables([tmp_path / "a.csv"], {"brain": "simulated"}, tmp_path)
    report = (tmp_path / "table1.md").read_text()
    # One patient: no interval, no test, no verdict.
    assert "The paper's orderings, Proposed above the other: 0 supported, 0 contradicted, 2 undecided of 2." in report
    assert "8 of all 8 have no interval (one test patient, or a seed that is missing), and are undecided." in report
    heading = "Comparisons that the paper does not make, in which it is not supported that Proposed is above the other:"
    papers, others = report.split(heading)
    assert "The paper's orderings that are contradicted or undecided:" in papers
    cells = [cell.strip() for cell in next(line for line in papers.splitlines() if "−0.0010" in line).split("|")]
    shown = ["4×", "PSNR", "brain", "Shared", "undecided", "40.00", "40.00", "−0.0010°", "–", "0 of 1", "+2.38"]
    assert cells[1:-1] == shown
    assert "w/o MD, trained on" in others
    assert "is a control that the paper does not have" in report
    frame = pd.read_csv(tmp_path / "orderings.csv")
    assert tuple(frame.columns) == ORDERING_COLUMNS
    assert (frame["verdict"] == "undecided").all()

import math
import re
import statistics
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scores import row, table1, write_scores, write_tables

from unimri.core.errors import UnimriError
from unimri.evaluation.averages import AVERAGE, KEYS, sample_sizes
from unimri.evaluation.paper import printed, published
from unimri.evaluation.tables import (
    format_table1_for_terminal,
    read_table1,
)
from unimri.training.methods import METHODS

PUBLISHED_CSV = Path(__file__).parents[2] / "unimri" / "evaluation" / "published" / "table1.csv"
TABLES = [
    "best.csv",
    "claims.csv",
    "claims.md",
    "claims_orderings.csv",
    "comparisons.csv",
    "conventions.csv",
    "orderings.csv",
    "table1.csv",
    "table1.md",
    "table1_deviation.csv",
    "table1_published.csv",
    "table_s2.csv",
    "table_s2.md",
    "table_s2_published.csv",
]
PAPERS_ANATOMIES = ["brain", "knee", "cardiac", "abdomen", "prostate"]


def value(table, acceleration, method, metric, column):
    row = table[(table["acceleration"] == acceleration) & (table["method"] == method) & (table["metric"] == metric)]
    return row[column].item()


def write_paper_as_scores(folder, anatomies=PAPERS_ANATOMIES, accelerations=(4, 6)):
    """Metrics files, one slice a volume and two volumes, whose means are the paper's numbers."""
    paper, files = published(), []
    for acceleration in accelerations:
        for method in paper["method"].unique():
            for anatomy in anatomies:
                psnr = value(paper, acceleration, method, "psnr_db", anatomy)
                ssim = value(paper, acceleration, method, "ssim_percent", anatomy)
                path = folder / f"{acceleration}x" / method / f"{anatomy}.csv"
                write_scores(
                    path,
                    [
                        row(acceleration, 7, method, anatomy, "a", 0, psnr - 1, ssim - 0.5),
                        row(acceleration, 7, method, anatomy, "b", 0, psnr + 1, ssim + 0.5),
                    ],
                )
                files.append(path)
    return files


def test_an_anatomys_mean_is_over_slices_and_the_average_over_anatomies():
    rows = [
        row(4.0, 7, "shared", "heart", "v1", 0, 30.0, 80.0),
        row(4.0, 7, "shared", "heart", "v1", 1, 32.0, 82.0),
        row(4.0, 7, "shared", "heart", "v2", 0, 40.0, 90.0),
        row(4.0, 7, "shared", "hand", "v1", 0, 20.0, 70.0),
    ]
    scores = pd.DataFrame(rows)
    table = table1(scores, ["hand", "heart"])
    assert list(table.columns) == ["acceleration", "method", "metric", "hand", "heart", "average"]
    assert value(table, 4, "shared", "psnr_db", "heart") == pytest.approx(34.0)
    assert value(table, 4, "shared", "ssim_percent", "heart") == pytest.approx(84.0)
    assert value(table, 4, "shared", "psnr_db", AVERAGE) == pytest.approx(27.0)
    sizes = sample_sizes(scores, ["hand", "heart"])
    assert sizes.to_dict("list") == {
        "anatomy": ["hand", "heart"],
        "patients": [1, 2],
        "volumes": [1, 2],
        "slices": [1, 3],
    }


def test_a_method_without_an_anatomy_has_neither_its_mean_nor_an_average(make_scores):
    table = table1(
        make_scores({(4, "shared", "a"): (30, 90), (4, "proposed", "a"): (31, 91), (4, "proposed", "b"): (32, 92)}),
        ["a", "b"],
    )
    assert value(table, 4, "shared", "psnr_db", "a") == 30
    assert math.isnan(value(table, 4, "shared", "psnr_db", "b"))
    assert math.isnan(value(table, 4, "shared", "psnr_db", AVERAGE))
    assert value(table, 4, "proposed", "psnr_db", AVERAGE) == 31.5


def test_the_papers_averages_are_the_means_over_its_anatomies():
    paper = published().dropna()
    mean = paper[PAPERS_ANATOMIES].mean(axis=1)
    # Half a unit of its last digit for its rounding of the average, and as much for that of the anatomies.
    assert ((mean - paper[AVERAGE]).abs() <= 0.0101).all()


def test_table_s2_has_the_rows_of_table_1_for_the_third_layer():
    first, second = published(), published("table_s2")
    proposed = first[first["method"] == "proposed"].drop(columns="method").reset_index(drop=True)
    third = second[second["distilled_layer"] == "3"].drop(columns="distilled_layer").reset_index(drop=True)
    pd.testing.assert_frame_equal(proposed, third)


def test_the_tables_of_the_papers_numbers(tmp_path):
    files = write_paper_as_scores(tmp_path / "metrics")
    write_tables(files, dict.fromkeys(PAPERS_ANATOMIES, "simulated"), tmp_path)
    ours, papers = (tmp_path / "table1.csv").read_text(), PUBLISHED_CSV.read_text()
    assert ours.splitlines()[0] == papers.splitlines()[0]
    table, paper = read_table1(tmp_path / "table1.csv"), published()
    pd.testing.assert_frame_equal(table[list(KEYS)], paper[list(KEYS)])
    pd.testing.assert_frame_equal(table[PAPERS_ANATOMIES], paper[PAPERS_ANATOMIES], atol=1e-5)

    report = (tmp_path / "table1.md").read_text()
    assert "## Our results, on simulated data" in report
    assert "data range 1, SSIM with a uniform window of 7 pixels" in report
    assert "Proposed above the other: 92 supported, 0 contradicted, 0 undecided of 92." in report
    assert "contradicted or undecided" not in report
    own, theirs = report.split("## The paper's published numbers, on its own data, beside ours")
    # Ours has an average of Undersampled, the paper has none to set beside it.
    assert re.search(r"4×\s*\| Undersampled\s*\|.* 30\.21 \|", own)
    assert re.search(r"4×\s*\| Undersampled\s*\| PSNR\s*\|\s*31\.60 / 31\.60 \(0\.00\) \|.* – \|", theirs)
    assert re.search(r"\| Proposed .*\*\*43\.16\*\*.*\*\*38\.24\*\*.*\*\*98\.28\*\*", own)
    assert "ours are **simulated**" in theirs
    assert "w/o MD, trained on" not in report
    assert re.search(r"\| brain\s*\| simulated\s*\|\s*2 \|\s*2 \|\s*2 \|", own)
    beside = pd.read_csv(tmp_path / "table1_published.csv")
    assert list(beside.columns) == ["acceleration", "method", "metric", "anatomy", "ours", "published", "difference"]
    assert len(beside) == 2 * 2 * (5 * 6 - 1)
    assert beside["difference"].abs().max() <= 0.01


def test_only_what_occurs_of_the_paper_is_shown(tmp_path):
    files = write_paper_as_scores(tmp_path / "metrics", ["knee", "brain"], [6])
    write_scores(tmp_path / "spine.csv", [row(6, 7, "shared", "spine", "a", 0, 30.0, 90.0)])
    write_tables(
        [*files, tmp_path / "spine.csv"],
        {"knee": "real", "spine": "simulated", "brain": "real"},
        tmp_path,
    )
    own, theirs = (tmp_path / "table1.md").read_text().split("## The paper's published numbers")
    assert "real data for others" in own
    assert "PSNR knee (real)" in own
    assert "PSNR spine (simulated)" in own
    assert "PSNR average (mixed)" in own
    header = next(line for line in theirs.splitlines() if "Method" in line)
    names = [cell.strip() for cell in header.strip("|").split("|")]
    # The paper's average is over five anatomies, so it has no place beside these two.
    assert names == ["", "Method", "Metric", "knee (real)", "brain (real)"]
    assert "some of ours are **simulated**" in theirs
    assert "4×" not in theirs
    terminal = format_table1_for_terminal(tmp_path, {"knee": "real", "spine": "simulated", "brain": "real"})
    assert re.search(r"^6x\s+knee \(real\)\s+spine \(simulated\)\s+brain \(real\)", terminal, re.MULTILINE)


def test_anatomies_that_the_paper_lacks_show_none_of_it(tmp_path):
    write_scores(tmp_path / "a.csv", [row(8, 7, "shared", "spine", "a", 0, 30.0, 90.0)])
    write_tables([tmp_path / "a.csv"], {"spine": "real"}, tmp_path)
    report = (tmp_path / "table1.md").read_text()
    assert "## Our results, on real data" in report
    assert "The paper has none of these anatomies at these accelerations." in report
    assert "Nothing to compare" in report


def test_the_paper_beside_ours_keeps_its_average_only_for_its_own_anatomies():
    average = (4.0, "shared", "psnr_db", AVERAGE)
    assert average in printed(published(), PAPERS_ANATOMIES[::-1])
    assert average not in printed(published(), PAPERS_ANATOMIES[:2])
    assert average not in printed(published(), [*PAPERS_ANATOMIES, "spine"])


def test_equal_scores_are_equal_bytes(tmp_path):
    files = write_paper_as_scores(tmp_path / "metrics")
    anatomies = dict.fromkeys(PAPERS_ANATOMIES, "simulated")
    write_tables(files, anatomies, tmp_path / "a")
    write_tables(files[::-1], anatomies, tmp_path / "b")
    written = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert written == TABLES
    for name in written:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_terminal_shows_each_acceleration_and_marks_the_best(tmp_path):
    write_tables(write_paper_as_scores(tmp_path), dict.fromkeys(PAPERS_ANATOMIES, "simulated"), tmp_path)
    text = format_table1_for_terminal(tmp_path, dict.fromkeys(PAPERS_ANATOMIES, "simulated"))
    assert text.startswith("Table 1. Our results, on simulated data.")
    assert re.search(r"^4x\s+brain\s+knee\s+cardiac\s+abdomen\s+prostate\s+average$", text, re.MULTILINE)
    assert re.search(r"^Proposed\s+40\.03\* / 97\.02\*", text, re.MULTILINE)
    assert max(len(line) for line in text.splitlines()) <= 130


def test_seeds_are_averaged_and_their_deviation_stands_beside(tmp_path):
    # PSNR by seed: two slices of each anatomy; the deviation is of a seed's mean, not of a slice.
    by_seed = {1: {"hand": (30, 34), "foot": (20, 22)}, 2: {"hand": (31, 35), "foot": (26, 28)}}
    below = {1: (31, 31), 2: (34, 34)}
    for seed, anatomies in by_seed.items():
        rows = []
        for anatomy, values in anatomies.items():
            for number, psnr in enumerate(values):
                rows.append(row(4, seed, "proposed", anatomy, "v", number, psnr, 90.0))
                rows.append(row(4, seed, "undersampled", anatomy, "v", number, 10.0, 50.0))
                rows.append(row(4, seed, "shared", anatomy, "v", number, below[seed][number], 80.0))
        write_scores(tmp_path / f"{seed}.csv", rows)
    origins = {"hand": "real", "foot": "real"}
    write_tables([tmp_path / "2.csv", tmp_path / "1.csv"], origins, tmp_path)
    table, deviation = read_table1(tmp_path / "table1.csv"), read_table1(tmp_path / "table1_deviation.csv")
    assert [value(table, 4, "proposed", "psnr_db", name) for name in ("hand", "foot", AVERAGE)] == [32.5, 24, 28.25]
    expected = [statistics.stdev(pair) for pair in ((32, 33), (21, 27), (26.5, 30))]
    found = [value(deviation, 4, "proposed", "psnr_db", name) for name in ("hand", "foot", AVERAGE)]
    assert found == pytest.approx(expected, abs=1e-6)
    report = (tmp_path / "table1.md").read_text()
    assert "Every training was run with 2 seeds (1, 2)" in report
    # As high as Shared: none of the two is the best.
    assert " 32.50 ± 0.71 |" in report
    assert " 24.00 ± 4.24 |" in report
    # Zero filling has no seed, and no deviation.
    assert "10.00 ±" not in report
    terminal = format_table1_for_terminal(tmp_path, origins)
    assert "mean over test slices ± deviation over seeds" in terminal
    assert "32.50 ± 0.71" in terminal
    compared = pd.read_csv(tmp_path / "orderings.csv")
    hand = compared[
        (compared["anatomy"] == "hand") & (compared["metric"] == "psnr_db") & (compared["other"] == "shared")
    ]
    # Above in seed 1 (32 against 31), below in seed 2 (33 against 34); the means tie, which is undecided.
    assert hand[["verdict", "better_seeds", "seeds"]].to_numpy().tolist() == [["undecided", 1, 2]]


def test_the_differences_stand_with_their_intervals_and_tests(tmp_path):
    # Eight patients, all of whom gain over Shared in PSNR; and two of another anatomy.
    rows = []
    for anatomy, patients in (("hand", 8), ("foot", 2)):
        for patient in range(patients):
            place = (anatomy, f"v{patient}", 0)
            rows += [row(4, 7, "proposed", *place, 30 + patient, 90), row(4, 7, "shared", *place, 29, 90)]
    write_scores(tmp_path / "a.csv", rows)
    write_tables([tmp_path / "a.csv"], {"hand": "real", "foot": "simulated"}, tmp_path)
    report = (tmp_path / "table1.md").read_text()
    section = report.split("## How sure are the differences?")[1].split("##")[0]
    (line,) = [line for line in section.splitlines() if "Shared" in line]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    tested = pd.read_csv(tmp_path / "comparisons.csv").set_index(["metric", "anatomy"])
    hand, foot = (tested.loc[("psnr_db", name)] for name in ("hand", "foot"))
    # All of one sign, 1 / 128; of the six p-values the average's, of ten patients, is smaller.
    assert hand["p_value"] == pytest.approx(2 / 2**8)
    assert hand["p_corrected"] == pytest.approx(5 * 2 / 2**8)
    assert cells[2] == f"+4.50 [{hand['low']:+.2f}, {hand['high']:+.2f}]*"
    assert cells[3] == f"+1.50 [{foot['low']:+.2f}, {foot['high']:+.2f}]°"
    assert "hand (real) | foot (simulated) | average (mixed)" in " ".join(section.split())
    assert "over the test patients; * p < 0.05" in section


def test_one_seed_has_no_deviation(tmp_path):
    write_scores(tmp_path / "a.csv", [row(4, 7, "shared", "hand", "v", 0, 30.0, 90.0)])
    write_tables([tmp_path / "a.csv"], {"hand": "real"}, tmp_path)
    assert (tmp_path / "table1_deviation.csv").read_text().splitlines()[1] == "4,shared,psnr_db,,"
    assert "±" not in (tmp_path / "table1.md").read_text() + format_table1_for_terminal(tmp_path, {"hand": "real"})


names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12).filter(
    lambda name: name not in (*KEYS, AVERAGE)
)


@settings(max_examples=25, deadline=None)
@given(
    anatomies=st.lists(names, min_size=1, max_size=7, unique=True),
    accelerations=st.lists(st.sampled_from([2.0, 4.0, 4.5, 6.0, 10.0]), min_size=1, max_size=3, unique=True),
    data=st.data(),
)
def test_any_anatomies_and_accelerations(tmp_path_factory, anatomies, accelerations, data):
    folder = tmp_path_factory.mktemp("any")
    number = st.floats(0, 100)
    expected = {
        (acceleration, method.key, anatomy): (data.draw(number), data.draw(number))
        for acceleration in accelerations
        for method in METHODS[2:4]
        for anatomy in anatomies
    }
    write_scores(folder / "all.csv", [row(key[0], 7, *key[1:], "v", 0, *scores) for key, scores in expected.items()])
    provenance = {name: ("real", "simulated")[index % 2] for index, name in enumerate(anatomies)}
    write_tables([folder / "all.csv"], provenance, folder)
    table = read_table1(folder / "table1.csv")
    assert list(table.columns) == [*KEYS, *anatomies, AVERAGE]
    assert list(table["acceleration"].unique()) == sorted(accelerations)
    for (acceleration, method, anatomy), (psnr, _) in expected.items():
        assert value(table, acceleration, method, "psnr_db", anatomy) == pytest.approx(psnr, abs=2e-6)
    own = (folder / "table1.md").read_text().split("\n\n")[3].splitlines()
    # Each row has as many cells as the heading, whatever stands in a name.
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in own}) == 1
    format_table1_for_terminal(folder, provenance)


@pytest.mark.parametrize(
    ("change", "anatomies", "message"),
    [
        ({"method": "ours"}, ["a"], "'ours' is unknown; allowed: undersampled"),
        ({}, ["b"], "unknown anatomies: a; allowed: b"),
        ({}, ["a", "b"], "no scores of: b"),
        ({}, ["a", "average"], "'average' has the name of a column"),
    ],
)
def test_faulty_scores_are_refused(make_scores, change, anatomies, message):
    scores = make_scores({(4, "shared", "a"): (30, 90)}).assign(**change)
    with pytest.raises(UnimriError, match=message):
        table1(scores, anatomies)


def test_scores_of_one_slice_twice_are_refused(make_scores):
    scores = make_scores({(4, "shared", "a"): (30, 90)})
    with pytest.raises(UnimriError, match="anatomy a, volume volume, slice 0 is scored twice for shared at 4x"):
        table1(pd.concat([scores, scores]), ["a"])


def test_methods_scored_on_different_slices_are_refused(make_scores):
    scores = pd.concat(
        [
            make_scores({(4, "shared", "a"): (30, 90)}, slices=2),
            make_scores({(4, "proposed", "a"): (31, 91)}, slices=3),
        ]
    )
    with pytest.raises(
        UnimriError, match=r"proposed at 4x \(seed 7\) and shared at 4x \(seed 7\) were scored on different slices"
    ):
        table1(scores, ["a"])


def test_scores_of_two_masks_are_refused(make_scores):
    scores = make_scores({(4, "shared", "a"): (30, 90)})
    with pytest.raises(UnimriError, match="several masks: fixed, other; give those of one"):
        table1(pd.concat([scores, scores.assign(mask="other", seed=8)]), ["a"])


def test_data_that_are_neither_simulated_nor_real_are_refused(tmp_path):
    with pytest.raises(UnimriError, match="anatomy a: data 'phantom' is unknown; allowed: simulated, real"):
        write_tables([], {"a": "phantom"}, tmp_path)


@pytest.mark.parametrize("content", ["", "acceleration,method\n4,7,shared\n"])
def test_a_faulty_table_is_refused_by_name(tmp_path, content):
    (tmp_path / "table1.csv").write_text(content)
    with pytest.raises(UnimriError, match=r"table1\.csv"):
        read_table1(tmp_path / "table1.csv")

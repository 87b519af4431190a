import pandas as pd
from scores import METRICS, row, write_scores, write_tables

from unimri.evaluation.averages import averages
from unimri.evaluation.study_tables import published_s2, table_s2


def scores_of(values, anatomies=("brain", "knee")):
    return pd.DataFrame(
        [
            row(4, 7, key, anatomy, volume, 0, psnr, 90 + psnr / 10)
            for key, psnr in values.items()
            for anatomy in anatomies
            for volume in "vw"
        ]
    )


def test_the_rows_are_without_the_configured_layer_and_the_others():
    values = {"layer10": 33, "proposed": 31, "shared": 20, "layer2": 32, "without_distillation": 30, "layer1": 29}
    table = table_s2(averages(scores_of(values), ["brain", "knee"], METRICS), 3)
    assert list(table.columns) == ["acceleration", "method", "metric", "brain", "knee", "average"]
    assert table["method"].tolist() == ["none", "1", "2", "3", "10"] * 2
    assert table["metric"].tolist() == ["psnr_db"] * 5 + ["ssim_percent"] * 5
    assert table["knee"].tolist()[:5] == [30, 29, 32, 31, 33]


def test_the_papers_rows_are_in_the_same_order():
    paper = published_s2()
    ordered = paper.sort_values(["acceleration", "metric"], kind="stable")
    assert ordered["method"].tolist() == ["none", "1", "2", "3", "4", "5"] * 4
    assert ordered.index.tolist() == list(range(len(paper)))


def test_the_best_layer_is_marked_and_the_papers_numbers_stand_beside(tmp_path):
    scores = scores_of({"proposed": 31, "layer1": 33, "without_distillation": 30})
    write_scores(tmp_path / "a.csv", scores)
    write_tables([tmp_path / "a.csv"], {"brain": "simulated", "knee": "simulated"}, tmp_path)
    table = pd.read_csv(tmp_path / "table_s2.csv", dtype={"distilled_layer": str}, keep_default_na=False)
    assert list(table.columns) == ["acceleration", "distilled_layer", "metric", "brain", "knee", "average"]
    assert table["distilled_layer"].tolist() == ["none", "1", "3"] * 2
    beside = pd.read_csv(tmp_path / "table_s2_published.csv", dtype={"distilled_layer": str}, keep_default_na=False)
    assert list(beside.columns) == [
        "acceleration",
        "distilled_layer",
        "metric",
        "anatomy",
        "ours",
        "published",
        "difference",
    ]
    # Two of the paper's anatomies: no average.
    assert len(beside) == 3 * 2 * 2
    first = beside[(beside["distilled_layer"] == "1") & (beside["metric"] == "psnr_db")]
    assert first[["anatomy", "ours", "published", "difference"]].to_numpy().tolist() == [
        ["brain", 33, 43.15, -10.15],
        ["knee", 33, 36.37, -3.37],
    ]
    page = (tmp_path / "table_s2.md").read_text()
    ours = page.split("## ")[1]
    rows = {cells[2].strip(): cells for line in ours.splitlines() if len(cells := line.split("|")) > 3}
    assert rows["layer 1"][3].strip() == "**33.00**"
    assert rows["layer 3"][3].strip() == "31.00"
    assert "33.00 / 43.15 (−10.15)" in page
    assert "layer1" not in (tmp_path / "table1.csv").read_text()


def test_one_layer_is_a_table_too(tmp_path):
    scores = scores_of({"proposed": 31, "without_distillation": 30, "shared": 29})
    write_scores(tmp_path / "a.csv", scores)
    write_tables([tmp_path / "a.csv"], {"brain": "real", "knee": "real"}, tmp_path, layer=4)
    table = pd.read_csv(tmp_path / "table_s2.csv", dtype={"distilled_layer": str}, keep_default_na=False)
    assert table["distilled_layer"].tolist() == ["none", "4"] * 2

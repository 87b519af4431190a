import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scores import METRICS, row, write_scores, write_tables
from typer.testing import CliRunner

from unimri.cli.__main__ import app
from unimri.config import load_config
from unimri.core.artifacts import write_json
from unimri.core.errors import UnimriError
from unimri.evaluation.averages import averages
from unimri.evaluation.claims import (
    CLAIM_COLUMNS,
    CLAIM_ORDERING_COLUMNS,
    check_claims,
    claimed_pairs,
    claims,
    read_summary,
    summary,
)
from unimri.evaluation.paper import parameter_table, published
from unimri.evaluation.statistics import Pair, StatisticsSettings, compare, verdict
from unimri.evaluation.tables import note_tables
from unimri.report.experiment import made_from

ROOT = Path(__file__).parents[2]
ANATOMIES = ["brain", "knee", "cardiac", "abdomen", "prostate"]
SETTINGS = StatisticsSettings(resamples=100)
PARAMETERS = parameter_table(144650, 1280, 5)


def papers_scores(accelerations=(4, 6), anatomies=ANATOMIES, patients=6, layers=()):
    """Scores whose means are the paper's numbers, the same spread over patients for every method."""
    tables = [published().rename(columns={"method": "key"})]
    if layers:
        second = published("table_s2").rename(columns={"distilled_layer": "key"})
        second = second[second["key"].isin([str(layer) for layer in layers])]
        tables.append(second.assign(key="layer" + second["key"]))
    rows = []
    for acceleration in accelerations:
        table = pd.concat(tables).set_index(["acceleration", "key", "metric"]).loc[float(acceleration)]
        for key in dict.fromkeys(table.index.get_level_values("key")):
            for anatomy in anatomies:
                psnr, ssim = (table.loc[(key, metric), anatomy] for metric in METRICS)
                for patient in range(patients):
                    spread = patient - (patients - 1) / 2
                    rows.append(row(acceleration, 7, key, anatomy, f"v{patient}", 0, psnr + spread, ssim + spread / 10))
    return pd.DataFrame(rows)


def checked(scores, anatomies=ANATOMIES, layer=3, parameters=PARAMETERS):
    """Claims by name, and the orderings' frame."""
    compared = compare(scores, averages(scores, anatomies, METRICS), claimed_pairs(layer), SETTINGS)
    found, orderings = check_claims(compared, parameters, anatomies, layer)
    assert tuple(found.columns) == CLAIM_COLUMNS
    assert tuple(orderings.columns) == CLAIM_ORDERING_COLUMNS
    return found.set_index("claim"), orderings


@pytest.fixture(scope="module")
def of_the_paper():
    return checked(papers_scores(layers=(1, 2, 4, 5)))


def test_the_papers_own_numbers_bear_out_what_its_tables_do(of_the_paper):
    found, orderings = of_the_paper
    assert len(found) == len(claims())
    # Everything that is stated can be checked, and comes out as in print.
    assert (found["orderings"] == found["stated"]).all()
    # Every method spreads alike over the patients, so that each interval is the difference itself.
    assert (found["supported"] == found["published_held"]).all()
    assert ((orderings["verdict"] == "supported") == orderings["published_held"]).all()
    difference = (orderings["difference"] - orderings["published_difference"]).abs()
    assert difference[orderings["anatomy"] != "average"].max() < 1e-6
    # Of averages the paper prints rounded ones.
    assert difference.max() <= 0.0201


def test_where_the_papers_text_and_its_tables_disagree(of_the_paper):
    found, orderings = of_the_paper
    short = found[found["published_held"] < found["stated"]]
    assert short[["published_held", "stated"]].to_numpy().tolist() == [[69, 72], [37, 40], [93, 96], [0, 1]]
    assert list(short.index) == [
        "shared-lowest",
        "independent-moderate",
        "third-layer-best",
        "aspin-below-a-thousandth",
    ]
    wrong = orderings[(orderings["claim"] == "shared-lowest") & ~orderings["published_held"]]
    assert wrong[["acceleration", "metric", "anatomy", "above"]].to_numpy().tolist() == [
        [4, "psnr_db", "abdomen", "independent"],
        [4, "ssim_percent", "brain", "independent"],
        [4, "ssim_percent", "knee", "independent"],
    ]
    assert wrong["published_difference"].tolist() == [-0.34, 0, -0.03]
    assert found.loc["aspin-below-a-thousandth", "verdict"] == "contradicted"
    limit = orderings[orderings["claim"] == "aspin-below-a-thousandth"].iloc[0]
    assert limit["difference"] == pytest.approx(0.1 - 100 * 1280 / 144650, abs=1e-6)


def test_how_many_orderings_each_claim_has(of_the_paper):
    found, _ = of_the_paper
    # Accelerations x metrics x columns x pairs.
    assert found["stated"].to_dict() == {
        "proposed-highest": 2 * 2 * 5 * 4,
        "proposed-highest-average": 2 * 2 * 3,
        "shared-lowest": 2 * 2 * 6 * 3,
        "proposed-over-shared-psnr": 2,
        "proposed-over-shared-ssim-4x": 1,
        "proposed-over-shared-ssim-6x": 1,
        "independent-moderate": 2 * 2 * 5 * 2,
        "proposed-over-independent-base": 2 * 2 * 2,
        "proposed-over-independent-new": 2 * 2 * 3,
        "artifacts-reduced": 2 * 5 * 4,
        "aspin-brain": 2,
        "aspin-knee": 2,
        "distillation-base": 2 * 2 * 2,
        "distillation-new": 2 * 2 * 3,
        "layers-over-none": 2 * 2 * 6 * 5,
        "third-layer-best": 2 * 2 * 6 * 4,
        "fewer-parameters": 2,
        "aspin-below-a-thousandth": 1,
    }


def test_sizes_stand_beside_those_that_are_claimed(of_the_paper):
    found, _ = of_the_paper
    assert found.loc["aspin-knee", "size"] == "claimed about +1.0 dB; here +0.82 dB (4×), +1.05 dB (6×)"
    assert found.loc["proposed-over-shared-ssim-6x", "size"] == "claimed about +3.0 %; here +3.08 % (6×)"
    assert found.loc["proposed-highest", "size"] == ""


def test_an_interval_supports_contradicts_or_does_neither():
    scores = papers_scores((4,), ["brain"])
    # w/o MD above Proposed in every patient by PSNR, and in the mean but not in all patients by SSIM.
    brain = scores["method"] == "without_distillation"
    scores.loc[brain, "psnr_db"] += 5
    scores.loc[brain, "ssim_percent"] += 0.5 + 3 * (scores.loc[brain, "volume"] == "v0") - 0.75
    found, orderings = checked(scores, ["brain"])
    base = found.loc["distillation-base"]
    assert base[["orderings", "supported", "contradicted", "undecided", "stated"]].tolist() == [2, 0, 1, 1, 8]
    assert base["verdict"] == "contradicted (0 supported, 1 contradicted, 1 undecided of 2)"
    highest = found.loc["proposed-highest"]
    assert highest[["orderings", "supported", "contradicted", "undecided"]].tolist() == [8, 6, 1, 1]
    assert highest["verdict"] == "contradicted (6 supported, 1 contradicted, 1 undecided of 8)"
    rows = orderings[(orderings["claim"] == "distillation-base") & orderings["verdict"].notna()]
    assert rows["verdict"].tolist() == ["contradicted", "undecided"]
    psnr, ssim = rows.to_dict("records")
    assert psnr["difference"] == pytest.approx(0.36 - 5, abs=1e-6)
    assert psnr["high"] < 0
    assert ssim["difference"] < 0 < ssim["high"]
    assert psnr["published_difference"] == pytest.approx(0.36)


def test_what_a_coin_decides_is_undecided():
    # Proposed minus w/o MD is of either sign: half of the orderings come out by chance, no interval leaves zero out.
    scores = papers_scores((4, 6), patients=8)
    coin, own = np.random.default_rng(0), scores["method"] == "proposed"
    other = scores[scores["method"] == "without_distillation"]
    for metric in METRICS:
        chance = np.tile([3, -3, 2, -2, 1, -1, 0.5, -0.5], len(other) // 8) + coin.choice([-0.01, 0.01], len(other))
        scores.loc[own, metric] = other[metric].to_numpy() + chance
    claim = checked(scores)[0].loc["distillation-new"]
    assert claim[["orderings", "supported", "contradicted", "undecided"]].tolist() == [12, 0, 0, 12]
    assert claim["verdict"] == "undecided (0 supported, 0 contradicted, 12 undecided of 12)"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.2, "supported"),
        (-0.2, -0.1, "contradicted"),
        (-0.1, 0.2, "undecided"),
        (0.0, 0.2, "undecided"),
        (-0.2, 0.0, "undecided"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_the_three_verdicts(low, high, expected):
    assert verdict(low, high) == expected


def test_a_tie_is_undecided():
    scores = papers_scores((4,), ["brain"])
    scores.loc[scores["method"] == "without_distillation", list(METRICS)] = scores.loc[
        scores["method"] == "proposed", list(METRICS)
    ].to_numpy()
    base = checked(scores, ["brain"])[0].loc["distillation-base"]
    assert base[["orderings", "supported", "contradicted", "undecided"]].tolist() == [2, 0, 0, 2]


def test_other_anatomies_and_rates_leave_claims_unchecked():
    scores = papers_scores((4,), ["brain", "knee"])
    found, orderings = checked(scores, ["brain", "knee"])
    verdicts = found["verdict"]
    assert verdicts["proposed-highest-average"] == "not checked here (its average is over other anatomies)"
    assert verdicts["proposed-over-independent-new"] == "not checked here (its anatomies are others)"
    assert verdicts["artifacts-reduced"] == "not checked here (its accelerations are others)"
    assert verdicts["third-layer-best"] == "not checked here (its layers were not distilled)"
    assert verdicts["aspin-brain"] == "supported"
    assert found.loc["shared-lowest", "orderings"] == 2 * 2 * 3
    unchecked = orderings[orderings["claim"] == "artifacts-reduced"]
    assert unchecked[["difference", "low", "high", "verdict", "few_patients"]].isna().all(axis=None)
    assert unchecked["published_difference"].notna().all()
    spine = scores.assign(anatomy=scores["anatomy"].replace({"brain": "spine", "knee": "hip"}))
    assert set(checked(spine, ["spine", "hip"])[0]["orderings"]) == {0, 1, 2}
    without = scores[scores["method"] != "without_distillation"]
    assert checked(without, ["brain", "knee"])[0].loc["aspin-brain", "verdict"] == (
        "not checked here (its methods are not in the table)"
    )


def test_proposed_is_whichever_layer_it_distils():
    scores = papers_scores((4,), layers=(3,))
    assert Pair("layer3", "proposed") in claimed_pairs(layer=2)
    found, orderings = checked(scores, layer=2)
    # Proposed stands for layer 2 here, and has the same numbers as layer 3.
    best = orderings[(orderings["claim"] == "third-layer-best") & orderings["verdict"].notna()]
    assert set(zip(best["above"], best["below"], strict=True)) == {("3", "2")}
    assert found.loc["third-layer-best", ["orderings", "supported", "contradicted"]].tolist() == [12, 0, 0]


def test_few_patients_are_counted():
    found, _ = checked(papers_scores((4,), ["brain"], patients=5), ["brain"])
    assert found.loc["proposed-highest", ["orderings", "few_patients"]].tolist() == [8, 8]
    found, _ = checked(papers_scores((4,), ["brain"], patients=6), ["brain"])
    assert found.loc["proposed-highest", ["orderings", "few_patients"]].tolist() == [8, 0]


def test_one_patient_leaves_all_undecided_and_says_so():
    found, _ = checked(papers_scores((4,), ["brain"], patients=1), ["brain"])
    columns = ["supported", "contradicted", "undecided", "without_interval"]
    assert found.loc["proposed-highest", columns].tolist() == [0, 0, 8, 8]
    assert found.loc["proposed-highest", "verdict"] == (
        "undecided (0 supported, 0 contradicted, 8 undecided of 8); 8 without an interval"
    )
    # Parameters are counted, and need no patients.
    assert found.loc["fewer-parameters", "verdict"] == "supported (2 supported, 0 contradicted, 0 undecided of 2)"


def test_the_checklist_as_files(tmp_path):
    scores = papers_scores((4,), ["brain", "knee"], patients=2)
    scores.loc[scores["method"] == "shared", "psnr_db"] += 9
    write_scores(tmp_path / "a.csv", scores)
    write_tables([tmp_path / "a.csv"], {"brain": "real", "knee": "simulated"}, tmp_path / "out")
    line = read_summary(tmp_path / "out")
    found = pd.read_csv(tmp_path / "out/claims.csv", keep_default_na=False)
    assert line == summary(found)
    assert line.startswith("The paper's claims, by the intervals of their comparisons: ")
    page = (tmp_path / "out/claims.md").read_text()
    assert line in page
    assert "real data for others" in page
    assert "rest on fewer than 6 test patients" in page
    # Stated by two claims, shown once.
    (failed,) = [text for text in page.splitlines() if "Proposed over Shared" in text and "knee" in text]
    assert "proposed-highest" in failed
    assert math.isclose(float(failed.split("|")[6].split("[")[0].replace("−", "-")), 36.39 - 35.43 - 9, abs_tol=1e-3)
    with pytest.raises(UnimriError, match=r"absent/claims\.csv: cannot be read"):
        read_summary(tmp_path / "absent")
    (tmp_path / "claims.csv").write_text("claim\nx\n")
    with pytest.raises(UnimriError, match=r"claims\.csv: lacks the column"):
        read_summary(tmp_path)


def test_show_says_what_the_claims_are(tmp_path):
    write_scores(tmp_path / "a.csv", papers_scores((4,), ["brain"], patients=2))
    tables = tmp_path / "results/tables"
    write_tables([tmp_path / "a.csv"], {"brain": "simulated"}, tables)
    write_json(tables / "origins.json", {"brain": "simulated"})
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(f"results: {tmp_path}/results\n")
    result = CliRunner().invoke(app, ["show", str(ROOT / "config.yaml"), str(overlay)])
    assert result.exit_code == 0
    assert f"{read_summary(tables)} {tables}/claims.md says which." in result.output


def test_show_refuses_the_table_of_another_configuration(tmp_path):
    write_scores(tmp_path / "a.csv", papers_scores((4,), ["brain"], patients=2))
    tables = tmp_path / "results/tables"
    write_tables([tmp_path / "a.csv"], {"brain": "simulated"}, tables)
    write_json(tables / "origins.json", {"brain": "simulated"})
    overlay = tmp_path / "overlay.yaml"
    configs = [ROOT / "config.yaml", overlay]

    def show(**changes):
        overlay.write_text(yaml.safe_dump({"results": f"{tmp_path}/results"} | changes))
        result = CliRunner().invoke(app, ["show", *map(str, configs)])
        return result.exit_code, result.output + str(result.exception)

    def note():
        note_tables(tables, **made_from(load_config(*configs).model_dump(mode="json")))

    show()
    note()
    assert show()[0] == 0
    # How a training is run changes no table.
    assert show(training={"checkpoint_minutes": 1, "processes": 2})[0] == 0
    status, said = show(anatomies={"brain": {"simulation": {"noise": 0.5}}}, seed=7)
    assert status == 1
    assert f"{tables}/table1.csv: was made with another configuration: anatomies.brain.simulation.noise was " in said
    assert "now 0.5; seed was 2021, now 7; run `snakemake` with this one" in said
    # Of paths, which no artifact names, a digest tells that they differ.
    scans = {"anatomies": {"brain": {"path": str(tmp_path)}}}
    assert "anatomies.brain.path was None, now (not shown)" in show(**scans)[1]
    note()
    scans["anatomies"]["brain"]["path"] = str(tables)
    assert "paths, which are not shown, were others" in show(**scans)[1]
    assert str(tmp_path) not in (tables / "made.json").read_text()
    show()
    note()
    path = tables / "table1.csv"
    path.write_text(path.read_text().replace("3", "4", 1))
    assert f"{path}: is not the file that was made" in show()[1]


def test_the_line_counts_each_claim_once():
    verdicts = ["supported (4 of 4)", "undecided", "contradicted (1 of 2)", "not checked here (why)", "supported"]
    assert summary(pd.DataFrame({"verdict": verdicts})) == (
        "The paper's claims, by the intervals of their comparisons: 2 supported, 1 contradicted, 1 undecided of 4; "
        "1 could not be checked here."
    )

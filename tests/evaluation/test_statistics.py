import itertools
import math
import time

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon
from scores import row, table1

from unimri.evaluation.averages import AVERAGE, cells
from unimri.evaluation.statistics import (
    COMPARISON_COLUMNS,
    FEW_PATIENTS,
    PROPOSED_PAIRS,
    Pair,
    StatisticsSettings,
    compare,
    comparisons,
    holm,
    signed_rank_p,
)

SETTINGS = StatisticsSettings()
PAIR = Pair("proposed", "shared")


def scores_of(differences, slices=None, seeds=(7,), acceleration=4, others=("shared",)):
    """Scores of Proposed above others by {anatomy: {patient: dB, or dB for each seed}}; SSIM by half as much.

    The level differs by patient and slice, so that only pairs show the difference.
    """
    rng = np.random.default_rng(5)
    rows = []
    for anatomy, patients in differences.items():
        for patient, difference in patients.items():
            of_seeds = difference if isinstance(difference, tuple) else (difference,) * len(seeds)
            for number in range((slices or {}).get(patient, 1)):
                level = 30 + 5 * rng.standard_normal()
                for seed, one in zip(seeds, of_seeds, strict=True):
                    place = (anatomy, f"v{patient}", number)
                    rows.append(row(acceleration, seed, "proposed", *place, level + one, 80 + one / 2, patient))
                    rows += [row(acceleration, seed, other, *place, level, 80, patient) for other in others]
    return pd.DataFrame(rows)


def compared(scores, settings=SETTINGS, pairs=(PAIR,)):
    """The frame of `compare` by metric and anatomy."""
    anatomies = list(dict.fromkeys(scores["anatomy"]))
    frame = compare(scores, table1(scores, anatomies), pairs, settings)
    return frame.set_index(["metric", "anatomy"])


def comparisons_of(scores, anatomies):
    """The frame of `comparisons`."""
    return comparisons(compare(scores, table1(scores, anatomies), PROPOSED_PAIRS, SETTINGS), scores)


def test_the_difference_is_table_1s_to_the_last_digit():
    rng = np.random.default_rng(0)
    differences = {name: {f"{name}{n}": rng.normal(1, 1) for n in range(9)} for name in ("hand", "foot")}
    scores = scores_of(differences, {"hand3": 7, "foot0": 4}, others=("shared", "independent"))
    table = table1(scores, ["hand", "foot"])
    frame = comparisons(compare(scores, table, PROPOSED_PAIRS, SETTINGS), scores)
    values = cells(table)
    assert tuple(frame.columns) == COMPARISON_COLUMNS
    assert len(frame) == 2 * 2 * 3
    for one in frame.itertuples():
        keys = [(4, method, one.metric, one.anatomy) for method in ("proposed", one.other)]
        assert one.difference == round(values[keys[0]] - values[keys[1]], 6)
    assert set(frame["patients"][frame["anatomy"] == AVERAGE]) == {18}


def test_with_two_patients_the_interval_is_between_them():
    # Drawn with replacement: either patient alone with chance 1/4 each, and both. Three slices weigh three times.
    frame = compared(scores_of({"hand": {"a": 1.0, "b": 3.0}}, {"a": 3}))
    assert frame.loc[("psnr_db", "hand"), "difference"] == pytest.approx((3 * 1 + 3) / 4)
    assert frame.loc[("psnr_db", "hand"), ["low", "high"]].tolist() == pytest.approx([1, 3], abs=2e-6)
    assert frame.loc[("ssim_percent", "hand"), ["low", "high"]].tolist() == pytest.approx([0.5, 1.5], abs=2e-6)
    assert frame["few_patients"].all()


def test_the_interval_of_a_ratio_is_that_of_all_its_resamples():
    differences, slices = (0.2, 1.0, 2.5, -0.3), (1, 4, 2, 6)
    patients = dict(zip("abcd", differences, strict=True))
    frame = compared(
        scores_of({"hand": patients}, dict(zip("abcd", slices, strict=True))), StatisticsSettings(resamples=20000)
    )
    every = [
        sum(slices[n] * differences[n] for n in drawn) / sum(slices[n] for n in drawn)
        for drawn in itertools.product(range(4), repeat=4)
    ]
    expected = np.quantile(every, [0.025, 0.975])
    assert frame.loc[("psnr_db", "hand"), ["low", "high"]].tolist() == pytest.approx(expected, abs=0.02)


def test_the_average_draws_each_anatomys_patients_by_themselves():
    # Each end is reached in one of 16 draws, which is more than 2.5 %.
    frame = compared(scores_of({"hand": {"a": 1.0, "b": 3.0}, "foot": {"a": 10.0, "b": 20.0}}))
    ends = frame.loc[("psnr_db", AVERAGE), ["low", "high"]].tolist()
    assert ends == pytest.approx([(1 + 10) / 2, (3 + 20) / 2], abs=2e-6)
    assert frame.loc[("psnr_db", AVERAGE), "patients"] == 4


def test_seeds_are_averaged_and_drawn_too():
    # Every patient alike: all of the spread is the seeds'.
    patients = {f"p{n}": (1.0, 2.0) for n in range(8)}
    frame = compared(scores_of({"hand": patients}, seeds=(1, 2)))
    cell = frame.loc[("psnr_db", "hand")]
    assert (cell["difference"], cell["low"], cell["high"]) == pytest.approx((1.5, 1, 2), abs=2e-6)
    assert (cell["seeds"], cell["patients"]) == (2, 8)
    one = compared(scores_of({"hand": dict.fromkeys(patients, 1.0)}))
    assert one.loc[("psnr_db", "hand"), ["low", "high"]].tolist() == pytest.approx([1, 1], abs=2e-6)


def test_patients_and_seeds_are_crossed():
    # Of two patients and two seeds each draw takes some of both: the corners come with chance 1/16 each.
    frame = compared(scores_of({"hand": {"a": (0.0, 1.0), "b": (10.0, 13.0)}}, seeds=(1, 2)))
    assert frame.loc[("psnr_db", "hand"), ["low", "high"]].tolist() == pytest.approx([0, 13], abs=2e-6)


def test_one_patient_has_neither_interval_nor_p():
    scores = scores_of({"hand": {"a": 1.0}, "foot": {f"p{n}": 1.0 + n for n in range(8)}})
    frame = comparisons_of(scores, ["hand", "foot"]).set_index(["metric", "anatomy"])
    hand, foot, average = (frame.loc[("psnr_db", name)] for name in ("hand", "foot", AVERAGE))
    assert hand["difference"] == pytest.approx(1, abs=2e-6)
    assert hand[["low", "high", "p_value", "p_corrected"]].isna().all()
    assert math.isnan(average["low"])
    assert foot[["low", "high", "p_value", "p_corrected"]].notna().all()
    assert [part["few_patients"] for part in (hand, foot, average)] == [True, False, True]


def test_only_one_patient_and_several_seeds_have_no_interval():
    frame = compared(scores_of({"hand": {"a": (1.0, 2.0)}}, seeds=(1, 2)))
    assert frame[["low", "high"]].isna().all(axis=None)


def test_a_method_without_an_anatomy_has_no_row_there():
    scores = scores_of({"hand": {"a": 1.0, "b": 2.0}, "foot": {"a": 1.0, "b": 2.0}}, others=("shared", "independent"))
    scores = scores[(scores["method"] != "independent") | (scores["anatomy"] == "hand")]
    frame = comparisons_of(scores, ["hand", "foot"])
    assert list(frame["anatomy"][frame["other"] == "independent"]) == ["hand", "hand"]
    assert frame.notna().all(axis=None)


def test_a_method_without_one_of_the_seeds_has_no_interval():
    patients = {f"p{n}": (1.0 + n, 2.0 + n) for n in range(8)}
    scores = scores_of({"hand": patients, "foot": patients}, seeds=(1, 2), others=("shared", "independent"))
    lost = (scores["method"] == "shared") & (scores["anatomy"] == "hand") & (scores["seed"] == 2)
    scores = scores[~lost]
    frame = comparisons_of(scores, ["hand", "foot"]).set_index(["metric", "anatomy", "other"])
    for name in ("hand", AVERAGE):
        assert frame.loc[("psnr_db", name, "shared"), ["low", "high", "p_value"]].isna().all()
        assert frame.loc[("psnr_db", name, "independent")].notna().all()
    assert frame.loc[("psnr_db", "foot", "shared")].notna().all()


def test_the_interval_covers_what_it_should():
    # 200 experiments of 20 patients each as 200 anatomies: how often is the true difference inside?
    rng, truth = np.random.default_rng(11), 0.4
    experiments = {
        f"e{number}": {f"e{number}p{n}": truth + rng.standard_normal() for n in range(20)} for number in range(200)
    }
    frame = compared(scores_of(experiments), StatisticsSettings(resamples=1000)).loc["psnr_db"].drop(AVERAGE)
    inside = ((frame["low"] <= truth) & (truth <= frame["high"])).mean()
    assert 0.88 <= inside <= 0.99


def test_the_same_seed_gives_the_same_and_the_order_of_rows_counts_for_nothing():
    rng = np.random.default_rng(2)
    scores = scores_of({"hand": {f"p{n}": rng.normal() for n in range(9)}}, {"p3": 5})
    first = compared(scores)
    pd.testing.assert_frame_equal(first, compared(scores.sample(frac=1, random_state=1)), check_exact=True)
    other = compared(scores, StatisticsSettings(seed=1))
    assert first.loc[("psnr_db", "hand"), "low"] != other.loc[("psnr_db", "hand"), "low"]
    wider = compared(scores, StatisticsSettings(confidence=0.99))
    assert wider.loc[("psnr_db", "hand"), "low"] < first.loc[("psnr_db", "hand"), "low"]


def test_slices_and_patients_without_a_value_of_a_ratio():
    patients = {f"p{n}": 1.0 + n for n in range(8)}
    scores = scores_of({"hand": patients}, {"p0": 2, "p7": 3})
    # An empty slice has no ratio to it, whatever the method: it is in no mean and in no weight.
    empty = (scores["patient"] == "p0") & (scores["slice"] == 1)
    some = compared(scores.assign(psnr_db=scores["psnr_db"].mask(empty)))
    pd.testing.assert_frame_equal(some.loc[["psnr_db"]], compared(scores[~empty]).loc[["psnr_db"]])
    # Of a patient without any there is nothing to draw.
    none = scores.assign(psnr_db=scores["psnr_db"].mask(scores["patient"] == "p0"))
    frame = compared(none)
    expected = (sum(1 + n for n in range(1, 7)) + 3 * 8) / 9
    assert frame.loc[("psnr_db", "hand"), "difference"] == pytest.approx(expected, abs=1e-6)
    assert frame.loc["psnr_db", ["low", "high"]].isna().all(axis=None)
    assert frame.loc["ssim_percent", ["low", "high"]].notna().all(axis=None)
    tested = comparisons_of(none, ["hand"]).set_index("metric")
    assert tested.loc["psnr_db", "p_value"].isna().all()
    assert tested.loc["ssim_percent", "p_value"].notna().all()


def test_the_signed_rank_test_is_exact_for_few():
    # All of one sign: of 2^n signs, two are as extreme.
    for patients in (2, 5, 6, 10):
        p = signed_rank_p(np.arange(1, patients + 1) / 7)
        assert p == pytest.approx(2 / 2**patients)
        assert (p < 0.05) == (patients >= FEW_PATIENTS)
    assert signed_rank_p(np.zeros(5)) == 1
    # scipy's, which takes its own, slow way with ties.
    for tied in ([1.0, 2, 2, -2, 3], [1.0, 1, 1, 1, 1, -1, 0], [1.0] * 6):
        assert signed_rank_p(np.array(tied)) == pytest.approx(wilcoxon(tied).pvalue)
    many = np.array([1.0, -1, 2, 2, 3, 3, 0.5] * 4)
    assert signed_rank_p(many) == wilcoxon(many).pvalue
    assert math.isnan(signed_rank_p(np.ones(1)))


def test_the_test_is_of_patients_and_not_of_slices():
    patients = {"a": 1.0, "b": 2.0, "c": 3.0, "d": -0.5, "e": 4.0, "f": 5.0, "g": 6.0}
    scores = scores_of({"hand": patients}, dict.fromkeys(patients, 20))
    frame = comparisons_of(scores, ["hand"])
    # Ranks 1 to 7, of which the smallest is negative: sums of 0 and 1 in either tail, two of 128 signs each.
    assert frame["p_value"].tolist() == pytest.approx([4 / 128] * 4)
    assert frame["p_corrected"].tolist() == pytest.approx([4 * 4 / 128] * 4)


def test_holms_correction():
    # statsmodels 0.15.0: multipletests(p, method="holm").
    p_values = np.array([0.0005, 0.04, 0.03, 0.005, 0.6, 0.03, 0.9, 0.012])
    expected = [0.004, 0.15, 0.15, 0.035, 1.0, 0.15, 1.0, 0.072]
    assert holm(p_values) == pytest.approx(expected)
    spread = np.insert(p_values, [0, 4, 8], math.nan)
    assert holm(spread)[np.isfinite(spread)] == pytest.approx(expected)
    assert np.isnan(holm(spread)[np.isnan(spread)]).all()
    # Two hundred of one size: none of them is found unless it is below 0.05 / 200.
    assert holm(np.full(200, 0.001)) == pytest.approx(np.full(200, 0.2))


def test_a_whole_table_takes_seconds():
    methods = ("undersampled", "independent", "shared", "shared_all", "without_distillation")
    anatomies = {f"a{n}": {f"p{number}": 1.0 for number in range(50)} for n in range(5)}
    scores = scores_of(anatomies, others=methods)
    table = table1(scores, list(anatomies))
    start = time.process_time()
    frame = comparisons(compare(scores, table, PROPOSED_PAIRS, SETTINGS), scores)
    assert len(frame) == 2 * 5 * 6
    assert time.process_time() - start < 5

"""The classes of metrics, how they are found, and the settings that choose among them."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.ndimage import gaussian_laplace
from scipy.signal import convolve2d

from unimri.core.errors import UnimriError
from unimri.core.settings import parse_settings
from unimri.metrics.base import (
    CONVENTIONS,
    Metric,
    MetricSettings,
    metric_modules,
    metric_of,
    metrics,
    scored_metrics,
    table_metrics,
)
from unimri.metrics.hfen import HFEN, filtered
from unimri.metrics.score import IDENTITY, read_scores, score_slices, score_volume, slice_columns, write_scores

SETTINGS = MetricSettings()
WITH_HFEN = MetricSettings(table=["psnr", "ssim", "hfen"])


@pytest.fixture
def pair():
    rng = np.random.default_rng(3)
    truth = rng.random((3, 40, 32)).astype(np.float32)
    return truth, (truth + 0.05 * rng.standard_normal(truth.shape)).astype(np.float32)


def test_each_metric_says_what_it_is():
    found = metrics()
    assert list(found) == ["hfen", "nmse", "psnr", "ssim"]
    for name, metric in found.items():
        assert isinstance(metric, Metric)
        assert metric.name == name
        assert type(metric_of(metric.column)) is type(metric)
        assert all((metric.title, metric.convention, metric.reference))
        assert metric.lower_is_better == (name in ("hfen", "nmse"))
    assert [metric.heading for metric in found.values()] == ["HFEN", "NMSE", "PSNR (dB)", "SSIM (%)"]
    with pytest.raises(UnimriError, match=r"metric 'mse' is unknown; allowed: hfen, nmse, psnr_db, ssim_percent"):
        metric_of("mse")


def test_a_gain_is_above_zero_where_the_first_is_better():
    assert metrics()["psnr"].gain(40 - 39) > 0
    assert metrics()["nmse"].gain(0.01 - 0.02) > 0
    assert math.isnan(metrics()["nmse"].gain(math.nan))


def test_table_1_has_psnr_and_ssim_unless_the_settings_say_otherwise():
    assert [metric.name for metric in table_metrics(SETTINGS)] == ["psnr", "ssim"]
    assert [metric.name for metric in scored_metrics(SETTINGS)] == ["psnr", "ssim", "nmse"]
    assert [metric.name for metric in table_metrics(MetricSettings(table=["nmse", "psnr"]))] == ["nmse", "psnr"]
    assert [metric.name for metric in scored_metrics(MetricSettings(table=["hfen"]))] == [
        "hfen",
        "nmse",
        "psnr",
        "ssim",
    ]
    assert metric_modules(WITH_HFEN)[2] == "unimri.metrics.hfen"
    # What records the settings was written before there was the key.
    assert "table" not in SETTINGS.model_dump()
    assert parse_settings(MetricSettings, WITH_HFEN.model_dump_json(), "--settings") == WITH_HFEN


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (["psnr", "hfem"], r"config: table is .*: unknown metric\(s\): hfem; allowed: hfen, nmse, psnr, ssim"),
        (["psnr", "psnr"], "names a metric twice"),
        ([], "at least 1 item"),
    ],
)
def test_wrong_names_are_refused_with_those_that_are_allowed(table, message):
    with pytest.raises(UnimriError, match=message):
        parse_settings(MetricSettings, {"table": table}, "config")


def explicit_kernel():
    """MATLAB's fspecial('log', 15, 1.5), from its formula."""
    kernel = np.zeros((15, 15))
    for y, x in product(range(-7, 8), repeat=2):
        kernel[y + 7, x + 7] = np.exp(-(x * x + y * y) / (2 * 1.5**2))
    kernel /= kernel.sum()
    for y, x in product(range(-7, 8), repeat=2):
        kernel[y + 7, x + 7] *= (x * x + y * y - 2 * 1.5**2) / 1.5**4
    return kernel - kernel.mean()


def test_hfen_is_the_norm_of_the_filtered_error_over_that_of_the_filtered_truth(pair):
    truth, images = (volume.astype(np.float64) for volume in pair)
    errors = [convolve2d(one - other, explicit_kernel(), mode="same") for one, other in zip(truth, images, strict=True)]
    edges = [convolve2d(one, explicit_kernel(), mode="same") for one in truth]
    of_slices = [np.linalg.norm(error) / np.linalg.norm(edge) for error, edge in zip(errors, edges, strict=True)]
    assert [HFEN().slice(one, other, SETTINGS) for one, other in zip(*pair, strict=True)] == pytest.approx(of_slices)
    assert HFEN().volume(*pair, SETTINGS) == pytest.approx(np.linalg.norm(errors) / np.linalg.norm(edges))


def test_the_filter_is_scipys_laplacian_of_a_gaussian_and_does_not_answer_to_a_constant(pair):
    inner = slice(7, -7)
    found = filtered(pair[0][0])[inner, inner]
    expected = gaussian_laplace(pair[0][0].astype(np.float64), 1.5, truncate=7 / 1.5)[inner, inner]
    # Up to the mean of the kernel, which is taken off.
    assert found == pytest.approx(expected, abs=1e-3 * np.abs(expected).max())
    assert filtered(np.ones((32, 32)))[inner, inner] == pytest.approx(0, abs=1e-15)


def test_hfen_sees_blurred_edges_more_than_a_wrong_scale(pair):
    truth = np.zeros((40, 40))
    truth[10:30, 10:30] = 1
    assert HFEN().slice(truth, truth, SETTINGS) == 0
    assert HFEN().slice(truth, 0.9 * truth, SETTINGS) == pytest.approx(0.1)
    assert HFEN().slice(7 * truth, 7 * 0.9 * truth, SETTINGS) == pytest.approx(0.1)
    blurred = truth.copy()
    blurred[9:11, 10:30] = 0.5
    assert HFEN().slice(truth, blurred, SETTINGS) > 0.1
    assert math.isnan(HFEN().slice(np.zeros((40, 40)), truth, SETTINGS))


def test_what_the_table_asks_for_is_scored_written_and_read(pair, tmp_path):
    truth, images = pair
    truth[1] = 0
    rows = score_slices(truth, images, WITH_HFEN)
    columns = ["psnr_db", "ssim_percent", "hfen", "nmse", "psnr_slice_max_db", "ssim_slice_max_percent"]
    assert slice_columns(WITH_HFEN) == columns
    assert list(rows[0]) == ["slice", *columns]
    # What is asked for besides changes nothing else.
    for row, fewer in zip(rows, score_slices(truth, images, SETTINGS), strict=True):
        assert {name: row[name] for name in fewer} == pytest.approx(fewer, abs=0, nan_ok=True)
    assert [math.isnan(row["hfen"]) for row in rows] == [False, True, False]
    assert list(score_volume(truth, images, WITH_HFEN)) == ["hfen", "nmse", "psnr_db", "ssim_percent"]
    who = dict(zip(IDENTITY, ("as trained", "m", 4, 7, "shared", "a", "p", "v"), strict=True))
    write_scores(tmp_path / "a.csv", [who | row for row in rows], WITH_HFEN)
    frame = read_scores([tmp_path / "a.csv"], WITH_HFEN)
    assert frame["hfen"].tolist() == pytest.approx([row["hfen"] for row in rows], rel=1e-5, nan_ok=True)
    assert "hfen" not in read_scores([tmp_path / "a.csv"], SETTINGS)
    write_scores(tmp_path / "b.csv", [who | row for row in rows], SETTINGS)
    with pytest.raises(UnimriError, match=r"b\.csv: lacks the column\(s\) hfen; score again"):
        read_scores([tmp_path / "b.csv"], WITH_HFEN)


def test_an_added_module_is_a_metric_in_every_convention(pair, add_metric):
    truth, images = pair
    add_metric()
    assert list(metrics()) == ["hfen", "mae", "nmse", "psnr", "ssim"]
    assert [metric.name for metric in table_metrics(SETTINGS)] == ["psnr", "ssim", "mae"]
    expected = 1000 * np.abs(truth - images).mean(axis=(1, 2))
    rows = score_slices(truth, images, SETTINGS)
    assert [row["mae_permille"] for row in rows] == pytest.approx(expected)
    assert [row["mae_slice_max_permille"] for row in rows] == pytest.approx(expected / truth.max(axis=(1, 2)))
    # Unless it says otherwise, a volume's is the mean of its slices'.
    assert score_volume(truth, images, SETTINGS)["mae_permille"] == pytest.approx(expected.mean() / truth.max())
    assert [metrics()["mae"].column_in(convention) for convention in CONVENTIONS] == [
        "mae_permille",
        "mae_slice_max_permille",
        "mae_permille",
    ]


def test_a_module_without_a_metric_of_its_name_is_refused(add_metric):
    add_metric("mad")
    with pytest.raises(UnimriError, match=r"mad\.py: does not hold one metric named 'mad'"):
        metrics()

import math
from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.ndimage import uniform_filter
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity

from unimri.core.errors import UnimriError
from unimri.metrics.base import PSNR_CEILING_DB, MetricSettings
from unimri.metrics.score import CHANGE, IDENTITY, read_scores, score_slice, score_slices, slice_columns, write_scores

SETTINGS = MetricSettings()
COLUMNS = (*IDENTITY, "slice", *slice_columns(SETTINGS), CHANGE)
HEADER = ",".join(COLUMNS) + "\n"
SliceScore = namedtuple("SliceScore", COLUMNS)


def score_slice_by_itself(reference, reconstruction, settings):
    """NMSE, and PSNR and SSIM by the slice's own maximum."""
    (row,) = score_slices(reference[None], reconstruction[None], settings)
    return row["nmse"], row["psnr_slice_max_db"], row["ssim_slice_max_percent"]


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    reference = rng.random((32, 32), dtype=np.float32)
    return reference, (reference + 0.05 * rng.standard_normal((32, 32))).astype(np.float32)


def uniform_ssim(x, y, window, data_range):
    """SSIM of Wang et al. 2004, written out: uniform window, unbiased covariances, border left out."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = uniform_filter(x, window), uniform_filter(y, window)
    unbiased = window**2 / (window**2 - 1)
    var_x = unbiased * (uniform_filter(x * x, window) - mean_x**2)
    var_y = unbiased * (uniform_filter(y * y, window) - mean_y**2)
    cov = unbiased * (uniform_filter(x * y, window) - mean_x * mean_y)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    ssim = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    ssim /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    border = window // 2
    return ssim[border:-border, border:-border].mean()


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_psnr_is_the_closed_formula(pair, data_range):
    reference, reconstruction = (data_range * image.astype(np.float64) for image in pair)
    score = score_slice(reference, reconstruction, MetricSettings(data_range=data_range))
    mse = np.mean((reference - reconstruction) ** 2)
    assert score.psnr_db == pytest.approx(10 * np.log10(data_range**2 / mse), abs=1e-9)


@pytest.mark.parametrize("window", [3, 7, 11])
def test_ssim_is_the_uniform_window_formula(pair, window):
    score = score_slice(*pair, MetricSettings(ssim_window=window))
    assert score.ssim_percent == pytest.approx(100 * uniform_ssim(*pair, window, 1.0), abs=1e-9)


def test_ssim_by_default_is_scikit_images_default(pair):
    reference, reconstruction = (image.astype(np.float64) for image in pair)
    expected = structural_similarity(reference, reconstruction, data_range=1.0)
    assert score_slice(*pair, SETTINGS).ssim_percent == pytest.approx(100 * expected, abs=1e-9)


def test_gaussian_ssim_is_that_of_wang(pair):
    reference, reconstruction = (image.astype(np.float64) for image in pair)
    expected = structural_similarity(
        reference,
        reconstruction,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    score = score_slice(*pair, MetricSettings(gaussian=True))
    assert score.ssim_percent == pytest.approx(100 * expected, abs=1e-9)


def test_identical_images_score_the_ceiling_and_not_infinity(pair):
    score = score_slice(pair[0], pair[0], SETTINGS)
    assert score.psnr_db == PSNR_CEILING_DB == pytest.approx(144.49, abs=0.01)
    assert score.ssim_percent == pytest.approx(100.0)


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_a_slice_by_itself_has_its_own_maximum_for_range(pair, data_range):
    reference, reconstruction = (0.3 * image.astype(np.float64) for image in pair)
    nmse, psnr, ssim = score_slice_by_itself(reference, reconstruction, MetricSettings(data_range=data_range))
    assert nmse == pytest.approx(normalized_root_mse(reference, reconstruction) ** 2, rel=1e-12)
    largest = reference.max()
    assert psnr == pytest.approx(peak_signal_noise_ratio(reference, reconstruction, data_range=largest), abs=1e-9)
    expected = structural_similarity(reference, reconstruction, data_range=largest)
    assert ssim == pytest.approx(100 * expected, abs=1e-9)


def test_a_slice_by_itself_scores_alike_on_any_scale(pair):
    scores = [
        score_slice_by_itself(*(scale * image.astype(np.float64) for image in pair), SETTINGS) for scale in (1, 40)
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-12)


def test_a_slice_that_is_all_zero_has_no_scores_of_its_own(pair):
    empty = np.zeros((32, 32), dtype=np.float32)
    for reconstruction in (empty, pair[1]):
        assert all(math.isnan(score) for score in score_slice_by_itself(empty, reconstruction, SETTINGS))
        assert np.isfinite(score_slice(empty, reconstruction, SETTINGS)).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_values_that_are_not_finite_are_refused(pair, value, which):
    pair[which][3, 4] = value
    with pytest.raises(UnimriError, match=("reference", "reconstruction")[which]):
        score_slice(*pair, SETTINGS)


def test_a_window_larger_than_the_slice_is_refused():
    image = np.zeros((5, 9), dtype=np.float32)
    with pytest.raises(UnimriError, match="7 pixels does not fit a slice of 5 x 9"):
        score_slice(image, image, SETTINGS)


def test_shapes_that_differ_are_refused(pair):
    with pytest.raises(ValueError, match="same dimensions"):
        score_slice(pair[0], pair[1][:, :-1], SETTINGS)


@pytest.mark.parametrize("wrong", [{"ssim_window": 6}, {"data_range": 0}, {"window": 7}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        MetricSettings(**wrong)


# A volume named 001 and an anatomy named NA are what a CSV reader makes a number and a missing value of.
ROWS = [
    SliceScore(
        *("as trained", "1d", 4, 7, "proposed", "NA", "007", "001", 0),
        *(40.123456789, 98.5, 0.000123456789, 39.0, 98.0, 0.0000012345678),
    ),
    SliceScore(
        *("noise, 0.01", "1d", 4.5, 7, "shared", "brain, left", "1e3", "nan", 12),
        *(1 / 3, 100.0, math.nan, math.nan, math.nan, math.nan),
    ),
]


def test_scores_come_back_as_written(tmp_path):
    write_scores(tmp_path / "a.csv", ROWS[:1], SETTINGS)
    write_scores(tmp_path / "b.csv", ROWS[1:], SETTINGS)
    frame = read_scores([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert tuple(frame.columns) == COLUMNS
    for row, expected in zip(frame.itertuples(index=False), ROWS, strict=True):
        assert row[:9] == expected[:9]
        assert row[9:] == pytest.approx(expected[9:], abs=5e-7, nan_ok=True)
    assert frame["nmse"][0] == pytest.approx(0.000123456789, rel=5e-6)


def test_equal_scores_are_equal_bytes(tmp_path):
    for name in ("a.csv", "b.csv"):
        write_scores(tmp_path / name, iter(ROWS), SETTINGS)
    content = (tmp_path / "a.csv").read_bytes()
    assert content == (tmp_path / "b.csv").read_bytes()
    assert content.decode().splitlines() == [
        "condition,mask,acceleration,seed,method,anatomy,patient,volume,slice,psnr_db,ssim_percent,"
        "nmse,psnr_slice_max_db,ssim_slice_max_percent,largest_pixel_change",
        "as trained,1d,4,7,proposed,NA,007,001,0,40.123457,98.500000,0.000123457,39.000000,98.000000,1.23457e-06",
        '"noise, 0.01",1d,4.5,7,shared,"brain, left",1e3,nan,12,0.333333,100.000000,,,,',
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty, not even a header"),
        (HEADER, "no rows"),
        (
            "acceleration,method,anatomy,volume,psnr_db\n4,shared,a,b,30\n",
            "lacks the column.*condition, mask, seed, patient, slice, ssim_percent, nmse",
        ),
        (HEADER + "c,m,4,7,shared,a,p,v,0,30,90,,,,\nc,m,4,7,shared,a,p,v,1,nan,90,,,,\n", "line 3, column psnr_db"),
        (HEADER + "c,m,4,7,shared,a,p,v,0,30,,,,,\n", "line 2, column ssim_percent"),
        (HEADER + "c,m,4,7,shared,a,p,v,0,inf,90,,,,\n", "line 2, column psnr_db"),
        (HEADER + "c,m,4,7,shared,a,p,v,0,30,90,nan,,,\n", "line 2, column nmse"),
    ],
)
def test_faulty_files_are_refused_by_name(tmp_path, content, message):
    path = tmp_path / "faulty.csv"
    path.write_text(content)
    with pytest.raises(UnimriError, match=rf"faulty\.csv: .*{message}"):
        read_scores([path])


def test_a_missing_file_and_no_file_are_refused(tmp_path):
    with pytest.raises(UnimriError, match=r"absent\.csv"):
        read_scores([tmp_path / "absent.csv"])
    with pytest.raises(UnimriError, match="no metrics files"):
        read_scores([])


def test_further_columns_are_left_out(tmp_path):
    write_scores(tmp_path / "a.csv", ROWS, SETTINGS)
    pd.read_csv(tmp_path / "a.csv", dtype=str).assign(extra="x").to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "a.csv.sha256").unlink()
    assert tuple(read_scores([tmp_path / "a.csv"]).columns) == COLUMNS

import math
from collections import namedtuple

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from unimri.core.errors import UnimriError
from unimri.metrics import score
from unimri.metrics.base import PSNR_CEILING_DB, MetricSettings
from unimri.metrics.score import IDENTITY, read_volume_scores, volume_columns, volumes_file, write_volume_scores

SETTINGS = MetricSettings()
VOLUME_COLUMNS = (*IDENTITY, *volume_columns(SETTINGS))
VolumeScore = namedtuple("VolumeScore", VOLUME_COLUMNS)


def score_volume(reference, reconstruction):
    """NMSE, PSNR and SSIM."""
    # The settings of slices count for nothing.
    found = score.score_volume(reference, reconstruction, MetricSettings(data_range=255, ssim_window=11))
    assert list(found) == ["nmse", "psnr_db", "ssim_percent"]
    return tuple(found.values())


@pytest.fixture
def pair():
    rng = np.random.default_rng(1)
    # Slices of different brightness, none of which reaches 1: a slice's own range, or a fixed one, scores otherwise.
    reference = (rng.random((4, 24, 20)) * np.array([0.2, 0.7, 0.05, 0.4])[:, None, None]).astype(np.float32)
    return reference, reference + (0.02 * rng.standard_normal((4, 24, 20))).astype(np.float32)


def test_a_volume_scores_as_in_fastmri(pair):
    # facebookresearch/fastMRI, fastmri/evaluate.py: nmse, psnr and ssim, in float64.
    gt, pred = (volume.astype(np.float64) for volume in pair)
    nmse = np.linalg.norm(gt - pred) ** 2 / np.linalg.norm(gt) ** 2
    psnr = peak_signal_noise_ratio(gt, pred, data_range=gt.max())
    ssim = sum(structural_similarity(one, other, data_range=gt.max()) for one, other in zip(gt, pred, strict=True)) / 4
    assert score_volume(*pair) == pytest.approx((nmse, psnr, 100 * ssim), rel=1e-12)


def test_identical_volumes_score_the_ceiling(pair):
    assert score_volume(pair[0], pair[0]) == pytest.approx((0, PSNR_CEILING_DB, 100))


def test_a_volume_that_is_all_zero_has_no_scores(pair):
    assert all(math.isnan(score) for score in score_volume(np.zeros_like(pair[0]), pair[1]))


def test_faulty_volumes_are_refused(pair):
    with pytest.raises(ValueError, match="shorter"):
        score_volume(pair[0], pair[1][:3])
    pair[1][2, 3, 4] = np.nan
    with pytest.raises(UnimriError, match="reconstruction holds values that are not finite"):
        score_volume(*pair)


def test_scores_come_back_as_written(tmp_path):
    rows = [
        VolumeScore("as trained", "m", 4, 7, "shared", "brain", "007", "001", 0.000012345678, 30.5, 90.0),
        VolumeScore("as trained", "m", 4, 7, "shared", "brain", "007", "NA", math.nan, math.nan, math.nan),
    ]
    path = volumes_file(tmp_path / "brain.csv")
    assert path.name == "brain.volumes.csv"
    write_volume_scores(path, rows, SETTINGS)
    frame = read_volume_scores([path])
    assert tuple(frame.columns) == VOLUME_COLUMNS
    for found, expected in zip(frame.itertuples(index=False), rows, strict=True):
        assert found[:8] == expected[:8]
        assert found[8:] == pytest.approx(expected[8:], rel=5e-6, nan_ok=True)

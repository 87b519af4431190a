import math

import pandas as pd
import pytest
from scores import SliceScore, VolumeScore

from unimri.core.text import write_csv
from unimri.evaluation.averages import conventions

SLICES = pd.DataFrame(
    [
        SliceScore("as trained", "m", 4, 7, "shared", "hand", "p", "v", 0, 30, 90, 0.001, 20, 80),
        SliceScore("as trained", "m", 4, 7, "shared", "hand", "p", "v", 1, 50, 99, math.nan, math.nan, math.nan),
        SliceScore("as trained", "m", 4, 7, "shared", "hand", "p", "w", 0, 40, 96, 0.000003, 22, 84),
        SliceScore("as trained", "m", 4, 7, "shared", "foot", "p", "x", 0, 10, 50, 0.2, 8, 40),
    ]
)
VOLUMES = pd.DataFrame(
    [
        VolumeScore("as trained", "m", 4, 7, "shared", "hand", "p", "v", 0.01, 31, 91),
        VolumeScore("as trained", "m", 4, 7, "shared", "hand", "p", "w", 0.03, 33, 93),
        VolumeScore("as trained", "m", 4, 7, "shared", "foot", "p", "x", 0.5, 11, 51),
    ]
)


def test_each_convention_has_its_own_means():
    frame = conventions(SLICES, VOLUMES, ["hand", "foot"])
    assert list(frame.columns) == ["convention", "acceleration", "method", "metric", "hand", "foot", "average"]
    found = {(row.convention, row.metric): (row.hand, row.foot, row.average) for row in frame.itertuples()}
    assert found == {
        ("unit_range", "psnr_db"): (40, 10, 25),
        ("unit_range", "ssim_percent"): (95, 50, 72.5),
        # Without the slice that is all zero.
        ("slice_maximum", "psnr_db"): (21, 8, 14.5),
        ("slice_maximum", "ssim_percent"): (82, 40, 61),
        ("slice_maximum", "nmse"): pytest.approx((0.0005015, 0.2, 0.10025075)),
        # A volume counts once, however many slices it has.
        ("volume_maximum", "psnr_db"): (32, 11, 21.5),
        ("volume_maximum", "ssim_percent"): (92, 51, 71.5),
        ("volume_maximum", "nmse"): pytest.approx((0.02, 0.5, 0.26)),
    }


def test_small_errors_keep_their_digits(tmp_path):
    write_csv(tmp_path / "a.csv", conventions(SLICES, VOLUMES, ["hand", "foot"]))
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert "slice_maximum,4,shared,nmse,0.0005015,0.2,0.100251" in lines
    missing = SLICES[SLICES["slice"] == 1].assign(anatomy="hand")
    write_csv(tmp_path / "b.csv", conventions(missing, VOLUMES, ["hand", "foot"]))
    assert "slice_maximum,4,shared,nmse,,," in (tmp_path / "b.csv").read_text().splitlines()

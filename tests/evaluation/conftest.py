import pandas as pd
import pytest
from scores import COLUMNS, row


def scores_of(values, slices=1):
    """Scores from {(acceleration, method, anatomy): (psnr, ssim)}, the same in each of `slices` slices."""
    rows = [
        row(float(acceleration), 7, method, anatomy, "volume", number, float(psnr), float(ssim))
        for (acceleration, method, anatomy), (psnr, ssim) in values.items()
        for number in range(slices)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


@pytest.fixture
def make_scores():
    return scores_of

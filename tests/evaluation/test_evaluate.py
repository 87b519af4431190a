import numpy as np
import pandas as pd
import pytest
from skimage.metrics import peak_signal_noise_ratio

from unimri.data.shard import ShardContent, SourceFile, write_manifest, writing_shard
from unimri.data.store import PreparedData
from unimri.evaluation.run import evaluate
from unimri.metrics.score import read_scores, read_volume_scores, volumes_file
from unimri.metrics.settings import MetricSettings
from unimri.physics.masks import Masks, save_masks

SIZE = 16
# Volume, patient, slices: more slices than a batch, and a patient with two volumes.
VOLUMES = [("aa", "p1", 11), ("bb", "p2", 1), ("cc", "p1", 3)]


@pytest.fixture
def evaluated(tmp_path):
    """A store whose test split has `VOLUMES`, evaluated by zero filling: the store's folder, mask and CSV."""
    rng = np.random.default_rng(0)
    with writing_shard(tmp_path / "shard-000.h5", "hip", SIZE) as shard:
        for volume, patient, slices in VOLUMES:
            content = rng.random((slices, SIZE, SIZE), dtype=np.float32)
            content[0] *= slices > 1
            source = SourceFile(bytes=10, sha256="0" * 64)
            shard.add(volume, patient, None, content, (9, 7), 1.0, [source], "0" * 64)
    content = ShardContent.load(tmp_path / "shard-000.json")
    write_manifest({"shard-000.h5": content}, dict.fromkeys(("p1", "p2"), "test"), tmp_path)
    kept = np.zeros((1, SIZE), dtype=bool)
    kept[0, 5:11] = True
    save_masks(Masks(kept, 2.5, "columns", "centre"), tmp_path / "mask.npz")
    output = tmp_path / "scores" / "hip.csv"
    evaluate("undersampled", 3, "hip", tmp_path, tmp_path / "mask.npz", None, MetricSettings(), output)
    return tmp_path, kept[0], output


def zero_filled(slices, kept):
    """Centred k-space by numpy, lines of the last axis kept."""
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(slices, axes=(-2, -1))), axes=(-2, -1))
    return np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace * kept, axes=(-2, -1))), axes=(-2, -1)))


def test_each_slice_and_each_volume_has_its_row_with_its_patient(evaluated):
    folder, kept, output = evaluated
    scores, wholes = read_scores([output]), read_volume_scores([volumes_file(output)])
    places = [(patient, volume, number) for volume, patient, slices in VOLUMES for number in range(slices)]
    assert list(scores[["patient", "volume", "slice"]].itertuples(index=False, name=None)) == places
    assert list(wholes[["patient", "volume"]].itertuples(index=False, name=None)) == [
        (patient, volume) for volume, patient, _ in VOLUMES
    ]
    for frame in (scores, wholes):
        expected = {"mask": "centre", "acceleration": 2.5, "seed": 3, "method": "undersampled", "anatomy": "hip"}
        assert frame[list(expected)].drop_duplicates().to_dict("records") == [expected]
    test = PreparedData(folder).split("test")
    truth = test.batch(np.arange(len(test))).astype(np.float64)
    image = zero_filled(truth, kept)
    shown = [number for number in range(len(truth)) if truth[number].any()]
    expected = [peak_signal_noise_ratio(truth[number], image[number], data_range=1) for number in shown]
    assert scores["psnr_db"][shown].tolist() == pytest.approx(expected, abs=1e-4)
    # The one slice of bb is zero everywhere.
    assert (
        scores.loc[scores["volume"] == "bb", ["nmse", "psnr_slice_max_db", "ssim_slice_max_percent"]]
        .isna()
        .all(axis=None)
    )
    assert scores.loc[scores["volume"] != "bb"].notna().all(axis=None)
    assert wholes.loc[wholes["volume"] == "bb", ["nmse", "psnr_db", "ssim_percent"]].isna().all(axis=None)
    for whole, part in zip(wholes.itertuples(), (slice(0, 11), slice(11, 12), slice(12, 15)), strict=True):
        if whole.volume != "bb":
            nmse = np.linalg.norm(truth[part] - image[part]) ** 2 / np.linalg.norm(truth[part]) ** 2
            psnr = peak_signal_noise_ratio(truth[part], image[part], data_range=truth[part].max())
            assert (whole.nmse, whole.psnr_db) == pytest.approx((nmse, psnr), rel=1e-4)


def test_the_same_again_is_the_same_bytes(evaluated):
    folder, _, output = evaluated
    again = folder / "again.csv"
    evaluate("undersampled", 3, "hip", folder, folder / "mask.npz", None, MetricSettings(), again)
    assert pd.read_csv(again).equals(pd.read_csv(output))
    for first, second in ((output, again), (volumes_file(output), volumes_file(again))):
        assert first.read_bytes() == second.read_bytes()

import numpy as np
import pytest

from unimri.data.shard import ShardContent, SourceFile, write_manifest, writing_shard
from unimri.data.store import PreparedData
from unimri.evaluation.data_report import counts, histogram, left_out, write_data_report


@pytest.fixture
def folder(tmp_path):
    """Six volumes of four patients, and two that were left out for the same reason."""
    splits = dict(zip("abcd", ("train", "train", "validation", "test"), strict=True))
    with writing_shard(tmp_path / "data/shard-000.h5", "knee", 8) as shard:
        for number, patient in enumerate("aabbcd"):
            slices = np.full((number + 1, 8, 8), 0.26 if number % 2 else 0.76, np.float32)
            shard.add(f"v{number}", patient, None, slices, (8, 8), 1.0, [SourceFile(bytes=1, sha256="0")], "0")
        shard.skip("v7", "", "has NaN or infinite values")
        shard.skip("v8", "", "has NaN or infinite values")
    write_manifest({"shard-000.h5": ShardContent.load(tmp_path / "data/shard-000.json")}, splits, tmp_path / "data")
    return tmp_path / "data"


def test_counts_are_of_each_split(folder):
    table = counts({"knee": PreparedData(folder)})
    assert table.to_numpy().tolist() == [
        ["knee", "train", 2, 4, 10],
        ["knee", "validation", 1, 1, 5],
        ["knee", "test", 1, 1, 6],
    ]
    assert left_out({"knee": PreparedData(folder)}).to_numpy().tolist() == [["knee", "has NaN or infinite values", 2]]


def test_the_histogram_is_of_the_training_pixels(folder):
    fractions = histogram(PreparedData(folder))
    assert fractions.sum() == pytest.approx(1)
    assert (fractions[16], fractions[48]) == (pytest.approx(6 / 10), pytest.approx(4 / 10))


def test_the_report_stands_beside_the_papers_counts_and_says_what_is_simulated(folder, tmp_path):
    write_data_report({"knee": folder}, {"knee": "simulated"}, tmp_path, tmp_path)
    page = (tmp_path / "data.md").read_text()
    assert "| knee      | simulated | 2 / 4 / 10" in page
    assert "274,079" in page
    assert "has NaN or infinite values" in page
    assert (tmp_path / "histograms.png").stat().st_size > 1000
    assert (tmp_path / "knee.png").stat().st_size > 1000
    assert (tmp_path / "data.csv").read_text().startswith("anatomy,split,patients,volumes,slices\nknee,train,2,4,10\n")

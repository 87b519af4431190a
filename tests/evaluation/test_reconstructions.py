import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from unimri.core.errors import UnimriError
from unimri.core.settings import parse_settings
from unimri.data.shard import ShardContent, SourceFile, write_manifest, writing_shard
from unimri.data.store import PreparedData
from unimri.evaluation.reconstruct import reconstruct_test_split
from unimri.evaluation.reconstructions import Kept, Reconstruction, write_list
from unimri.evaluation.scores import score
from unimri.metrics.base import MetricSettings
from unimri.metrics.score import AS_TRAINED, read_scores, read_volume_scores, volumes_file
from unimri.physics.masks import Masks, load_masks, save_masks
from unimri.physics.retrospective import reconstruct_slices

SIZE = 16
# Volume, patient, slices: more slices than a batch, and a patient with two volumes.
VOLUMES = [("aa", "p1", 11), ("bb", "p2", 1), ("cc", "p1", 3)]
WANTED = [Reconstruction(method="undersampled", seed=3, condition=AS_TRAINED, model=None)]


@pytest.fixture
def evaluated(tmp_path):
    """A store whose test split has `VOLUMES`, reconstructed by zero filling and scored: its folder, mask and CSV."""
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
    reconstruct_test_split("hip", tmp_path, tmp_path / "mask.npz", WANTED, tmp_path / "kept.h5")
    score(tmp_path / "kept.h5", tmp_path, MetricSettings(), output)
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
        expected = {
            "condition": AS_TRAINED,
            "mask": "centre",
            "acceleration": 2.5,
            "seed": 3,
            "method": "undersampled",
            "anatomy": "hip",
        }
        assert frame[list(expected)].drop_duplicates().to_dict("records") == [expected]
    test = PreparedData(folder).split("test")
    truth = test.batch(np.arange(len(test))).astype(np.float64)
    image = zero_filled(truth, kept)
    shown = [number for number in range(len(truth)) if truth[number].any()]
    expected = [peak_signal_noise_ratio(truth[number], image[number], data_range=1) for number in shown]
    assert scores["psnr_db"][shown].tolist() == pytest.approx(expected, abs=1e-4)
    # The one slice of bb is zero everywhere.
    own = ["nmse", "psnr_slice_max_db", "ssim_slice_max_percent"]
    assert scores.loc[scores["volume"] == "bb", own].isna().all(axis=None)
    assert scores.loc[scores["volume"] != "bb", ["psnr_db", "ssim_percent", *own]].notna().all(axis=None)
    assert wholes.loc[wholes["volume"] == "bb", ["nmse", "psnr_db", "ssim_percent"]].isna().all(axis=None)
    for whole, part in zip(wholes.itertuples(), (slice(0, 11), slice(11, 12), slice(12, 15)), strict=True):
        if whole.volume != "bb":
            nmse = np.linalg.norm(truth[part] - image[part]) ** 2 / np.linalg.norm(truth[part]) ** 2
            psnr = peak_signal_noise_ratio(truth[part], image[part], data_range=truth[part].max())
            assert (whole.nmse, whole.psnr_db) == pytest.approx((nmse, psnr), rel=1e-4)


def test_the_same_again_is_the_same_bytes(evaluated):
    folder, _, output = evaluated
    again = folder / "again.csv"
    reconstruct_test_split("hip", folder, folder / "mask.npz", WANTED, folder / "again.h5")
    score(folder / "again.h5", folder, MetricSettings(), again)
    assert (folder / "kept.h5").read_bytes() == (folder / "again.h5").read_bytes()
    for first, second in ((output, again), (volumes_file(output), volumes_file(again))):
        assert first.read_bytes() == second.read_bytes()


def test_what_is_the_same_is_kept_once_and_a_file_says_what_it_is_made_from(evaluated):
    folder, *_ = evaluated
    further = {"condition": "some", "slices": 2}
    wanted = [*WANTED, WANTED[0].model_copy(update={"seed": 4}), WANTED[0].model_copy(update=further)]
    assert parse_settings(list[Reconstruction], write_list(wanted), "a test") == wanted
    reconstruct_test_split("hip", folder, folder / "mask.npz", wanted, folder / "more.h5")
    with h5py.File(folder / "more.h5", locking=False) as file:
        assert {name: images.shape for name, images in file["images"].items()} == {
            "0": (15, SIZE, SIZE),
            "1": (2, SIZE, SIZE),
        }
        about = json.loads(file["about"][()].tobytes())
    assert about["images"] == [0, 0, 1]
    assert set(about["inputs"]) == {"manifest", str(folder / "mask.npz")}
    score(folder / "more.h5", folder, MetricSettings(), folder / "more.csv")
    scores, wholes = read_scores([folder / "more.csv"]), read_volume_scores([volumes_file(folder / "more.csv")])
    assert scores.groupby(["condition", "seed"], sort=False).size().to_dict() == {
        (AS_TRAINED, 3): 15,
        (AS_TRAINED, 4): 15,
        ("some", 3): 2,
    }
    # A volume of which some slices are missing has no score.
    assert wholes.groupby(["condition", "seed"], sort=False).size().to_dict() == {
        (AS_TRAINED, 3): 3,
        (AS_TRAINED, 4): 3,
    }
    some, all_ = (scores[(scores["condition"] == name) & (scores["seed"] == 3)] for name in ("some", AS_TRAINED))
    assert some[["volume", "slice"]].to_numpy().tolist() == [["aa", 0], ["cc", 2]]
    assert some["psnr_db"].tolist() == all_["psnr_db"].iloc[[0, 14]].tolist()


def loads_torch(*arguments: object) -> bool:
    """Run a command, which must succeed, in a process of its own, and say whether it has loaded torch."""
    words = [str(argument) for argument in arguments]
    program = f"""
import sys
from unimri.cli.__main__ import app
app({words!r}, standalone_mode=False)
sys.exit(7 if "torch" in sys.modules else 0)
"""
    status = subprocess.run([sys.executable, "-c", program], check=False).returncode
    assert status in (0, 7)
    return status == 7


def test_other_metrics_score_kept_images_without_a_network_and_images_stay_as_they_are(evaluated):
    folder, _, output = evaluated
    before = (folder / "kept.h5").read_bytes(), output.read_bytes()
    assert not loads_torch("score", folder / "kept.h5", folder, "--settings", '{"ssim_window": 5}', "--output", output)
    assert (folder / "kept.h5").read_bytes() == before[0]
    assert output.read_bytes() != before[1]
    assert len(read_scores([output])) == 15


def test_figures_are_drawn_from_kept_images_without_a_network(evaluated):
    folder, *_ = evaluated
    (folder / "history.csv").write_text("step,train_loss,validation_psnr_db\n10,0.1,30\n")
    task = {
        "anatomies": {"hip": {"reconstructions": f"{folder}/kept.h5", "data": f"{folder}", "simulated": True}},
        "methods": ["undersampled"],
        "seed": 3,
        "metrics": {},
        "histories": {"S1": {"hip": f"{folder}/history.csv"}},
        "title": "trainings",
        "acceleration": 2.5,
        "studies": {},
        "masks": [f"{folder}/mask.npz"],
    }
    assert not loads_torch("figures", "--task", json.dumps(task), "--output", folder)
    for name in ("hip", "curves", "mask"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    with np.load(folder / "hip.npz") as content, Kept(folder / "kept.h5") as kept:
        about = json.loads(str(content["about"]))
        # The one slice of the second of three volumes.
        np.testing.assert_array_equal(content["images"], kept.images(0, slice(11, 12)))
    assert (about["methods"], about["labels"], about["title"]) == (["undersampled"], ["Undersampled"], "hip, 2.5x")


def test_a_file_that_is_damaged_or_of_other_data_is_refused(evaluated):
    folder, _, output = evaluated
    written = output.read_bytes()
    with pytest.raises(UnimriError, match=r"none\.h5: holds no reconstructions \(.*\); reconstruct again to write it"):
        Kept(folder / "none.h5")
    (folder / "torn.h5").write_bytes((folder / "kept.h5").read_bytes()[:-500])
    with pytest.raises(UnimriError, match=r"torn\.h5: "):
        score(folder / "torn.h5", folder, MetricSettings(), output)
    # That of another preparation.
    manifest = (folder / "manifest.csv").read_text()
    (folder / "manifest.csv.sha256").unlink()
    (folder / "manifest.csv").write_text(manifest.replace(",p2,", ",p3,"))
    with pytest.raises(UnimriError, match=r"kept\.h5: was made from other data than .*; reconstruct again"):
        score(folder / "kept.h5", folder, MetricSettings(), output)
    assert output.read_bytes() == written


def test_nothing_half_written_stays(evaluated):
    folder, *_ = evaluated
    wrong = WANTED[0].model_copy(update={"model": folder / "nowhere"})
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(UnimriError, match=r"nowhere/model\.json: not a model's description"):
        reconstruct_test_split("hip", folder, folder / "mask.npz", [*WANTED, wrong], folder / "bad.h5")
    assert sorted(path.name for path in folder.iterdir()) == before


def counting(monkeypatch):
    """How many slices are reconstructed from now on, batch by batch."""
    counted = []

    def reconstruct(reconstructor, truth, *rest):
        counted.append(len(truth))
        return reconstruct_slices(reconstructor, truth, *rest)

    monkeypatch.setattr("unimri.evaluation.reconstruct.reconstruct_slices", reconstruct)
    return counted


def test_what_is_there_and_follows_from_the_same_is_not_reconstructed_again(evaluated, monkeypatch):
    folder, _, _ = evaluated
    more = [*WANTED, WANTED[0].model_copy(update={"condition": "noise 0.1", "noise": 0.1})]
    counted = counting(monkeypatch)
    reconstruct_test_split("hip", folder, folder / "mask.npz", more, folder / "fresh.h5")
    assert sum(counted) == 2 * 15
    counted.clear()
    reconstruct_test_split("hip", folder, folder / "mask.npz", more, folder / "kept.h5")
    assert sum(counted) == 15
    assert (folder / "kept.h5").read_bytes() == (folder / "fresh.h5").read_bytes()
    counted.clear()
    save_masks(Masks(np.roll(load_masks(folder / "mask.npz").masks, 1), 2.5, "columns", "centre"), folder / "mask.npz")
    reconstruct_test_split("hip", folder, folder / "mask.npz", more, folder / "kept.h5")
    assert sum(counted) == 2 * 15


@pytest.mark.parametrize("content", [b"", b"torn"])
def test_a_damaged_file_is_made_anew(evaluated, monkeypatch, content):
    folder, _, _ = evaluated
    whole = (folder / "kept.h5").read_bytes()
    (folder / "kept.h5").write_bytes(content or whole[: len(whole) // 2])
    reconstruct_test_split("hip", folder, folder / "mask.npz", WANTED, folder / "kept.h5")
    assert (folder / "kept.h5").read_bytes() == whole


def test_a_killed_run_goes_on_from_what_it_had_done(evaluated, monkeypatch):
    folder, _, _ = evaluated
    noisy = [WANTED[0].model_copy(update={"condition": f"noise {noise}", "noise": noise}) for noise in (0.1, 0.2)]
    place = ("hip", folder, folder / "mask.npz", [*WANTED, *noisy], folder / "new.h5", folder / "checkpoints")
    reconstruct_test_split(*place[:4], folder / "fresh.h5")
    calls = []

    def stop(*given):
        if len(calls) == 6:
            raise KeyboardInterrupt
        calls.append(0)
        return reconstruct_slices(*given)

    with monkeypatch.context() as patch:
        patch.setattr("unimri.evaluation.reconstruct.reconstruct_slices", stop)
        with pytest.raises(KeyboardInterrupt):
            reconstruct_test_split(*place)
    assert not (folder / "new.h5").exists()
    assert len(list((folder / "checkpoints").iterdir())) == 1
    counted = counting(monkeypatch)
    reconstruct_test_split(*place)
    assert sum(counted) == 2 * 15
    assert (folder / "new.h5").read_bytes() == (folder / "fresh.h5").read_bytes()
    assert not (folder / "checkpoints").exists()

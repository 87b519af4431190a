"""The choice of the anatomy, by features that are known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from stores import smooth

import unimri
from unimri.core.errors import UnimriError
from unimri.data.prepare import SliceSettings, to_size
from unimri.deploy.estimates import Grid, choose, distance, features, inverse_covariance, largest_distance
from unimri.deploy.library import FEATURES
from unimri.deploy.model import Model, Reconstruction
from unimri.physics.acquisition import Acquisition
from unimri.physics.fourier import lines, to_image, to_kspace, undersample
from unimri.physics.mask import PHASE_AXES
from unimri.physics.masks import Masks

FAR_OFF = {"brain": 100.0, "knee": 100.0}


def noisy(slices: int, seed: int) -> np.ndarray:
    """Like `smooth`, with sharp details."""
    images = smooth(slices, 32, 32, seed)
    return images * (0.7 + 0.3 * np.random.default_rng(seed).random(images.shape, dtype=np.float32))


def features_of(images: np.ndarray) -> np.ndarray:
    return features(torch.from_numpy(images))


def on_grid(grid: Grid, volume: torch.Tensor, crop: int | None) -> torch.Tensor:
    """A volume of complete slices, (slices, 1, rows, columns), on the grid."""
    reduced = to_image(grid.reduce(to_kspace(volume), crop))
    return grid.bring(reduced, tuple(volume.shape[-2:]), crop, range(len(volume)))


def every(size: int) -> Masks:
    """A mask that leaves nothing out."""
    return Masks(np.ones((1, size), np.bool_), 1.0, "columns")


@settings(deadline=None, max_examples=25)
@given(factor=st.floats(1e-3, 1e5))
def test_features_have_no_scale_and_no_empty_slices(factor: float) -> None:
    images = smooth(3, 32, 32)
    expected = features_of(images)
    assert expected.shape == (3, FEATURES)
    np.testing.assert_allclose(features_of(images * np.float32(factor)), expected, rtol=1e-3, atol=1e-3)
    with_empty = np.concatenate([np.zeros((2, 32, 32), np.float32), images])
    np.testing.assert_allclose(features_of(with_empty), expected, rtol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(96, 64), (70, 50), (33, 47)])
def test_the_grid_is_that_of_preparation(rows: int, columns: int) -> None:
    # Bodies with details on black.
    details = 0.7 + 0.3 * np.random.default_rng(1).random((3, rows, columns))
    truth = smooth(3, rows, columns) * details * np.hanning(rows)[:, None] * np.hanning(columns)
    truth = truth.astype(np.float32)
    volume = torch.from_numpy(truth)[:, None].to(torch.complex64)
    for geometry, crop in (("resize", None), ("crop", 40)):
        prepared = to_size(truth, geometry, SliceSettings(image_size=32, crop=40, smoothing=1.0))
        found, sharp = (on_grid(Grid(32, sigma, every(32)), volume, crop) for sigma in (1.0, 0.0))
        assert np.abs(found.numpy() / found.sum().item() * prepared.sum() - prepared).max() < 0.1
        expected = features_of(prepared)
        assert np.abs(features(found) - expected).max() < 0.4
        # What preparation takes off tells.
        assert np.abs(features(sharp) - expected).max() > 3


def test_the_grid_keeps_the_lines_of_the_models_mask_and_its_own_size() -> None:
    truth = torch.from_numpy(smooth(3, 32, 32))
    kept = np.random.default_rng(0).random((2, 32)) < 0.4
    kept[:, 16] = True
    for axis, dimension in (("columns", -1), ("rows", -2)):
        sampled = lines(torch.from_numpy(kept[[0, 1, 0]]), dimension)
        expected = undersample(truth, sampled, dimension)[0]
        found = on_grid(Grid(32, 1.0, Masks(kept, 4.0, axis)), truth[:, None], None)
        torch.testing.assert_close(found, expected.abs(), atol=1e-5, rtol=0)


def test_the_distance_is_that_of_mahalanobis() -> None:
    rng = np.random.default_rng(0)
    slices = [rng.normal(size=(200, 4)) * [1, 2, 3, 4] + shift for shift in (0, 50)]
    inverse = inverse_covariance(slices)
    np.testing.assert_allclose(np.linalg.inv(inverse).diagonal(), [1, 4, 9, 16], rtol=0.2)
    one = np.array([[1.0, 2.0, -1.0, 0.5]])
    mean = slices[0].mean(0)
    assert distance(one, mean, inverse) == pytest.approx(mahalanobis(one[0], mean, inverse) ** 2 / 4)
    # Its own slices are at 1, in the mean.
    assert distance(slices[1], slices[1].mean(0), inverse) == pytest.approx(1, rel=0.1)


def alike(value: float) -> dict[str, np.ndarray]:
    """Three slices, whose features are the same however they came to the grid."""
    return {name: np.full((3, FEATURES), value) for name in ("brain", "knee")}


def test_the_nearest_is_chosen_and_a_tie_is_unsure() -> None:
    means = {"brain": np.zeros(FEATURES), "knee": np.ones(FEATURES)}
    inverse = np.eye(FEATURES)
    found = choose(alike(0.9), means, inverse, FAR_OFF)
    assert (found.anatomy, found.unlike) == ("knee", "")
    assert found.confidence == pytest.approx(1 / (1 + np.exp(-0.5 * FEATURES * (0.81 - 0.01))))
    assert found.distances == pytest.approx({"brain": 0.81, "knee": 0.01})
    assert choose(alike(0.5), means, inverse, FAR_OFF).confidence == pytest.approx(0.5)


def test_farther_than_its_own_scans_is_like_none() -> None:
    means = {"brain": np.zeros(FEATURES), "knee": np.ones(FEATURES)}
    stranger = alike(3.0)
    found = choose(stranger, means, np.eye(FEATURES), {"brain": 100.0, "knee": 3.9})
    assert found.anatomy == "knee"
    assert "like none of the anatomies (the nearest, knee, is at a distance of 4, " in found.unlike
    assert not choose(stranger, means, np.eye(FEATURES), {"brain": 0.1, "knee": 4.1}).unlike


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=9))
def test_own_scans_are_not_refused_unless_they_stand_out(distances: list[float]) -> None:
    largest = largest_distance(distances)
    logs = np.log(distances)
    assert largest >= np.exp(logs.mean()) * np.exp(0.9) * (1 - 1e-9)
    assert np.mean(np.array(distances) > largest) <= 1 / 9


@pytest.fixture
def model(shared_model: Path) -> Model:
    """Brains are smooth, knees are not."""
    loaded = unimri.load(shared_model)
    found = {}
    for name, make in (("brain", lambda seed: smooth(4, 32, 32, seed)), ("knee", lambda seed: noisy(4, seed))):
        found[name] = np.concatenate(
            [features_of(loaded.zero_fill(loaded.undersample(make(seed))[0])) for seed in range(20, 40)]
        )
    inverse = inverse_covariance(list(found.values()))
    anatomies = {}
    for name, own in found.items():
        mean = own.mean(0)
        largest = largest_distance([distance(own[k : k + 4], mean, inverse) for k in range(0, len(own), 4)])
        changes = {"features": mean.tolist(), "largest_distance": largest}
        anatomies[name] = loaded.description.anatomies[name].model_copy(update=changes)
    changes = {"anatomies": anatomies, "inverse_covariance": inverse.tolist()}
    loaded.description = loaded.description.model_copy(update=changes)
    return loaded


@pytest.mark.parametrize(("name", "make"), [("brain", lambda: smooth(3, 32, 32, 5)), ("knee", lambda: noisy(3, 5))])
def test_auto_reconstructs_with_the_chosen_aspin(model: Model, name: str, make) -> None:
    kspace, mask = model.undersample(make() * 300)
    np.testing.assert_array_equal(model.reconstruct(kspace, mask, "auto"), model.reconstruct(kspace, mask, name))
    coils = np.stack([kspace, kspace * np.float32(0.5)], 1)
    expected = model.reconstruct(coils, mask, name)
    np.testing.assert_array_equal(model.reconstruct(coils, mask, "auto"), expected)


@pytest.mark.parametrize("crop", [None, 48])
def test_a_scan_of_another_size_comes_to_the_grid_with_lines_that_it_lacks_completed(
    model: Model, crop: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it would with all lines, were the network perfect; whatever it makes of lines that the model's mask lacks."""
    for name, own in model.description.anatomies.items():
        model.description.anatomies[name] = own.model_copy(update={"crop": crop})
    truth = np.concatenate([noisy(20, 5)] * 3, 1)[:, :80]
    truth = np.concatenate([truth, truth[:, :, :24]], 2)  # (20, 80, 56)
    kspace = to_kspace(torch.from_numpy(truth)).numpy()[:, None]
    every_line = np.ones((1, 56), np.bool_)
    expected = model.features(Acquisition(kspace, every_line, "columns"))
    assert {name: own.shape[0] for name, own in expected.items()} == {"brain": 16, "knee": 16}
    few = every_line.copy()
    few[:, 1::2] = False

    def perfect(given: Acquisition, name: str) -> Reconstruction:
        assert not given.complete
        numbers = np.linspace(0, 19, 16).round().astype(int)
        images = to_image(model.grid.reduce(torch.from_numpy(kspace[numbers]), crop))
        assert (given.measured() == 0).any()
        return Reconstruction(images, images, name, None, 1.0)

    monkeypatch.setattr(model, "reconstruct_volume", perfect)
    found = model.features(Acquisition(kspace, few, "columns"))
    for name, own in expected.items():
        np.testing.assert_allclose(found[name], own, atol=1e-3)
    monkeypatch.undo()
    otherwise = model.features(Acquisition(kspace, few, "columns"))
    assert np.abs(otherwise["knee"] - expected["knee"]).max() > 0.05


def test_lines_of_the_other_axis_and_of_no_use_do_not_matter(model: Model) -> None:
    kspace = to_kspace(torch.from_numpy(noisy(3, 5))).numpy()[:, None]
    found = [model.features(Acquisition(kspace, np.ones((1, 32), np.bool_), axis)) for axis in PHASE_AXES]
    for name in model.anatomies:
        np.testing.assert_array_equal(found[0][name], found[1][name])
    # None of them in the part of k-space that the grid has.
    outer = np.zeros((1, 80), np.bool_)
    outer[:, :9] = True
    wide = np.concatenate([kspace, kspace, kspace[..., :16]], -1)
    assert all(np.isfinite(own).all() for own in model.features(Acquisition(wide, outer, "columns")).values())


def test_an_input_like_none_is_refused_or_falls_back(model: Model) -> None:
    stranger = np.random.default_rng(0).random((3, 32, 32), dtype=np.float32)
    stranger[:, ::2] = 0
    kspace, mask = model.undersample(stranger)
    with pytest.raises(UnimriError, match=r"^anatomy: .*like none.*; name one of brain, knee, or a fallback$"):
        model.reconstruct(kspace, mask, "auto")
    found = model.reconstruct(kspace, mask, "auto", fallback="knee")
    np.testing.assert_array_equal(found, model.reconstruct(kspace, mask, "knee"))


def test_a_fallback_that_is_no_anatomy_is_told_before_it_is_needed(model: Model) -> None:
    kspace, mask = model.undersample(smooth(3, 32, 32))
    for fallback in ("hip", "auto"):
        with pytest.raises(UnimriError, match=f"'{fallback}' is not known to the model"):
            model.reconstruct(kspace, mask, "auto", fallback=fallback)

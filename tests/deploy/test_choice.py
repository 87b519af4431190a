"""The choice of the ASPIN, by reconstructors whose worth is known."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from stores import smooth
from torch import Tensor

import unimri
from unimri.deploy.choice import FOLDS, Choice, choose, held_out, largest_error
from unimri.deploy.model import Model
from unimri.errors import UnimriError
from unimri.physics.fourier import from_hybrid, lines, to_hybrid, to_image

SIZE = 40
MASK = np.random.default_rng(1).random((1, SIZE)) < 0.3
MASK[0, 17:24] = True

Predict = Callable[[Tensor, int], Tensor]
"""What a reconstructor makes of the whole truth of a slice, and its number: hybrid k-space, complex64 (H, W)."""


def whole(slices: int = 6, seed: int = 0, axis: int = -1) -> Tensor:
    """Hybrid k-space of noise, complex64 (slices, SIZE, SIZE)."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(slices, SIZE, SIZE)) + 1j * rng.normal(size=(slices, SIZE, SIZE))
    return to_hybrid(torch.from_numpy(images.astype(np.complex64)), axis)


def decide(
    predicts: dict[str, Predict],
    truth: Tensor,
    mask: np.ndarray = MASK,
    axis: int = -1,
    largest: dict[str, float | None] | None = None,
) -> Choice:
    def reconstruct(measured: Tensor, sampled: Tensor, anatomy: str) -> Tensor:
        # Which slice it is shows in what was measured.
        number = int(((truth * sampled - measured).abs().square().sum((1, 2))).argmin())
        torch.testing.assert_close(truth[number] * sampled[0], measured[0])
        return predicts[anatomy](truth[number], number)[None]

    measured = truth * lines(torch.from_numpy(mask), axis)
    return choose(reconstruct, measured, mask, axis, largest or dict.fromkeys(predicts))


def off_by(share: float) -> Predict:
    """Errs by a share of the squared magnitude, in each line alike."""
    return lambda truth, number: truth * (1 + math.sqrt(share))


masks = st.integers(1, 400).flatmap(lambda size: arrays(bool, size))


@given(mask=masks, fold=st.integers(0, 5))
def test_held_out_lines_are_measured_and_not_of_the_centre(mask: np.ndarray, fold: int) -> None:
    before = mask.copy()
    hidden = held_out(mask, fold)
    np.testing.assert_array_equal(mask, before)
    np.testing.assert_array_equal(hidden, held_out(mask, fold))
    assert not (hidden & ~mask).any()
    size = len(mask)
    centre = np.abs(np.arange(size) - size // 2) <= max(1, size // 32)
    assert not hidden[centre].any()
    assert hidden.sum() == min((mask & ~centre).sum(), max(1, round(0.2 * mask.sum())))


def test_folds_hold_out_different_lines() -> None:
    assert len({held_out(MASK[0], fold).tobytes() for fold in range(FOLDS)}) == FOLDS


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("slices", [1, 6, 30])
def test_who_knows_the_truth_wins_and_is_sure(axis: int, slices: int) -> None:
    found = decide({"knee": off_by(0.2), "brain": off_by(0), "hip": off_by(0.5)}, whole(slices, 0, axis), MASK, axis)
    assert (found.anatomy, found.confidence, found.unlike) == ("brain", 1.0, "")
    assert found.errors == pytest.approx({"knee": 0.2, "brain": 1e-12, "hip": 0.5}, rel=1e-3)


def test_each_slice_has_its_own_mask() -> None:
    rng = np.random.default_rng(2)
    mask = rng.random((6, SIZE)) < 0.3
    mask[:, 17:24] = True
    found = decide({"knee": off_by(0.2), "brain": off_by(0.1)}, whole(), mask)
    assert found.errors == pytest.approx({"knee": 0.2, "brain": 0.1}, rel=1e-3)


def test_equal_ones_are_unsure() -> None:
    same = decide({"knee": off_by(0.2), "brain": off_by(0.2)}, whole())
    assert same.confidence == pytest.approx(0.5)
    # Each is better in half of the slices.
    taking_turns = decide(
        {
            "knee": lambda truth, number: off_by(0.1 if number % 2 else 0.4)(truth, number),
            "brain": lambda truth, number: off_by(0.4 if number % 2 else 0.1)(truth, number),
        },
        whole(8),
    )
    assert 0.35 < taking_turns.confidence < 0.65


def test_no_better_than_zero_filling_is_like_none() -> None:
    found = decide({"knee": lambda truth, number: 0 * truth, "brain": off_by(1.5)}, whole())
    assert found.errors == pytest.approx({"knee": 1, "brain": 1.5}, rel=1e-3)
    assert found.anatomy == "knee"
    assert "no ASPIN predicts held-out lines of the input (the nearest, knee, errs by 100%)" in found.unlike


def test_far_above_its_own_scans_is_like_none() -> None:
    predicts = {"knee": off_by(0.2), "brain": off_by(0.1)}
    found = decide(predicts, whole(), largest={"knee": 0.5, "brain": 0.09})
    assert found.anatomy == "brain"
    assert "like none of the anatomies (the nearest, brain, predicts" in found.unlike
    assert "10.00%, and those of its own scans with 9.00% at most" in found.unlike
    assert not decide(predicts, whole(), largest={"knee": 0.01, "brain": 0.11}).unlike


def test_what_is_no_number_does_not_win() -> None:
    broken: Predict = lambda truth, number: truth * math.nan  # noqa: E731
    assert decide({"knee": broken, "brain": off_by(0.3)}, whole()).anatomy == "brain"
    assert decide({"knee": broken}, whole()).unlike


def test_a_mask_of_the_centre_alone_tells_nothing() -> None:
    centre = np.zeros((1, SIZE), dtype=bool)
    centre[0, 19:22] = True
    found = decide({"knee": off_by(0.3), "brain": off_by(0)}, whole(), centre)
    assert found.unlike
    assert found.confidence == pytest.approx(0.5)


def test_empty_slices_tell_nothing() -> None:
    truth = whole(5)
    expected = decide({"knee": off_by(0.2), "brain": off_by(0.1)}, truth)
    empty = torch.cat([torch.zeros_like(truth[:2]), truth])
    found = decide({"knee": off_by(0.2), "brain": off_by(0.1)}, empty)
    assert found == expected


@given(arrays(float, st.integers(1, 9), elements=st.floats(-8, 0)))
def test_the_largest_error_is_four_deviations_above_the_mean(errors: np.ndarray) -> None:
    mean = sum(errors) / len(errors)
    deviation = max(0.25, math.sqrt(sum((error - mean) ** 2 for error in errors) / len(errors)))
    assert largest_error(errors) == pytest.approx(math.exp(mean + 4 * deviation))


@pytest.fixture
def model(shared_model: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """Its ASPIN for the knee knows `IMAGES`; that for the brain fills zeros."""

    def network(self: Model, measured: Tensor, sampled: Tensor, axis: int, anatomy: str) -> Tensor:
        if anatomy == "brain":
            return from_hybrid(measured, axis)
        truth = torch.from_numpy(IMAGES).to(torch.complex64)
        shown = to_hybrid(truth, axis) * sampled
        fits = [(one.conj() * other).sum() / one.abs().square().sum() for one in shown for other in measured]
        distances = [(fit * one - other).norm() for fit, (one, other) in zip(fits, pairs(shown, measured), strict=True)]
        numbers = torch.tensor(distances).reshape(len(shown), len(measured)).argmin(0)
        scales = torch.stack(fits).reshape(len(shown), len(measured))[numbers, torch.arange(len(measured))]
        return truth[numbers] * scales[:, None, None]

    monkeypatch.setattr(Model, "_network", network)
    return unimri.load(shared_model)


def pairs(first: Tensor, second: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(one, other) for one in first for other in second]


IMAGES = smooth(3, 32, 32, seed=4) * 500


def test_auto_reconstructs_with_the_chosen_aspin(model: Model) -> None:
    kspace, mask = model.undersample(IMAGES)
    found = model.reconstruct(kspace, mask, "auto")
    np.testing.assert_allclose(found, IMAGES, rtol=1e-3, atol=0.1)
    np.testing.assert_array_equal(found, model.reconstruct(kspace, mask, "knee"))
    # Of several coils by that which saw most.
    silent = np.stack([np.zeros_like(kspace), kspace * np.float32(0.5)], 1)
    np.testing.assert_allclose(model.reconstruct(silent, mask, "auto"), IMAGES / 2, rtol=1e-3, atol=0.1)


def test_an_input_like_none_is_refused_or_falls_back(model: Model) -> None:
    stranger = smooth(3, 32, 32, seed=9) * 500
    kspace, mask = model.undersample(np.random.default_rng(0).permutation(stranger, axis=2))
    with pytest.raises(UnimriError, match=r"^anatomy: .*; name one of brain, knee, or a fallback$"):
        model.reconstruct(kspace, mask, "auto")
    found = model.reconstruct(kspace, mask, "auto", fallback="brain")
    np.testing.assert_allclose(found, to_image(torch.from_numpy(kspace)).abs().numpy(), rtol=1e-3, atol=0.1)


def test_a_fallback_that_is_no_anatomy_is_told_before_it_is_needed(model: Model) -> None:
    kspace, mask = model.undersample(IMAGES)
    for fallback in ("hip", "auto"):
        with pytest.raises(UnimriError, match=f"'{fallback}' is not known to the model"):
            model.reconstruct(kspace, mask, "auto", fallback=fallback)

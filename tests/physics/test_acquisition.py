"""K-space and masks in any of the shapes that people have them in are one acquisition."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unimri.core.errors import UnimriError
from unimri.physics.acquisition import Acquisition, acquisition, find_lines


def samples(*shape: int, seed: int = 0) -> NDArray[np.complex64]:
    """Not zero anywhere."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.uniform(0.5, 1, size=shape)).astype(np.complex64)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """K-space as (slices, coils, rows, columns), lines as (slices or 1, N), and what they run along."""
    # Fewer slices than rows or columns: else a mask of (slices, N) could be one of (rows, columns).
    slices, coils = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rows, columns = draw(st.integers(4, 9)), draw(st.integers(4, 9))
    axis = draw(st.sampled_from(["columns", "rows"]))
    lines = np.random.default_rng(draw(st.integers(0, 999))).random(
        (draw(st.sampled_from([1, slices])), columns if axis == "columns" else rows)
    )
    lines = lines < 0.5
    # Some, and not all.
    lines[:, 0], lines[:, -1] = True, False
    return {"kspace": samples(slices, coils, rows, columns), "lines": lines, "axis": axis}


def forms(lines: NDArray[np.bool_], axis: str, shape: Sequence[int], dimensions: int) -> list[NDArray[Any]]:
    """Masks in all shapes that mean these lines for k-space of so many axes."""
    _, coils, rows, columns = shape
    whole = lines[:, None, :] if axis == "columns" else lines[:, :, None]  # (slices or 1, rows or 1, columns or 1)
    points = np.broadcast_to(whole, (len(lines), rows, columns))
    found: list[NDArray[Any]] = [lines, lines.astype(np.float64) * 0.3]
    if len(lines) == 1:
        found += [lines[0], lines[0].astype(np.uint8), whole[0], points[0]]
    if dimensions > 2:
        found += [whole, points]
        # As fastMRI's tensors, whose last axis is the real and the imaginary part.
        found += [whole[..., None]] if dimensions == 3 else []
    if dimensions == 4:
        found += [whole[:, None], points[:, None], whole[:, None, ..., None]]
        found += [np.broadcast_to(whole[:, None], (len(lines), coils, rows, columns))]
    return found


def given_in(kspace: NDArray[np.complex64], dimensions: int) -> NDArray[np.complex64]:
    return {2: kspace[0, 0], 3: kspace[:, 0], 4: kspace}[dimensions]


@settings(max_examples=60, deadline=None)
@given(case=cases(), dimensions=st.sampled_from([2, 3, 4]), told=st.booleans())
def test_any_shape_of_mask_is_the_same_acquisition(case: dict[str, Any], dimensions: int, told: bool) -> None:
    kspace, lines, axis = case["kspace"], case["lines"], case["axis"]
    if dimensions == 2:
        kspace, lines = kspace[:1], lines[:1]
    if dimensions < 4:
        kspace = kspace[:, :1]
    shown = lines[:, None, None, :] if axis == "columns" else lines[:, None, :, None]
    expected = kspace * shown
    for mask in forms(lines, axis, kspace.shape, dimensions):
        found = acquisition(given_in(kspace, dimensions), mask, axis if told else None, axis)
        np.testing.assert_array_equal(found.measured(), expected)
        np.testing.assert_array_equal(found.mask, lines)
        assert found.axis == axis
        assert found.acceleration == pytest.approx(lines.shape[1] / lines.sum(1).mean())


@settings(max_examples=30, deadline=None)
@given(case=cases())
def test_lines_of_zeros_tell_the_mask(case: dict[str, Any]) -> None:
    kspace, lines, axis = case["kspace"], case["lines"], case["axis"]
    shown = lines[:, None, None, :] if axis == "columns" else lines[:, None, :, None]
    found = acquisition(kspace * shown, None, axis, "columns")
    each = (len(kspace), lines.shape[1])
    np.testing.assert_array_equal(np.broadcast_to(found.mask, each), np.broadcast_to(lines, each))
    assert len(found.mask) == (1 if (lines == lines[0]).all() else len(kspace))
    np.testing.assert_array_equal(found.measured(), kspace * shown)
    usual = acquisition(kspace * shown, None, None, axis)
    assert np.array_equal(usual.mask, found.mask)


def test_the_mask_tells_the_axis_where_lengths_differ() -> None:
    kspace = samples(2, 6, 8)
    for length, axis in ((6, "rows"), (8, "columns")):
        mask = np.arange(length) % 2 == 0
        for usual in ("columns", "rows"):
            assert acquisition(kspace, mask, None, usual).axis == axis  # type: ignore[arg-type]
    square = samples(2, 6, 6)
    mask = np.arange(6) % 2 == 0
    assert acquisition(square, mask, None, "rows").axis == "rows"
    assert acquisition(square, mask, "columns", "rows").axis == "columns"
    # Points tell it where lengths do not.
    points = np.broadcast_to(mask[:, None], (1, 6, 6))
    assert acquisition(square, points, None, "columns").axis == "rows"


@pytest.mark.parametrize("kind", [np.complex64, np.complex128, "pairs", "pairs of doubles"])
def test_kinds_of_numbers(kind: Any) -> None:
    kspace = samples(2, 5, 6)
    mask = np.arange(6) < 3
    pairs = np.stack([kspace.real, kspace.imag], -1)
    made = {"pairs": pairs, "pairs of doubles": pairs.astype(np.float64)}.get(kind)
    found = acquisition(kspace.astype(kind) if made is None else made, mask, None, "columns")
    assert found.kspace.dtype == np.complex64
    np.testing.assert_array_equal(found.measured()[:, 0], kspace * mask)


FULL = samples(2, 5, 6)
SOME = np.arange(6) < 3


@pytest.mark.parametrize(
    ("kspace", "mask", "axis", "message"),
    [
        (np.abs(FULL), SOME, None, r"is not complex; .* `Model.undersample`"),
        (np.ones((2, 5, 2), dtype=int), None, None, "is not complex"),
        (FULL[0, 0], None, None, r"has shape \(6,\)"),
        (FULL[None, None], SOME, None, r"has shape \(1, 1, 2, 5, 6\)"),
        (FULL[:0], SOME, None, "holds no samples"),
        (FULL * np.nan, SOME, None, "NaN or infinite"),
        (FULL * 0, SOME, None, "zero everywhere"),
        (FULL, None, None, r"no line \(columns\) of the k-space is zero"),
        (FULL, None, "rows", r"no line \(rows\) of the k-space is zero"),
        (FULL, np.zeros(6), None, "keeps no line of a slice"),
        (FULL, np.stack([SOME, SOME & False]), None, "keeps no line of a slice"),
        (FULL, np.ones(7), None, "has 7 lines, and the k-space 6 columns and 5 rows"),
        (FULL, SOME, "rows", r"has 6 lines, .* \(phase encoding steps through rows\)"),
        (FULL, np.ones((3, 6)), None, r"has shape \(3, 6\); give \(N,\), or \(slices, N\) for 2 slices"),
        (FULL, np.ones((2, 2, 1, 6)), None, r"has shape \(2, 2, 1, 6\)"),
        (FULL, np.array(True), None, "has 1 lines"),
        (FULL, np.eye(5, 6)[None], None, "keeps no whole lines"),
        (FULL[0], np.eye(5, 6), None, "keeps no whole lines"),
        (FULL[:, None], np.stack([np.ones((2, 5, 6)), np.eye(5, 6)[None].repeat(2, 0)], 1), None, "mask"),
    ],
)
def test_what_does_not_fit_is_told(kspace: Any, mask: Any, axis: Any, message: str) -> None:
    with pytest.raises(UnimriError, match=message):
        acquisition(kspace, mask, axis, "columns")


def test_what_was_given_stays() -> None:
    kspace, mask = FULL.copy(), SOME.copy()
    acquisition(kspace, mask, None, "columns")
    np.testing.assert_array_equal(kspace, FULL)
    np.testing.assert_array_equal(mask, SOME)


def test_a_complete_scan_tells_its_truth_and_can_be_undersampled() -> None:
    scan = Acquisition(samples(2, 3, 6, 8), np.ones((1, 8), bool), "columns", size=(4, 5))
    assert (scan.complete, scan.acceleration) == (True, 1.0)
    truth = scan.with_truth().truth
    assert truth is not None
    np.testing.assert_array_equal(truth, scan.zero_filled()[:, 1:5, 1:6])
    kept = np.arange(6) % 2 == 0
    some = scan.with_truth().undersampled(kept)
    assert (some.complete, some.acceleration, some.axis) == (False, 2.0, "rows")
    np.testing.assert_array_equal(some.measured(), scan.kspace * kept[:, None])
    np.testing.assert_array_equal(some.truth, truth)
    # What was measured of it tells no truth.
    assert scan.undersampled(kept).with_truth().truth is None
    assert scan.undersampled(np.ones(8)).measured() is scan.kspace
    # Another mask is laid over what was measured, and not over what the first one left of it.
    np.testing.assert_array_equal(some.undersampled(np.ones(8)).measured(), scan.kspace)


@pytest.mark.parametrize("axis", ["columns", "rows"])
def test_lines_that_are_missing_are_those_of_zeros(axis: str) -> None:
    kspace = samples(2, 3, 6, 8)
    assert find_lines(kspace)[0].all()
    place = -1 if axis == "columns" else -2
    kept = np.ones(kspace.shape[place], bool)
    # A coil without signal is no line that is missing.
    kspace[0, 1] = 0
    edges = kspace * np.expand_dims(kept & (np.arange(len(kept)) > 0), -1 if place == -2 else 0)
    lines, found = find_lines(edges)
    assert (found, lines.shape, lines[0, 0], lines[0, 1:].all()) == (axis, (1, len(kept)), False, True)
    assert find_lines(edges, padded=True)[0].all()
    gap = kspace * np.expand_dims(np.arange(len(kept)) != len(kept) // 2 + 1, -1 if place == -2 else 0)
    assert np.flatnonzero(~find_lines(gap, padded=True)[0]).tolist() == [len(kept) // 2 + 1]

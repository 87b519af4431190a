"""K-space and masks in any of the shapes that people have them in are one acquisition."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unimri.core.errors import UnimriError
from unimri.physics.acquisition import Acquisition, MaskError, Sampling, acquisition, check_axes


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
    # Some, and not all, with a gap.
    lines[:, 0], lines[:, 1], lines[:, -1] = True, False, False
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


def test_a_mask_as_long_as_the_other_axis_is_refused_unless_it_says_so() -> None:
    kspace = samples(2, 6, 8)
    for length, axis, other in ((6, "rows", "columns"), (8, "columns", "rows")):
        mask = np.arange(length) % 2 == 0
        assert acquisition(kspace, mask, None, axis).axis == axis  # type: ignore[arg-type]
        with pytest.raises(UnimriError, match=rf"has {length} lines, and the k-space \d {other}, .* give the mask as"):
            acquisition(kspace, mask, None, other)  # type: ignore[arg-type]
        assert acquisition(kspace, mask, axis, other).axis == axis  # type: ignore[arg-type]
        points = np.broadcast_to(mask[:, None] if axis == "rows" else mask, (6, 8))
        assert acquisition(kspace, points, None, other).axis == axis  # type: ignore[arg-type]
    with pytest.raises(UnimriError, match="has 64 lines, and the k-space 32 columns"):
        acquisition(samples(2, 64, 32), np.arange(64) % 2, None, "columns")
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
        (FULL * (np.arange(6) % 5 > 0), None, None, r"zeros at both edges are padding"),
        (FULL, np.zeros(6), None, "keeps no line of a slice"),
        (FULL, np.stack([SOME, SOME & False]), None, "keeps no line of a slice"),
        (FULL, np.full(6, np.nan), None, "no finite numbers"),
        (FULL, np.array([1, 0, 1, np.inf, 0, 1]), None, "no finite numbers"),
        (FULL, np.array(list("101010")), None, "no finite numbers"),
        (FULL, np.ones(7), None, "has 7 lines, and the k-space 6 columns and 5 rows"),
        (FULL, SOME, "rows", r"has 6 lines, .* \(phase encoding steps through rows\)"),
        (FULL, np.ones((3, 6)), None, r"has shape \(3, 6\); give \(N,\), or \(slices, N\) for 2 slices"),
        (FULL, np.ones((2, 2, 1, 6)), None, r"has shape \(2, 2, 1, 6\)"),
        (FULL, np.array(True), None, "has 1 lines"),
        (FULL, np.eye(5, 6)[None], "columns", "keeps no whole lines"),
        (FULL[0], np.eye(5, 6), "rows", "keeps no whole lines"),
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
    some = scan.with_truth().undersampled(kept, "rows")
    assert (some.complete, some.acceleration, some.axis) == (False, 2.0, "rows")
    np.testing.assert_array_equal(some.measured(), scan.kspace * kept[:, None])
    np.testing.assert_array_equal(some.truth, truth)
    # What was measured of it tells no truth.
    assert scan.undersampled(kept, "rows").with_truth().truth is None
    assert scan.undersampled(np.ones(8)).measured() is scan.kspace
    # Another mask is laid over what was measured, and not over what the first one left of it.
    np.testing.assert_array_equal(some.undersampled(np.ones(8), "columns").measured(), scan.kspace)


def keep(kspace: NDArray[np.complex64], lines: Any, axis: str) -> NDArray[np.complex64]:
    return kspace * (lines if axis == "columns" else np.asarray(lines)[:, None])


@pytest.mark.parametrize("axis", ["columns", "rows"])
@pytest.mark.parametrize("padded", [True, False])
def test_lines_of_zeros_are_missing_between_others_and_padding_around_them(axis: str, padded: bool) -> None:
    kspace = samples(2, 3, 16, 16)
    # A coil without signal is no line that is missing.
    kspace[0, 1] = 0
    lines, _, word = Sampling.of(kspace).lines(padded=padded)
    assert (lines.shape, lines.all(), word) == ((1, 16), True, "")
    # With its other axis padded, too.
    for other in (1, slice(4, 12)):
        about = kspace.copy()
        if other != 1:
            around = np.isin(np.arange(16), np.arange(4, 12))
            about = keep(kspace, around, "rows" if axis == "columns" else "columns")
        gap = keep(about, np.arange(16) != 9, axis)
        lines, found, word = Sampling.of(gap).lines(padded=padded)
        assert (np.flatnonzero(~lines[0]).tolist(), found) == ([9], axis)
        assert "1 of its 16" in word
    # What a scanner that interpolates writes: 8 lines, or 9, in the middle of 16.
    for kept in (np.arange(4, 12), np.arange(4, 13)):
        lines, _, word = Sampling.of(keep(kspace, np.isin(np.arange(16), kept), axis)).lines(padded=padded)
        assert lines.all()
        assert f"{16 - len(kept)} of its 16 {axis}, at the edges, are zeros: taken for padding" in word
    # Partial Fourier.
    lines, found, word = Sampling.of(keep(kspace, np.arange(16) >= 5, axis)).lines(padded=padded)
    assert lines.all() == padded
    if not padded:
        assert (np.flatnonzero(~lines[0]).tolist(), found) == ([0, 1, 2, 3, 4], axis)
        assert word == f"5 of its 16 {axis}, at one edge, are zeros: taken for lines left out"


def scattered(rows: int, columns: int, share: float) -> NDArray[np.bool_]:
    return np.random.default_rng(0).random((rows, columns)) < share


@pytest.mark.parametrize("share", [0.02, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("coils", [1, 4])
def test_points_are_their_own_mask(share: float, coils: int) -> None:
    kspace, points = samples(2, coils, 96, 64), scattered(96, 64, share)
    y, x = np.mgrid[-1:1:96j, -1:1:64j]
    ellipse = y**2 + x**2 < 0.97
    centre = (abs(y) < 0.2) & (abs(x) < 0.2)
    lines = scattered(1, 64, 0.3) | (abs(x[:1]) < 0.1)
    for kept in (points, points & ellipse, points | centre, (points | centre) & lines):
        given = kspace * kept
        found, axis, word = Sampling.of(given).lines()
        assert axis == "points"
        np.testing.assert_array_equal(found, kept[None])
        assert word == f"zeros tell its mask: points, {1 - kept.mean():.1%} of them, are taken for left out"
        for mask in (None, kept, kept[None], np.stack([kept, kept])[:, None].astype(float)):
            scan = acquisition(given, mask, None, "columns")
            assert scan.axis == "points"
            assert scan.acceleration == pytest.approx(1 / kept.mean())
            np.testing.assert_array_equal(scan.measured(slice(1, 2)), given[1:])
            np.testing.assert_array_equal(scan.mask_of(1), kept)
        for mask in (None, kept):
            with pytest.raises(MaskError, match="whole"):
                acquisition(given, mask, "columns", "columns")
        with pytest.raises(UnimriError, match="not measured whole"):
            acquisition(given, np.ones(64), None, "columns")
    # Both axes.
    both = lines & (scattered(96, 1, 0.5) | (abs(y[:, :1]) < 0.1))
    np.testing.assert_array_equal(Sampling.of(kspace * both).lines().kept[0], both)
    # Each slice its own.
    own = np.stack([points, points[::-1]])
    np.testing.assert_array_equal(Sampling.of(kspace * own[:, None]).lines().kept, own)
    assert repr(acquisition(kspace * own[:, None], own, None, "rows")).endswith("x, points)")


@pytest.mark.parametrize("coils", [1, 4])
def test_corners_that_are_cut_off_and_numbers_that_were_rounded_to_zero_are_no_points(coils: int) -> None:
    kspace = samples(2, coils, 96, 64)
    y, x = np.mgrid[-1:1:96j, -1:1:64j]
    assert Sampling.of(kspace * (y**2 + x**2 < 0.97)).lines().kept.all()
    lines = scattered(1, 64, 0.3) | (abs(x[:1]) < 0.1)
    cut = kspace * lines * (y**2 + x**2 < 0.97)
    np.testing.assert_array_equal(Sampling.of(cut).lines().kept, lines)
    assert acquisition(cut, lines[0], None, "columns").axis == "columns"
    # As whole numbers, of which most are 0 far from DC.
    weak = kspace * 40 * np.exp(-4 * (y**2 + x**2))
    whole = np.round(weak.real) + 1j * np.round(weak.imag)
    assert (whole == 0).mean() > 0.05
    assert Sampling.of(whole.astype(np.complex64)).lines().kept.all()


def of_an_image(*shape: int) -> NDArray[np.complex64]:
    """Centred k-space of smooth images, (..., rows, columns)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : shape[-2] * 1j, -1 : 1 : shape[-1] * 1j]
    images = np.exp(-4 * (y**2 + x**2)) + 0.02 * rng.random(shape)
    axes = (-2, -1)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(images, axes), norm="ortho"), axes)
    return kspace.astype(np.complex64)


def test_kspace_whose_axes_or_centre_are_elsewhere_is_refused() -> None:
    coils = of_an_image(6, 48, 40) * np.exp(1j * np.arange(6))[:, None, None].astype(np.complex64)
    for good in (coils, coils[None], of_an_image(9, 2, 48, 40), coils * (np.arange(40) % 3 == 2), coils[:1]):
        check_axes(good if good.ndim == 4 else good[:, None])
    last = np.moveaxis(coils, 0, -1)
    for wrong in (last[:, None], last[None], np.stack([last, last])):
        with pytest.raises(UnimriError, match=r"has its coils on the last axis: its axes are taken for .* 40, 6\)"):
            check_axes(wrong)
    with pytest.raises(UnimriError, match="coils on the last axis"):
        acquisition(last, np.arange(6) % 2, None, "columns")
    with pytest.raises(UnimriError, match=r"has DC in its corner, and not at n // 2; apply `numpy.fft.fftshift`"):
        acquisition(np.fft.ifftshift(coils, (-2, -1)), np.arange(40) % 2, None, "columns")

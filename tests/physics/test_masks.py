import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from unimri.core.errors import UnimriError
from unimri.physics.masks import (
    PRESETS,
    Gaussian1D,
    Masks,
    MaskSettings,
    draw_masks,
    load_masks,
    read_mask,
    save_masks,
)

ADAPTER: TypeAdapter[MaskSettings] = TypeAdapter(MaskSettings)


@given(st.integers(16, 400), st.floats(2, 8), st.integers(0, 100))
def test_gaussian_masks_keep_exactly_the_budget_and_dc(size: int, acceleration: float, seed: int) -> None:
    masks = draw_masks(ADAPTER.validate_python({"preset": "paper-like", "seed": seed}), size, acceleration)
    assert masks.masks.shape == (1, size)
    assert masks.masks.sum() == max(1, round(size / acceleration))
    assert masks.masks[0, size // 2]


def test_schlemper_keeps_its_centre_in_every_mask_of_the_bank() -> None:
    masks = draw_masks(ADAPTER.validate_python({"preset": "schlemper", "bank": 16}), 320, 6)
    assert masks.masks.shape == (16, 320)
    assert masks.masks[:, 156:164].all()
    assert set(masks.masks.sum(axis=1)) == {53}
    assert len(np.unique(masks.masks, axis=0)) > 1


def test_fastmri_masks_have_their_centre_and_about_their_acceleration() -> None:
    for preset in ("fastmri-random", "fastmri-equispaced"):
        masks = draw_masks(ADAPTER.validate_python({"preset": preset, "per_slice": True}), 320, 4)
        start = (320 - 26 + 1) // 2
        assert masks.masks[:, start : start + 26].all()
        assert masks.achieved_acceleration == pytest.approx(4, rel=0.06)


@pytest.mark.parametrize("preset", PRESETS)
def test_same_seed_same_bytes_and_a_round_trip(preset: str, tmp_path: Path) -> None:
    settings = ADAPTER.validate_python({"preset": preset, "axis": "rows"})
    for name in ("a.npz", "b.npz"):
        save_masks(draw_masks(settings, 64, 4), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = load_masks(tmp_path / "a.npz")
    assert (loaded.axis, loaded.acceleration) == ("rows", 4)
    np.testing.assert_array_equal(loaded.masks, draw_masks(settings, 64, 4).masks)


def test_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="allowed: paper-like"):
        ADAPTER.validate_python({"preset": "spiral"})
    with pytest.raises(UnimriError, match="centre_lines"):
        draw_masks(ADAPTER.validate_python({"kind": "gaussian1d", "centre_lines": 40}), 64, 4)
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises(UnimriError, match=r"broken\.npz"):
        load_masks(tmp_path / "broken.npz")


def test_a_mask_of_a_file_is_read_with_what_its_lines_are(tmp_path):
    kept = np.arange(8) % 3 == 0
    for stored in (kept, kept.astype(float), kept.reshape(1, 1, 8, 1)):
        np.save(tmp_path / "a.npy", stored)
        mask, axis = read_mask(tmp_path / "a.npy")
        np.testing.assert_array_equal(mask, kept)
        assert axis is None
    save_masks(Masks(kept[None], 3.0, "rows", "own"), tmp_path / "a.npz")
    mask, axis = read_mask(tmp_path / "a.npz")
    np.testing.assert_array_equal(mask, kept[None])
    assert axis == "rows"


GOOD = json.dumps({"acceleration": 2.0, "axis": "columns", "name": "a"})


@pytest.mark.parametrize(
    ("masks", "about"),
    [
        (np.ones((1, 32)), "[]"),
        (np.ones((1, 32)), "[" * 100_000 + "]" * 100_000),
        (np.ones((1, 32)), GOOD.replace("columns", "slices")),
        (np.ones((1, 32)), GOOD.replace("2.0", "[]")),
        (np.full((1, 32), np.nan), GOOD),
        (np.zeros((1, 32)), GOOD),
        (np.ones(32), GOOD),
    ],
)
def test_a_mask_of_a_strangers_archive_is_checked(tmp_path, masks, about):
    np.savez_compressed(tmp_path / "a.npz", masks=masks, about=np.array(about))
    with pytest.raises(UnimriError, match=r"a\.npz: not a mask that unimri wrote"):
        read_mask(tmp_path / "a.npz")


@pytest.mark.parametrize("values", [np.full(32, np.nan), np.array([1, np.inf]), np.array(["a"])])
def test_a_mask_has_finite_numbers(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(UnimriError, match=r"a\.npy: the mask has values that are no finite numbers"):
        read_mask(tmp_path / "a.npy")


@pytest.mark.parametrize("preset", PRESETS)
def test_one_line_cannot_be_undersampled(preset):
    with pytest.raises(UnimriError, match="one phase-encoding line cannot be undersampled"):
        draw_masks(ADAPTER.validate_python({"preset": preset}), 1, 4.0)


def test_masks_whose_lines_were_rolled_are_refused(tmp_path):
    path = tmp_path / "4x.npz"
    save_masks(draw_masks(Gaussian1D(), 32, 4), path)
    masks = load_masks(path)
    with np.load(path) as content:
        np.savez(path, masks=np.roll(masks.masks, 1, axis=-1), about=content["about"])
    for read in (load_masks, read_mask):
        with pytest.raises(
            UnimriError, match=rf"^{path}: is not the file that was made .*make it again: `unimri masks draw`"
        ):
            read(path)
    # A mask of somebody's own, of which nothing is noted.
    (tmp_path / "4x.npz.sha256").unlink()
    assert load_masks(path).masks.sum() == masks.masks.sum()

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from unimri.core.errors import UnimriError
from unimri.physics.masks import PRESETS, MaskSettings, draw_masks, load_masks, save_masks

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

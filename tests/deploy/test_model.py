"""A model in use, from Python."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import unimri
from unimri.core.errors import UnimriError
from unimri.deploy.model import Model
from unimri.models.folder import load_model
from unimri.physics.acquisition import acquisition
from unimri.physics.fourier import lines, to_image, to_kspace, undersample


def volume(slices: int = 3, rows: int = 32, columns: int = 32, seed: int = 0) -> np.ndarray:
    """Smooth non-negative slices."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((slices, 5, 5))
    images = torch.nn.functional.interpolate(torch.from_numpy(coarse)[None], size=(rows, columns), mode="bicubic")
    return (images[0].abs().numpy() * 700).astype(np.float32)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for rounding, which a network that nobody trained makes larger."""
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())


@pytest.fixture(scope="module")
def model(shared_model: Path) -> Model:
    return unimri.load(shared_model)


def test_it_is_the_network_of_the_experiment_on_the_models_scale(model: Model, shared_model: Path) -> None:
    images = volume()
    kspace, mask = model.undersample(images)
    network = load_model(shared_model)
    sampled = lines(torch.from_numpy(model.masks(32).masks), -1)
    zero_filled, _ = undersample(torch.from_numpy(images), sampled, -1)
    scale = zero_filled.abs().max() * model.description.anatomies["knee"].scale_factor
    with torch.no_grad():
        expected, _ = network(*undersample(torch.from_numpy(images) / scale, sampled, -1), sampled, -1, "knee")
    found = model.reconstruct(kspace, mask, "knee")
    assert found.shape == images.shape
    assert found.dtype == np.float32
    close(found, (expected.abs() * scale).numpy())
    assert np.abs(found - model.zero_fill(kspace)).max() > 1
    assert np.abs(found - model.reconstruct(kspace, mask, "brain")).max() > 1


@settings(max_examples=12, deadline=None)
@given(
    rows=st.integers(9, 40),
    columns=st.integers(9, 40),
    scale=st.floats(1e-3, 1e6),
    axis=st.sampled_from(["rows", "columns"]),
)
def test_measured_lines_stay_as_they_were_at_any_size_and_scale(
    model: Model, rows: int, columns: int, scale: float, axis: str
) -> None:
    images = volume(2, rows, columns) * np.float32(scale)
    kept = model.masks(columns if axis == "columns" else rows).masks
    shown = kept[:, None, :] if axis == "columns" else kept[:, :, None]
    kspace = to_kspace(torch.from_numpy(images)).numpy() * shown
    found = model.reconstruct(kspace, kept[0], "brain", axis, magnitude=False)
    assert found.shape == kspace.shape
    again = to_kspace(torch.from_numpy(found)).numpy() * shown
    np.testing.assert_allclose(again, kspace, atol=1e-4 * np.abs(kspace).max())
    # Not equivariant by nature: only because the scale is taken out and put in again.
    bigger = model.reconstruct(kspace * np.float32(8), kept[0], "brain", axis)
    close(bigger, np.abs(found) * 8)


def test_shapes_in_are_shapes_out_in_numpy_and_torch(model: Model) -> None:
    kspace, mask = model.undersample(volume())
    whole = model.reconstruct(kspace, mask, "brain")
    tensor = model.reconstruct(torch.from_numpy(kspace), torch.from_numpy(mask), "brain")
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), whole)
    # As fastMRI's transforms have them.
    fastmri = torch.view_as_real(torch.from_numpy(kspace))
    mask_of_fastmri = torch.from_numpy(mask[0]).reshape(1, 1, -1, 1)
    np.testing.assert_array_equal(model.reconstruct(fastmri, mask_of_fastmri, "brain"), tensor)
    per_slice = np.repeat(mask, 3, 0)
    close(model.reconstruct(kspace, per_slice, "brain"), whole)
    np.testing.assert_array_equal(model.reconstruct(kspace, None, "brain"), whole)
    one, _ = model.undersample(volume()[0])
    assert model.reconstruct(one, None, "brain").shape == (32, 32)
    wide = kspace.astype(np.complex128)
    np.testing.assert_array_equal(model.reconstruct(wide, mask, "brain"), whole)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda samples: samples.to(torch.complex128),
        lambda samples: samples.conj().resolve_conj().conj(),
        lambda samples: samples.clone().requires_grad_(),
        lambda samples: torch.view_as_real(samples).double(),
        lambda samples: torch.view_as_real(samples).bfloat16(),
    ],
)
def test_tensors_of_any_kind_give_what_arrays_give(model: Model, wrap) -> None:
    kspace, mask = model.undersample(volume())
    if wrap(torch.from_numpy(kspace)).dtype == torch.bfloat16:
        kspace = torch.view_as_complex(wrap(torch.from_numpy(kspace)).float()).numpy()
    expected = model.reconstruct(kspace, mask, "brain")
    for kept in (torch.from_numpy(mask), torch.from_numpy(mask).bfloat16()):
        found = model.reconstruct(wrap(torch.from_numpy(kspace)), kept, "brain")
        np.testing.assert_array_equal(found.numpy(), expected)


def test_coils_are_reconstructed_one_by_one_and_combined_by_root_sum_of_squares(model: Model) -> None:
    first, mask = model.undersample(volume(seed=1))
    second, _ = model.undersample(volume(seed=2) / 50)
    found = model.reconstruct(np.stack([first, second], 1), mask, "brain")
    parts = [model.reconstruct(coil, mask, "brain") for coil in (first, second)]
    close(found, np.hypot(*parts))
    complex_ = model.reconstruct(np.stack([first, second], 1), mask, "brain", magnitude=False)
    assert complex_.shape == (3, 2, 32, 32)
    # A coil that measured nothing adds nothing.
    silent = model.reconstruct(np.stack([first, np.zeros_like(first)], 1), mask, "brain")
    close(silent, parts[0])


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 40, 25)])
def test_a_constant_phase_of_each_slice_and_coil_means_nothing(model: Model, shape: tuple[int, int, int]) -> None:
    kspace, mask = model.undersample(volume(*shape))
    coils = np.stack([kspace, kspace[:, ::-1] * np.float32(0.5)], 1)
    phases = np.exp(1j * np.random.default_rng(0).uniform(0, 7, (shape[0], 2, 1, 1))).astype(np.complex64)
    plain = model.reconstruct(coils, mask, "knee", magnitude=False)
    turned = model.reconstruct(coils * phases, mask, "knee", magnitude=False)
    np.testing.assert_allclose(turned / phases, plain, atol=2e-5 * np.abs(plain).max())


def test_slices_of_one_batch_are_those_of_many(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    kspace, mask = model.undersample(volume(7))
    whole = model.reconstruct(kspace, mask, "brain")
    monkeypatch.setattr("unimri.deploy.model._PIXELS", 2 * 32 * 32)
    told: list[int] = []
    close(model.reconstruct(kspace, mask, "brain", progress=told.append), whole)
    assert told == [2, 4, 6, 7]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kspace, mask: (kspace.real, mask), "k-space is not complex"),
        (lambda kspace, mask: (kspace[None, None], mask), "k-space has shape"),
        (lambda kspace, mask: (kspace * np.nan, mask), "NaN or infinite"),
        (lambda kspace, mask: (kspace * 0, mask), "zero everywhere"),
        (lambda kspace, mask: (kspace, mask[:, :-1]), "the mask has 31 lines, and the k-space 32 columns and 32 rows"),
        (lambda kspace, mask: (kspace, np.repeat(mask, 2, 0)), r"give \(N,\), or \(slices, N\) for 3 slices"),
        (lambda kspace, mask: (kspace, mask & False), "keeps no line"),
        (lambda kspace, mask: (kspace, np.eye(32)[None]), "most points that the mask keeps were not measured"),
        (lambda kspace, mask: (to_kspace(torch.from_numpy(volume())).numpy(), None), "tells of no mask"),
    ],
)
def test_what_does_not_fit_is_told(model: Model, change, message: str) -> None:
    kspace, mask = change(*model.undersample(volume()))
    with pytest.raises(UnimriError, match=message):
        model.reconstruct(kspace, mask, "brain")


def test_an_anatomy_must_be_known(model: Model) -> None:
    kspace, mask = model.undersample(volume())
    for anatomy in (None, "elbow"):
        with pytest.raises(UnimriError, match="allowed: brain, knee, auto"):
            model.reconstruct(kspace, mask, anatomy)


@pytest.mark.parametrize("acceleration", [0, 0.5, -4, 33, float("nan"), float("inf")])
def test_an_acceleration_leaves_lines_out_and_one_at_least(model: Model, acceleration: float) -> None:
    with pytest.raises(UnimriError, match=r"^acceleration: .*; allowed: 1 to 32, the number of lines"):
        model.undersample(volume(), acceleration)
    with pytest.raises(UnimriError, match=r"1 phase-encoding line\(s\): cannot be undersampled"):
        model.undersample(volume(2, 7, 1))


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x", "mps", "meta"])
def test_a_device_is_one_that_is_known(shared_model: Path, device: str) -> None:
    with pytest.raises(UnimriError, match="is not known; allowed: auto, cpu, cuda"):
        unimri.load(shared_model, device=device)


def test_models_and_acquisitions_say_what_they_are_in_a_short_line(model: Model) -> None:
    assert repr(model) == "Model(tiny-4x, 4x, brain, knee, on cpu)"
    kspace, mask = model.undersample(volume())
    found = acquisition(kspace, mask, None, "columns")
    assert repr(found) == "Acquisition(3 slices, 1 coils, 32 x 32, 4.00x, lines are columns)"


def test_a_whole_mask_changes_nothing(model: Model) -> None:
    images = volume()
    kspace = to_kspace(torch.from_numpy(images)).numpy()
    found = model.reconstruct(kspace, np.ones(32), "brain")
    np.testing.assert_allclose(found, images, atol=1e-3)
    np.testing.assert_allclose(to_image(torch.from_numpy(kspace)).abs().numpy(), images, atol=1e-3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "description.json").unlink(), "is no model"),
        (lambda folder: (folder / "description.json").write_text("{"), "copy the model again"),
        (lambda folder: (folder / "aspin/knee.safetensors").unlink(), "no such file; copy the model"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"0"), "is not the file that was made"),
        (lambda folder: shutil.copy(folder / "README.md", folder / "more.md"), "does not belong to the model"),
    ],
)
def test_a_damaged_model_is_refused_with_the_reason(model_folder: Path, damage, message: str) -> None:
    damage(model_folder)
    with pytest.raises(UnimriError, match=message):
        unimri.load(model_folder)

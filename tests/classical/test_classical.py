"""The classical methods: that they minimise what they say, and the choice of their weight."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import pywt
import torch
from pydantic import ValidationError
from skimage.data import shepp_logan_phantom
from skimage.restoration import denoise_tv_chambolle
from skimage.transform import resize

from unimri.classical.reconstruction import classical_reconstructor, fill_conjugate, minimise
from unimri.classical.settings import (
    CgSense,
    ClassicalSettings,
    ConjugateFilling,
    RealTotalVariation,
    TotalVariation,
    TotalVariationSense,
    Tuned,
    Wavelet,
    WaveletSense,
)
from unimri.classical.tuning import beyond_the_end, mean_psnr, tune
from unimri.core.errors import UnimriError
from unimri.core.settings import parse_settings
from unimri.data.layouts import NiftiReader
from unimri.data.prepare import PreparationSettings, PreparationTask, prepare
from unimri.evaluation.reconstruct import load_reconstructor
from unimri.metrics.base import MetricSettings
from unimri.physics.coils import draw_measurement
from unimri.physics.drawing import AcquisitionSettings
from unimri.physics.fourier import PHASE_AXES, lines, undersample
from unimri.physics.masks import FastMRIEquispaced, Gaussian1D, draw_masks, save_masks
from unimri.physics.retrospective import zero_filling
from unimri.physics.sense import Encoding, Measurement

METHODS = [TotalVariation(), RealTotalVariation(), Wavelet()]
LONG = [
    TotalVariation(iterations=500),
    RealTotalVariation(iterations=500),
    Wavelet(iterations=500, levels=2),
    Wavelet(iterations=500, levels=2, wavelet="db2"),
]


def name(settings) -> str:
    return settings.method + getattr(settings, "wavelet", "")


def slices(size: int = 64, count: int = 2) -> torch.Tensor:
    """Shepp and Logan's phantom, and it turned and dimmed: float32 (count, size, size)."""
    phantom = resize(shepp_logan_phantom(), (size, size), anti_aliasing=True)
    images = [np.rot90(phantom, number) / (1 + number) for number in range(count)]
    return torch.from_numpy(np.stack(images).astype(np.float32))


def undersampled(images: torch.Tensor, axis: str = "columns", acceleration: float = 3):
    """Zero-filled images and where they are sampled, each slice with a mask of its own."""
    masks = draw_masks(Gaussian1D(axis=axis, per_slice=True), images.shape[-1], acceleration)
    sampled = lines(torch.from_numpy(masks.of_slices(np.arange(len(images)))), PHASE_AXES[axis])
    zero_filled, _ = undersample(images, sampled, PHASE_AXES[axis])
    return zero_filled.numpy(), sampled.numpy()


def differences(x):
    return np.stack([x - np.roll(x, 1, axis) for axis in (-2, -1)])


def transposed_differences(u):
    return sum(part - np.roll(part, -1, axis) for part, axis in zip(u, (-2, -1), strict=True))


def details(x, settings):
    levels = pywt.swt2(x, settings.wavelet, settings.levels, axes=(-2, -1), norm=True, trim_approx=True)[1:]
    return np.stack([band for level in levels for band in level])


def transposed_details(u, settings):
    levels = [tuple(u[3 * level : 3 * level + 3]) for level in range(settings.levels)]
    return pywt.iswt2([np.zeros_like(u[0]), *levels], settings.wavelet, axes=(-2, -1), norm=True)


def operators(settings):
    """G and its adjoint, and the lengths whose sum is R."""
    if isinstance(settings, TotalVariation | RealTotalVariation):
        return differences, transposed_differences, lambda u: np.sqrt((np.abs(u) ** 2).sum(0, keepdims=True))
    return lambda x: details(x, settings), lambda u: transposed_details(u, settings), np.abs


def objective(x, zero_filled, sampled, settings, weight) -> float:
    analysis, _, lengths = operators(settings)
    residual = sampled * np.fft.fft2(x.astype(complex) - zero_filled, norm="ortho")
    return float(0.5 * (np.abs(residual) ** 2).sum() + weight * lengths(analysis(x.astype(complex))).sum())


def primal_dual(zero_filled, sampled, settings, weight, iterations):
    """The minimiser by another algorithm (Chambolle and Pock 2011), in double precision."""
    if isinstance(settings, RealTotalVariation):
        return forward_backward(zero_filled, sampled, settings, weight, 10 * iterations)
    analysis, adjoint, lengths = operators(settings)
    sigma = 5 * weight
    tau = 1 / (8 * sigma)
    x = extrapolated = zero_filled.astype(complex)
    y = np.fft.fft2(x, norm="ortho")
    u = np.zeros_like(analysis(x))
    for _ in range(iterations):
        u = u + sigma * analysis(extrapolated)
        u = u / np.maximum(1, lengths(u) / weight)
        kspace = np.fft.fft2(x - tau * adjoint(u), norm="ortho")
        new = np.fft.ifft2((kspace + tau * sampled * y) / (1 + tau * sampled), norm="ortho")
        x, extrapolated = new, 2 * new - x
    return x


def forward_backward(zero_filled, sampled, settings, weight, iterations):
    """The real minimiser by gradients of the data term (Condat 2013, Vu 2013), which know of no symmetry."""
    analysis, adjoint, lengths = operators(settings)
    sigma = 5 * weight
    tau = 0.99 / (8 * sigma + 0.5)
    x = zero_filled.real.astype(float)
    u = np.zeros_like(analysis(x))
    for _ in range(iterations):
        residual = np.fft.ifft2(sampled * np.fft.fft2(x - zero_filled, norm="ortho"), norm="ortho")
        new = x - tau * (residual.real + adjoint(u))
        u = u + sigma * analysis(2 * new - x)
        u, x = u / np.maximum(1, lengths(u) / weight), new
    return x


@pytest.mark.parametrize(("rows", "columns"), [(6, 8), (7, 5), (5, 6)])
@pytest.mark.parametrize("axis", [-1, -2])
def test_conjugate_filling_is_the_real_image_of_least_norm(rows, columns, axis):
    image = np.random.default_rng(2).standard_normal((1, rows, columns)).astype(np.float32)
    kept = np.zeros((1, image.shape[axis]), bool)
    kept[:, kept.shape[1] // 2 : kept.shape[1] // 2 + 2] = True
    sampled = lines(torch.from_numpy(kept), axis)
    zero_filled, _ = undersample(torch.from_numpy(image), sampled, axis)
    transform = np.kron(np.fft.fft(np.eye(rows), norm="ortho"), np.fft.fft(np.eye(columns), norm="ortho"))
    measured = transform[np.broadcast_to(sampled.numpy(), image.shape).ravel()]
    equations = np.concatenate([measured.real, measured.imag])
    expected = np.linalg.lstsq(equations, equations @ image.ravel(), rcond=1e-6)[0].reshape(image.shape)
    found = fill_conjugate(zero_filled, sampled).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - zero_filled.numpy()).max() > 1e-3


def test_conjugate_filling_has_nothing_to_tune(tmp_path, inputs):
    tune(ConjugateFilling(), "head", inputs / "data", inputs / "mask.npz", MetricSettings(), 3, tmp_path / "tuned.json")
    tuned = json.loads((tmp_path / "tuned.json").read_text())
    assert (tuned["weight"], [weight for weight, _ in tuned["tried"]]) == (0, [0])
    reconstruct = load_reconstructor(tmp_path / "tuned.json", "head")
    images = slices()
    zero_filled, sampled = undersampled(images)
    found = reconstruct(Measurement(torch.from_numpy(zero_filled), torch.empty(0), torch.from_numpy(sampled), -1))
    assert found.imag.abs().max() < 1e-5
    assert (found - images).abs().mean() < 0.8 * np.abs(zero_filled - images.numpy()).mean()


@pytest.mark.parametrize("settings", LONG, ids=name)
@pytest.mark.parametrize("axis", ["columns", "rows"])
def test_another_algorithm_finds_the_same_minimum(settings, axis):
    rng = np.random.default_rng(0)
    images = slices(16, 1) + 0.1 * torch.from_numpy(rng.standard_normal((1, 16, 16), dtype=np.float32))
    zero_filled, sampled = undersampled(images, axis)
    ours = minimise(zero_filled, sampled, settings, 0.02)
    theirs = primal_dual(zero_filled, sampled, settings, 0.02, 500)
    lowest = objective(theirs, zero_filled, sampled, settings, 0.02)
    assert objective(ours, zero_filled, sampled, settings, 0.02) == pytest.approx(lowest, rel=1e-4)
    assert lowest < 0.95 * objective(zero_filled, zero_filled, sampled, settings, 0.02)


def test_total_variation_of_a_whole_slice_is_scikit_images_denoising():
    rng = np.random.default_rng(1)
    image = slices(32, 1)[0].numpy() + 0.05 * rng.standard_normal((32, 32), dtype=np.float32)
    # With a margin: we continue an image periodically, and scikit-image does not.
    image = np.pad(image, 8)
    whole = np.ones((1, 1, len(image)), bool)
    ours = minimise(image[None].astype(np.complex64), whole, TotalVariation(iterations=500), 0.05)
    # It takes the differences to the other side.
    turned = image[::-1, ::-1].astype(float)
    theirs = denoise_tv_chambolle(turned, weight=0.05, eps=1e-16, max_num_iter=1000)[::-1, ::-1]
    np.testing.assert_allclose(ours[0].real, theirs, atol=1e-3)
    assert np.abs(ours[0].imag).max() < 1e-6
    assert np.abs(theirs - image).max() > 0.05


def test_one_level_of_haar_on_two_pixels_is_soft_thresholding():
    image = np.broadcast_to(np.array([[0.7, 0.1]], np.complex64), (1, 2, 2)).copy()
    found = minimise(image, np.ones((1, 1, 2), bool), Wavelet(levels=1, iterations=500), 0.05)
    # The detail is +-(a - b) / 2 at each of four pixels. Moving a and b by e towards each other costs 2 e^2 and saves
    # 4 weight e: least at e = weight.
    np.testing.assert_allclose(found[0], [[0.65, 0.15]] * 2, atol=1e-5)


@pytest.mark.parametrize("settings", METHODS, ids=name)
def test_a_vanishing_weight_keeps_a_whole_slice(settings):
    images = slices().numpy().astype(np.complex64)
    found = minimise(images, np.ones((1, 1, 64), bool), settings, 1e-6)
    np.testing.assert_allclose(found, images, atol=1e-4)


@pytest.mark.parametrize("settings", METHODS, ids=name)
def test_slices_of_a_batch_do_not_see_each_other(settings):
    zero_filled, sampled = undersampled(slices(count=3))
    together = minimise(zero_filled, sampled, settings, 1e-3)
    assert (together.dtype, together.shape) == (np.complex64, zero_filled.shape)
    for number in range(3):
        alone = minimise(zero_filled[[number]], sampled[[number]], settings, 1e-3)
        np.testing.assert_allclose(together[[number]], alone, atol=1e-6)


@pytest.mark.parametrize("settings", METHODS, ids=name)
def test_the_iterations_suffice_and_more_lower_the_objective(settings):
    zero_filled, sampled = undersampled(slices())
    values = [
        objective(
            minimise(zero_filled, sampled, settings.model_copy(update={"iterations": iterations}), 1e-3),
            zero_filled,
            sampled,
            settings,
            1e-3,
        )
        for iterations in (2, 8, settings.iterations, 1000)
    ]
    assert values[0] > values[1] > values[2]
    assert values[2] == pytest.approx(values[3], rel=0.01)


@pytest.mark.parametrize("settings", METHODS, ids=name)
def test_it_is_better_than_zero_filling(settings):
    images = slices()
    zero_filled, sampled = undersampled(images)

    def error(found):
        return float(np.square(np.abs(found) - images.numpy()).mean())

    assert error(minimise(zero_filled, sampled, settings, 1e-3)) < 0.5 * error(zero_filled)


@pytest.mark.parametrize("settings", METHODS, ids=name)
def test_without_a_line_through_dc_it_stays_finite(settings):
    zero_filled, sampled = undersampled(slices())
    sampled[..., 0] = False
    assert np.isfinite(minimise(zero_filled, sampled, settings, 1e-3)).all()


def test_weight_zero_is_zero_filling():
    zero_filled, sampled = (torch.from_numpy(array) for array in undersampled(slices()))
    found = classical_reconstructor(TotalVariation(), 0)(Measurement(zero_filled, zero_filled, sampled, -1))
    assert torch.equal(found, zero_filled)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Prepared data and a mask."""
    folder = tmp_path_factory.mktemp("classical")
    (folder / "raw").mkdir()
    for patient in range(3):
        volume = slices(32, 3).numpy() * (1 + patient)
        nib.save(nib.Nifti1Image(volume.transpose(1, 2, 0), np.eye(4)), folder / f"raw/{patient}.nii.gz")
    task = PreparationTask(
        reader=NiftiReader(format="nifti", patient="file"),
        fit="resize",
        preparation=PreparationSettings(image_size=32, crop=32),
    )
    prepare("head", folder / "raw", task, folder / "data", 0)
    save_masks(draw_masks(Gaussian1D(), 32, 3), folder / "mask.npz")
    return folder


@pytest.mark.parametrize("settings", METHODS, ids=name)
def test_tuning_takes_the_best_on_validation_and_writes_the_same_again(inputs, tmp_path, settings):
    for file in ("a.json", "b.json"):
        tune(settings, "head", inputs / "data", inputs / "mask.npz", MetricSettings(), 2, tmp_path / file)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    tuned = Tuned.model_validate_json((tmp_path / "a.json").read_text())
    tried = dict(tuned.tried)
    assert tuned.psnr_db == tried[tuned.weight] == max(tried.values())
    assert tuned.slices == 2
    assert tuned.weight > 0
    zero_filled, sampled = (torch.from_numpy(array) for array in undersampled(slices(32)))
    expected = minimise(zero_filled.numpy(), sampled.numpy(), settings, tuned.weight)
    loaded = load_reconstructor(tmp_path / "a.json", "head")
    np.testing.assert_array_equal(loaded(Measurement(zero_filled, zero_filled, sampled, -1)).numpy(), expected)


def test_what_follows_from_the_same_is_taken_over(inputs, tmp_path, monkeypatch):
    tuned, counted = tmp_path / "tuned.json", []

    def counting(*given):
        counted.append(given)
        return mean_psnr(*given)

    monkeypatch.setattr("unimri.classical.tuning.mean_psnr", counting)

    def again(**changed):
        counted.clear()
        settings = TotalVariation(iterations=2, **changed)
        tune(settings, "head", inputs / "data", inputs / "mask.npz", MetricSettings(), 2, tuned)
        return len(counted)

    assert again() > 0
    first, before = tuned.read_bytes(), tuned.stat().st_mtime_ns
    assert again() == 0
    assert tuned.read_bytes() == first
    # Newer than what it was made from: Snakemake compares times.
    assert tuned.stat().st_mtime_ns > before
    assert again(weights=[0.03, 0.3]) > 0
    tuned.write_bytes(first[:-20])
    assert again() > 0
    assert tuned.read_bytes() == first


def test_a_grid_whose_best_is_at_an_end_grows_there(inputs, tmp_path):
    settings = TotalVariation(weights=[0.03, 0.3], iterations=10)
    tune(settings, "head", inputs / "data", inputs / "mask.npz", MetricSettings(), 1, tmp_path / "tuned.json")
    tried = json.loads((tmp_path / "tuned.json").read_text())["tried"]
    assert [weight for weight, _ in tried[:4]] == [0, 0.03, 0.3, 0.003]
    assert len(tried) <= 7


@pytest.mark.parametrize(
    ("tried", "further"),
    [
        ({0.0: 20, 1.0: 21, 2.0: 22}, 4),
        ({0.0: 20, 1.0: 22, 2.0: 21}, 0.5),
        ({0.0: 20, 1.0: 21, 2.0: 22, 3.0: 21}, None),
        ({0.0: 25, 1.0: 22, 2.0: 21}, 0.5),
        ({0.0: 20, 1.0: 22.009, 2.0: 22}, None),
    ],
)
def test_where_a_grid_grows(tried, further):
    assert beyond_the_end(tried) == further


def test_penalties_that_only_harm_leave_zero_filling(inputs, tmp_path):
    settings = TotalVariation(weights=[1e8, 1e9], iterations=10)
    tune(settings, "head", inputs / "data", inputs / "mask.npz", MetricSettings(), 1, tmp_path / "tuned.json")
    assert json.loads((tmp_path / "tuned.json").read_text())["weight"] == 0


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text[: len(text) // 2], r"tuned\.json: invalid JSON.*; tune again"),
        (lambda text: text.replace('"weight": ', '"weight": -'), r"tuned\.json: weight is -.*greater than or equal"),
        (lambda text: text.replace('"weight"', '"height"'), r"tuned\.json: weight: missing"),
        (lambda text: text.replace('"total_variation"', '"fourier"'), r"tuned\.json: settings.*'total_variation'"),
        (lambda text: text.replace('"weight": ', '"weight": 7'), r"tuned\.json: .*none of those tried; tune again"),
    ],
)
def test_a_damaged_file_is_told(inputs, tmp_path, damage, says):
    path = tmp_path / "tuned.json"
    tune(TotalVariation(iterations=2), "head", inputs / "data", inputs / "mask.npz", MetricSettings(), 1, path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(UnimriError, match=r"tuned\.json: is not the file that was made"):
        load_reconstructor(path, "head")
    path.with_name("tuned.json.sha256").unlink()
    with pytest.raises(UnimriError, match=says) as fault:
        load_reconstructor(path, "head")
    assert "\n" not in str(fault.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UnimriError, match=r"absent\.json: cannot be read; tune again"):
        load_reconstructor(tmp_path / "absent.json", "head")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"total_variation": {"weights": [1, 1]}}, "must rise"),
        ({"total_variation": {"weights": [0, 1]}}, "greater than 0"),
        ({"wavelet": {"wavelet": "bior2.2"}}, "no orthogonal wavelet"),
        ({"wavelet": {"levels": 0}}, "greater than or equal to 1"),
        ({"curvelet": {}}, "unknown key"),
    ],
)
def test_wrong_settings_are_told(wrong, says):
    with pytest.raises(UnimriError, match=says):
        parse_settings(ClassicalSettings, wrong, "config")
    with pytest.raises(ValidationError):
        ClassicalSettings.model_validate(wrong)


def test_other_commands_do_not_wait_for_sigpy():
    command = "import sys, unimri.workflow.plan, unimri.evaluation.reconstruct; sys.exit('sigpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def measured(coils: int, noise: float = 0.0) -> tuple[torch.Tensor, Measurement]:
    truth = slices(32)
    sampled = lines(torch.from_numpy(draw_masks(FastMRIEquispaced(centre_fraction=0.2), 32, 2.5).masks), -1)
    keys = [[5, number] for number in range(len(truth))]
    return draw_measurement(AcquisitionSettings(phase=1), truth, sampled, -1, keys, coils, noise)


@pytest.mark.parametrize("coils", [1, 6])
@pytest.mark.parametrize("settings", [CgSense(), WaveletSense(), TotalVariationSense()], ids=name)
def test_sense_is_better_than_zero_filling(settings, coils):
    truth, given = measured(coils, 0.01)
    errors = []
    for weight in (3e-3, 1e-3):
        found = classical_reconstructor(settings, weight)(given)
        assert found.shape == given.zero_filled.shape
        errors.append(float((found.abs() - truth.abs()).square().mean()))
    before = float((zero_filling(given).abs().reshape(truth.shape) - truth.abs()).square().mean())
    # One coil without a penalty on structure has nothing to win by.
    assert min(errors) < before * (0.7 if coils > 1 else 1.01 if isinstance(settings, CgSense) else 0.9)


def test_cg_sense_solves_its_normal_equations():
    _, given = measured(6)
    encoding = Encoding(given.sampled, given.axis, given.sensitivities)
    found = classical_reconstructor(CgSense(iterations=60), 0.05)(given)
    torch.testing.assert_close(encoding.normal(found) + 0.05 * found, given.zero_filled, atol=1e-4, rtol=1e-4)


def test_sense_gives_the_same_bytes_again():
    _, given = measured(4)
    for settings in (CgSense(), WaveletSense(iterations=5), TotalVariationSense(iterations=5)):
        first, second = (classical_reconstructor(settings, 1e-3)(given) for _ in range(2))
        assert torch.equal(first, second)


def test_two_sets_of_sensitivities_are_refused():
    _, given = measured(4)
    two = given._replace(sensitivities=given.sensitivities.expand(-1, 2, -1, -1, -1))
    with pytest.raises(UnimriError, match="2 sets of sensitivities; one can be used"):
        classical_reconstructor(CgSense(), 1e-3)(two)

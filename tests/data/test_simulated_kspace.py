"""Simulated raw data: files that others' programs can read, and what they hold, by formulas of their own."""

import hashlib
import time
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import pytest
from ismrmrd import xsd
from numpy.typing import NDArray
from scan_files import image_of

import unimri
from unimri.data.layouts import parse_reader
from unimri.data.prepare import findings_table, inspect
from unimri.data.scanner import PHANTOMS, SimulationSettings, scan, stream
from unimri.data.simulate import simulate

FORMATS = ["fastmri-h5", "ismrmrd"]
COILS, SLICES, NOISE = 8, 4, 0.05


def settings_for(kind: str, anatomy: str = "brain", phase: float = 1.2, **changes: Any) -> SimulationSettings:
    values = {"patients": 2, "slices": SLICES, "frames": 3, "matrix_sizes": [64, 48], "noise": NOISE} | changes
    raw = {"format": kind, "coils": COILS, "phase": phase}
    return SimulationSettings.model_validate({"anatomy": anatomy, "kspace": raw, **values})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("kspace")
    for kind in FORMATS:
        simulate(settings_for(kind), root / kind, seed=3)
    return {kind: root / kind for kind in FORMATS}


def digests(root: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in root.iterdir()}


def stored(path: Path) -> NDArray[np.complex64]:
    with h5py.File(path) as file:
        kspace: NDArray[np.complex64] = file["kspace"][...]
        return kspace


def images_of(kspace: NDArray[np.complex64]) -> NDArray[np.complex128]:
    axes = (-2, -1)
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes), norm="ortho"), axes)


@pytest.mark.parametrize("kind", FORMATS)
def test_same_seed_gives_same_bytes_and_fewer_patients_the_same_patients(
    kind: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    # HDF5 counts times in seconds, where it keeps any.
    time.sleep(1.1)
    simulate(settings_for(kind, patients=1), tmp_path / "again", seed=3)
    simulate(settings_for(kind, patients=1), tmp_path / "other", seed=4)
    many, few, other = digests(folders[kind]), digests(tmp_path / "again"), digests(tmp_path / "other")
    assert sorted(many) == [f"file_brain_{patient:04d}_{series:02d}.h5" for patient in (1, 2) for series in (1, 2)]
    assert few.items() <= many.items()
    assert not set(other.values()) & set(many.values())


def test_a_fastmri_file_has_all_that_the_real_ones_have(folders: dict[str, Path]) -> None:
    patients, contrasts, sizes = [], set(), set()
    for path in sorted(folders["fastmri-h5"].iterdir()):
        with h5py.File(path) as file:
            assert set(file) == {"kspace", "reconstruction_rss", "ismrmrd_header"}
            kspace, rss, named = file["kspace"][...], file["reconstruction_rss"][...], dict(file.attrs)
            header = xsd.CreateFromDocument(file["ismrmrd_header"][()])
        assert (kspace.dtype, rss.dtype) == (np.complex64, np.float32)
        size = kspace.shape[-1]
        assert kspace.shape == (SLICES, COILS, 2 * size, size)
        whole = image_of(kspace)
        assert rss == pytest.approx(whole[:, size // 2 : size // 2 + size], rel=1e-4, abs=1e-4 * rss.max())
        assert named["max"] == rss.max()
        assert named["norm"] == pytest.approx(np.sqrt((rss.astype(float) ** 2).sum()), rel=1e-5)
        spaces = header.encoding[0].encodedSpace, header.encoding[0].reconSpace
        assert [(space.matrixSize.x, space.matrixSize.y) for space in spaces] == [(2 * size, size), (size, size)]
        pixels = [space.fieldOfView_mm.x / space.matrixSize.x for space in spaces]
        assert pixels == pytest.approx([spaces[0].fieldOfView_mm.y / size] * 2, rel=1e-4)
        assert header.subjectInformation.patientID == named["patient_id"]
        patients.append(named["patient_id"])
        contrasts.add(named["acquisition"])
        sizes.add(size)
    assert patients == [f"SIMULATED-BRAIN-{number:04d}" for number in (1, 1, 2, 2)]
    assert contrasts <= set(PHANTOMS["brain"].tissues)
    assert sizes == {48, 64}


def test_ismrmrd_holds_the_same_lines_for_its_own_package(folders: dict[str, Path]) -> None:
    for path in folders["ismrmrd"].iterdir():
        kspace = stored(folders["fastmri-h5"] / path.name)
        read = np.full_like(kspace, np.nan)
        with ismrmrd.Dataset(str(path), mode="r") as file:
            header = xsd.CreateFromDocument(file.read_xml_header())
            for number in range(file.number_of_acquisitions()):
                line = file.read_acquisition(number)
                assert (line.center_sample, line.active_channels) == (kspace.shape[2] // 2, COILS)
                read[line.idx.slice, :, :, line.idx.kspace_encode_step_1] = line.data
        assert np.array_equal(read, kspace)
        limits = header.encoding[0].encodingLimits.kspace_encoding_step_1
        assert (limits.minimum, limits.maximum, limits.center) == (0, kspace.shape[-1] - 1, kspace.shape[-1] // 2)


def test_noise_is_complex_and_white(tmp_path: Path) -> None:
    size = 64
    for name, noise in (("noisy", NOISE), ("clean", 0.0)):
        simulate(settings_for("fastmri-h5", patients=1, series=1, noise=noise), tmp_path / name, seed=3)
    noisy, clean = (stored(tmp_path / name / "file_brain_0001_01.h5") for name in ("noisy", "clean"))
    # Sums of squares of sensitivities are 1, so that the image's largest value is the object's.
    deviation = NOISE * size / 320 * image_of(clean).max()
    # At the corner an object with sharp edges still has some signal.
    corner = (noisy - clean)[..., :8, :8]
    for part in (corner.real, corner.imag):
        assert part.std() == pytest.approx(deviation, rel=0.1)
        assert abs(part.mean()) < 0.1 * deviation
    flat = np.stack([corner.real, corner.imag]).swapaxes(1, 2).reshape(2 * COILS, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(2 * COILS)).max() < 0.3


def test_phase_and_coils_are_there_and_smooth(tmp_path: Path) -> None:
    for name, phase in (("turned", 1.2), ("flat", 0.0)):
        simulate(settings_for("fastmri-h5", phase=phase, patients=1, series=1, noise=0), tmp_path / name, seed=3)
    turned, flat = (images_of(stored(tmp_path / name / "file_brain_0001_01.h5")) for name in ("turned", "flat"))
    object_ = np.sqrt((np.abs(flat) ** 2).sum(1)) > 0.1 * np.abs(flat).max()
    # The phase is a slice's, and not a coil's.
    slices, _, rows, columns = flat.shape
    phases = np.zeros((slices, rows, columns), complex)
    for number in range(slices):
        seen = object_[number]
        ratio = turned[number][:, seen] / flat[number][:, seen]
        strong = np.abs(flat[number][:, seen]) > 0.02 * np.abs(flat).max()
        assert np.abs(np.abs(ratio[strong]) - 1).max() < 1e-2
        middle = (ratio * strong).sum(0) / strong.sum(0)
        assert np.abs((ratio - middle)[strong]).max() < 2e-2
        phases[number][seen] = middle
    both = object_[:, 1:] & object_[:, :-1]
    steps = np.angle(phases[:, 1:] * phases[:, :-1].conj())[both]
    assert np.abs(steps).max() < 0.5
    assert np.std(np.angle(phases[object_])) > 0.3
    # Slices differ in their phase, and coils from slice to slice only little.
    shared = object_[0] & object_[1]
    assert np.std(np.angle(phases[0] * phases[1].conj())[shared]) > 0.1
    maps = flat / np.sqrt((np.abs(flat) ** 2).sum(1, keepdims=True)).clip(1e-12)
    for near in range(slices - 1):
        shared = object_[near] & object_[near + 1]
        alike = np.abs((maps[near].conj() * maps[near + 1]).sum(0))[shared]
        assert 0.9 < alike.mean() < 1 - 1e-5
    far = np.abs(maps[0, 0].conj() * maps[0, COILS // 2])[object_[0]]
    assert far.mean() < 0.25


@pytest.mark.parametrize("kind", FORMATS)
def test_the_image_of_an_opened_file_is_the_truth_up_to_noise(kind: str, tmp_path: Path) -> None:
    simulate(settings_for(kind, patients=1, series=1), tmp_path / "set", seed=5)
    path = tmp_path / "set/file_brain_0001_01.h5"
    acquisition = unimri.load_kspace(path)
    assert isinstance(acquisition, unimri.Acquisition)
    assert acquisition.kspace.shape == (SLICES, COILS, 128, 64)
    assert acquisition.complete
    assert acquisition.truth.shape == (SLICES, 64, 64)
    # The same scan, with no coil, phase or noise.
    contrasts = stream(5, "brain", "protocol", 0).permutation(list(PHANTOMS["brain"].tissues)).tolist()
    phantom = PHANTOMS["brain"](stream(5, "brain", "patient", 0))
    rng = stream(5, "brain", "series", 0, 0)
    clean = scan(phantom, contrasts[0], (128, 64), SLICES, 0.0, rng).magnitude[0]
    seen = clean > 0.3
    read = np.stack([image_of(slice_[None])[0] for slice_ in acquisition.kspace])
    scale = read[seen].sum() / clean[seen].sum()
    # Coils' noise, summed with their sensitivities, is as large as one coil's; the bias is small where the object is.
    assert (read / scale - clean)[seen].std() < 1.5 * NOISE * 64 / 320
    assert acquisition.cropped(read) == pytest.approx(acquisition.truth, rel=1e-4, abs=1e-4 * read.max())
    prepared = parse_reader(kind).read((path,))
    assert prepared == pytest.approx(np.asarray(acquisition.truth), rel=1e-4, abs=1e-4 * read.max())


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("anatomy", sorted(PHANTOMS))
def test_every_anatomy_is_found_whole(kind: str, anatomy: str, tmp_path: Path) -> None:
    simulate(settings_for(kind, anatomy, slices=2, matrix_sizes=[32]), tmp_path / "set", seed=1)
    shown = findings_table(list(inspect(tmp_path / "set", parse_reader(kind), lambda word: pytest.fail(word))))
    pictures = 2 * (3 if anatomy == "cardiac" else 1)
    assert f"2 patients, 4 volumes, {4 * pictures} slices; 0 left out" in shown

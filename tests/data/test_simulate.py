"""The simulated data sets: deterministic, whole, laid out as the real ones, and worth reconstructing."""

import hashlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from unimri.data.phantoms.phantom import Plane
from unimri.data.scanner import PHANTOMS, SimulationSettings, scan, stream
from unimri.data.simulate import Encoding, layout_of, simulate

ANATOMIES = sorted(PHANTOMS)


def settings_for(anatomy: str, **changes: object) -> SimulationSettings:
    values = {"patients": 2, "slices": 4, "series": 2, "frames": 3, "matrix_sizes": [64, 48]} | changes
    return SimulationSettings.model_validate({"anatomy": anatomy, **values})


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small data set of each anatomy, of seven patients (so that the Decathlon's has a test patient)."""
    root = tmp_path_factory.mktemp("simulated")
    for anatomy in ANATOMIES:
        simulate(settings_for(anatomy, patients=7), root / anatomy, seed=3)
    return {anatomy: root / anatomy for anatomy in ANATOMIES}


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def series_folders(root: Path) -> list[Path]:
    return sorted({path.parent for path in root.rglob("*.dcm")})


def along_normal(header: pydicom.Dataset) -> float:
    axes = np.array(header.ImageOrientationPatient, float)
    return float(np.cross(axes[:3], axes[3:]) @ np.array(header.ImagePositionPatient, float))


def in_order(folder: Path) -> list[pydicom.Dataset]:
    return sorted((pydicom.dcmread(path) for path in folder.glob("*.dcm")), key=along_normal)


def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("anatomy", ANATOMIES)
def test_same_seed_gives_same_bytes_and_fewer_patients_the_same_patients(
    anatomy: str, trees: dict[str, Path], tmp_path: Path
) -> None:
    # One comparison answers for both: the second run has other patients after it, or it would differ.
    simulate(settings_for(anatomy, patients=2), tmp_path / "again", seed=3)
    many, few = digests(trees[anatomy]), digests(tmp_path / "again")
    few.pop("dataset.json", None)
    assert len(few) > 3
    assert few.items() <= many.items()


@pytest.mark.parametrize("anatomy", ANATOMIES)
def test_another_seed_gives_other_pictures(anatomy: str, tmp_path: Path) -> None:
    small = settings_for(anatomy, patients=1, slices=2, series=1, frames=1)
    simulate(small, tmp_path / "a", seed=1)
    simulate(small, tmp_path / "b", seed=2)
    pictures = [
        {value for name, value in digests(tmp_path / run).items() if name.endswith((".dcm", ".nii.gz"))}
        for run in ("a", "b")
    ]
    # Label maps of a lone empty slice may agree; pictures, which carry noise, may not.
    assert len(pictures[0] & pictures[1]) <= len(pictures[0]) // 2
    assert pictures[0] != pictures[1]


@pytest.mark.parametrize("anatomy", ["brain", "knee"])
def test_fastmri_headers_are_consistent_and_names_out_of_order(anatomy: str, trees: dict[str, Path]) -> None:
    folders = series_folders(trees[anatomy])
    assert len(folders) == 7 * 2
    assert len({folder.parent for folder in folders}) == 7
    sizes, syntaxes, studies, series = set(), set(), {}, set()
    for folder in folders:
        headers = in_order(folder)
        assert len(headers) == 4
        first = headers[0]
        assert {h.SeriesInstanceUID for h in headers} == {first.SeriesInstanceUID}
        assert len({h.SOPInstanceUID for h in headers}) == 4
        assert [h.InstanceNumber for h in headers] in ([1, 2, 3, 4], [4, 3, 2, 1])
        gaps = np.diff([along_normal(h) for h in headers])
        assert gaps == pytest.approx(float(first.SpacingBetweenSlices), abs=1e-3)
        names = [Path(h.filename).name for h in headers]
        assert names != sorted(names)
        assert (first.Modality, first.BitsAllocated) == ("MR", 16)
        assert first.BitsStored in (12, 16)
        assert first.PatientName.family_name == "SIMULATED"
        assert max(h.pixel_array.max() for h in headers) < 2**first.BitsStored
        studies.setdefault(folder.parent, set()).add((first.StudyInstanceUID, first.PatientID))
        series.add(first.SeriesInstanceUID)
        sizes.add((first.Rows, first.Columns))
        syntaxes.add(first.file_meta.TransferSyntaxUID)
    assert len(series) == len(folders)
    assert all(len(ids) == 1 for ids in studies.values())
    assert len(set.union(*studies.values())) == 7
    assert sizes == {(64, 64), (48, 48)}
    assert syntaxes <= {ExplicitVRLittleEndian, ImplicitVRLittleEndian}


def test_series_of_a_patient_have_different_contrasts(trees: dict[str, Path]) -> None:
    for patient in trees["brain"].iterdir():
        contrasts = {in_order(folder)[0].SeriesDescription for folder in patient.iterdir()}
        assert len(contrasts) == 2
        assert contrasts <= set(PHANTOMS["brain"].tissues)


@pytest.mark.parametrize(
    "encoding",
    [
        Encoding(12, 3000.0),
        Encoding(16, 20000.0, slope=2.5, intercept=-50.0),
        Encoding(12, 2000.0, inverted=True),
    ],
)
def test_decoded_values_are_proportional_to_the_magnitude(encoding: Encoding) -> None:
    magnitude = np.linspace(0, 1, 50, dtype=np.float32)
    stored = encoding.stored(magnitude).astype(float)
    upright = 2**encoding.bits - 1 - stored if encoding.inverted else stored
    decoded = encoding.slope * upright + encoding.intercept
    assert decoded == pytest.approx(magnitude * encoding.peak * encoding.slope, abs=0.51 * encoding.slope)


def test_acdc_tree(trees: dict[str, Path]) -> None:
    root = trees["cardiac"]
    assert sorted(path.name for path in root.iterdir()) == [f"patient{n:03d}" for n in range(1, 8)]
    for folder in root.iterdir():
        info = dict(line.split(": ") for line in (folder / "Info.cfg").read_text().splitlines())
        assert set(info) == {"ED", "ES", "Group", "Height", "NbFrame", "Weight"}
        cine = nibabel.load(folder / f"{folder.name}_4d.nii.gz")
        rows, columns, slices, frames = cine.shape
        assert (slices, frames) == (4, int(info["NbFrame"]))
        assert rows <= columns
        assert cine.get_data_dtype() == np.int16
        pictures = np.asarray(cine.dataobj)
        for frame in (int(info["ED"]), int(info["ES"])):
            still = nibabel.load(folder / f"{folder.name}_frame{frame:02d}.nii.gz")
            assert np.array_equal(np.asarray(still.dataobj), pictures[..., frame - 1])
            truth = np.asarray(nibabel.load(folder / f"{folder.name}_frame{frame:02d}_gt.nii.gz").dataobj)
            assert set(np.unique(truth)) == {0, 1, 2, 3}


def test_the_left_ventricle_is_smallest_at_the_end_of_systole(trees: dict[str, Path]) -> None:
    for folder in trees["cardiac"].iterdir():
        info = dict(line.split(": ") for line in (folder / "Info.cfg").read_text().splitlines())
        diastole, systole = (
            nibabel.load(folder / f"{folder.name}_frame{int(info[name]):02d}_gt.nii.gz").get_fdata() == 3
            for name in ("ED", "ES")
        )
        assert systole.sum() < 0.85 * diastole.sum()


def test_chaos_tree(trees: dict[str, Path]) -> None:
    root = trees["abdomen"]
    numbers = sorted(int(path.name) for path in root.iterdir())
    assert len(numbers) == 7
    assert numbers != list(range(1, 8))
    for patient in root.iterdir():
        for place in ("T1DUAL/DICOM_anon/InPhase", "T1DUAL/DICOM_anon/OutPhase", "T2SPIR/DICOM_anon"):
            headers = in_order(patient / place)
            assert len(headers) == 4
            assert all(h.BitsStored == 12 and h.Rows == h.Columns for h in headers)
        for sequence, pictures in (("T1DUAL", "DICOM_anon/InPhase"), ("T2SPIR", "DICOM_anon")):
            truths = sorted((patient / sequence / "Ground").glob("IMG-*.png"))
            assert [t.stem for t in truths] == sorted(p.stem for p in (patient / sequence / pictures).iterdir())
            values = np.unique([np.asarray(Image.open(path)) for path in truths])
            assert set(values) == {0, 63, 126, 189, 252}


def test_decathlon_tree(trees: dict[str, Path]) -> None:
    root = trees["prostate"]
    listing = json.loads((root / "dataset.json").read_text())
    assert listing["modality"] == {"0": "T2", "1": "ADC"}
    assert (listing["numTraining"], listing["numTest"]) == (6, 1)
    for item in listing["training"]:
        image, label = nibabel.load(root / item["image"]), nibabel.load(root / item["label"])
        assert image.shape == (*label.shape, 2)
        assert label.shape[2] == 4
        assert image.get_data_dtype() == np.float32
        assert set(np.unique(label.get_fdata())) == {0, 1, 2}
    assert all((root / name).is_file() for name in listing["test"])
    for folder in ("imagesTr", "imagesTs", "labelsTr"):
        files = [path for path in (root / folder).iterdir() if not path.name.startswith(".")]
        assert all(path.with_name(f"._{path.name}").is_file() for path in files)
    assert (root / "._dataset.json").is_file()


@pytest.mark.parametrize("anatomy", ANATOMIES)
def test_near_slices_are_more_alike_than_far_ones_and_patients_differ(anatomy: str) -> None:
    contrast = next(iter(PHANTOMS[anatomy].tissues))
    volumes = [
        scan(PHANTOMS[anatomy](stream(0, patient)), contrast, (64, 64), 8, 0.0, stream(1)).magnitude[0]
        for patient in range(3)
    ]
    for volume in volumes:
        near = np.mean([correlation(volume[k], volume[k + 1]) for k in range(7)])
        far = np.mean([correlation(volume[k], volume[k + 4]) for k in range(4)])
        assert near > far
        assert near > 0.75
    assert correlation(volumes[0][4], volumes[1][4]) < 0.97
    assert correlation(volumes[1][4], volumes[2][4]) < 0.97


@pytest.mark.parametrize("anatomy", ANATOMIES)
def test_detail_goes_beyond_the_centre_of_k_space(anatomy: str) -> None:
    """A fifth of the lines must not already give the picture, or reconstructing it would be no test."""
    for contrast in PHANTOMS[anatomy].tissues:
        picture = scan(PHANTOMS[anatomy](stream(5)), contrast, (128, 128), 3, 0.0, stream(6)).magnitude[0, 1]
        spectrum = np.fft.fftshift(np.fft.fft2(picture))
        spectrum[:51] = spectrum[77:] = 0
        blurred = np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum)))
        psnr = -10 * np.log10(np.mean((blurred - picture) ** 2) / picture.max() ** 2)
        assert psnr < 32


def test_noise_is_rician_and_grows_with_the_matrix() -> None:
    phantom = PHANTOMS["brain"](stream(0))
    for columns in (80, 160):
        corner = scan(phantom, "AXT1", (columns, columns), 4, 0.1, stream(1)).magnitude[..., :5, :5]
        deviation = 0.1 * columns / 320
        assert corner.mean() == pytest.approx(deviation * np.sqrt(np.pi / 2), rel=0.15)


def test_resolution_changes_the_grid_and_not_the_patient() -> None:
    for kind in PHANTOMS.values():
        phantom = kind(stream(2))
        contrast = next(iter(kind.tissues))
        coarse, fine = (
            np.abs(phantom.draw(Plane(n, n, kind.field_of_view / n, 0.0, phantom.pose), contrast).signal)
            for n in (64, 128)
        )
        assert correlation(coarse, fine.reshape(64, 2, 64, 2).mean(axis=(1, 3))) > 0.97


def test_a_failure_leaves_nothing_behind_and_an_older_set_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = tmp_path / "set"
    older.mkdir()
    (older / "kept").write_text("as it was")
    written = []

    def break_down(path: Path, text: str, **_: object) -> None:
        written.append(path)
        raise OSError("disk full")

    # Info.cfg is written after the patient's pictures: by then half a data set is on disk.
    monkeypatch.setattr(Path, "write_text", break_down)
    with pytest.raises(OSError, match="disk full"):
        simulate(settings_for("cardiac"), older, seed=0)
    assert written
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert (older / "kept").read_bytes() == b"as it was"


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(ValidationError, match="no phantom is called 'elbow'; choose one of brain"):
        settings_for("elbow")
    with pytest.raises(ValidationError, match="from 16 to 1024"):
        settings_for("brain", matrix_sizes=[64, 8])


def test_layouts_by_anatomy() -> None:
    assert {name: layout_of(name) for name in ANATOMIES} == {
        "abdomen": "chaos-mr",
        "brain": "fastmri-dicom",
        "cardiac": "acdc",
        "knee": "fastmri-dicom",
        "prostate": "decathlon",
    }

"""What is background and what negative values are: decided once, told, the same for every reader."""

import h5py
import numpy as np
import pytest
from scan_files import write_nifti, write_series

from unimri.core.errors import ReadError
from unimri.data.layouts import parse_reader
from unimri.data.prepare import findings_table, inspect
from unimri.io.formats import load_kspace
from unimri.io.notes import ReadNote, heard
from unimri.io.volume import magnitude

SIZE = 32
Y, X = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
OUTSIDE = X**2 + Y**2 > 0.98
TISSUE = (X / 0.7) ** 2 + (Y / 0.8) ** 2 < 1


def head(slices=3):
    """0 outside, 200 to 1000 inside, as whole numbers."""
    values = np.random.default_rng(0).integers(200, 1000, (slices, SIZE, SIZE))
    values[:, SIZE // 2, SIZE // 2] = 1000
    return values * TISSUE


def with_outside(value, slices=3):
    volume = head(slices).astype(np.float64)
    volume[:, OUTSIDE] = value
    return volume


def read(volume, path, negatives="refuse"):
    with heard() as notes:
        result = magnitude(volume, path, negatives)
    return result, notes


@pytest.mark.parametrize("value", [-32768, -1024, -1, -0.5, 65535, 32767, np.nan])
def test_what_lies_around_the_image_becomes_background_and_is_told(tmp_path, value):
    result, notes = read(with_outside(value), tmp_path)
    np.testing.assert_array_equal(result, head())
    assert len(notes) == 1
    assert "around the image" in notes[0] or "outside the image" in notes[0]


def test_each_slice_may_have_padding_of_its_own(tmp_path):
    volume = with_outside(-1000)
    volume[1, OUTSIDE] = -1234
    np.testing.assert_array_equal(read(volume, tmp_path)[0], head())


def test_a_scan_of_magnitudes_is_left_as_it_is_and_nothing_is_said(tmp_path):
    result, notes = read(head(), tmp_path)
    np.testing.assert_array_equal(result, head())
    assert notes == []


def test_a_bright_edge_of_an_image_is_no_padding(tmp_path):
    inverted = 1000.0 - head()
    result, notes = read(inverted, tmp_path)
    np.testing.assert_array_equal(result, inverted)
    assert notes == []


def test_few_negative_values_of_interpolation_are_clipped_and_told(tmp_path):
    volume = head().astype(np.float64)
    volume[0, 1, 2:6] = [-3, -2, -1, -4]
    result, notes = read(volume, tmp_path)
    np.testing.assert_array_equal(result, head())
    assert "down to -4" in notes[0]


def standardised():
    volume = head().astype(np.float64)
    return (volume - volume.mean()) / volume.std()


def of_tissue():
    volume, tissue = head().astype(np.float64), head() > 0
    volume[tissue] = (volume[tissue] - volume[tissue].mean()) / volume[tissue].std()
    return volume


def bright_spots():
    volume = np.where(head() > 900, 1.0, 0.0)
    return (volume - volume.mean()) / volume.std()


SIGNED = {
    "standardised": standardised,
    "standardised in tissue": of_tissue,
    "standardised, all tissue above the mean": bright_spots,
    "scaled to [-1, 1]": lambda: 2 * head() / 1000 - 1,
    "inversion recovery": lambda: np.where(X > 0, -1, 1) * head(),
    "real part": lambda: head() + np.random.default_rng(1).normal(0, 20, (3, SIZE, SIZE)),
    "imaginary part": lambda: np.random.default_rng(1).normal(0, 20, (3, SIZE, SIZE)),
    "Hounsfield units": lambda: np.where(OUTSIDE, -3024, head() * 1.2 - 1000),
    "unsigned values read as signed": lambda: head() - 32768.0,
}


@pytest.mark.parametrize("name", SIGNED)
def test_a_volume_of_many_negative_values_is_refused_with_their_share(tmp_path, name):
    volume = SIGNED[name]()
    share = f"{100 * (volume < 0).mean():.3g} % of its values are negative"
    with pytest.raises(ReadError, match=share):
        magnitude(volume, tmp_path)


@pytest.mark.parametrize(("negatives", "expected"), [("clip", lambda x: np.maximum(x, 0)), ("magnitude", np.abs)])
def test_a_setting_says_what_negative_values_mean(tmp_path, negatives, expected):
    volume = SIGNED["inversion recovery"]().astype(np.float64)
    result, notes = read(volume.copy(), tmp_path, negatives)
    np.testing.assert_array_equal(result, expected(volume))
    assert "as `negatives` says" in notes[0]


def test_a_fault_names_the_setting(tmp_path):
    with pytest.raises(ReadError, match="or say by `negatives` what they mean: clip or magnitude"):
        magnitude(standardised(), tmp_path)


def test_nan_in_the_image_is_refused_with_a_mend(tmp_path):
    volume = head().astype(np.float64)
    volume[1, SIZE // 2, SIZE // 2] = np.nan
    with pytest.raises(ReadError, match=r"has 1 NaN or infinite values inside the image; replace them"):
        magnitude(volume, tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_what_no_number_can_be_made_of_is_refused(tmp_path, value):
    with pytest.raises(ReadError, match="has NaN or infinite values; mend or remove"):
        magnitude(np.full((3, SIZE, SIZE), value), tmp_path)


def write(kind, folder, volume):
    """A scan of the three slices in a format, and the name of its reader."""
    folder.mkdir(parents=True)
    if kind == "nifti":
        write_nifti(folder / "scan.nii.gz", np.moveaxis(volume, 0, -1).astype(np.int16))
    elif kind == "dicom":
        for place, pixels in enumerate(volume.astype(np.int16)):
            position = [0, 0, 3.0 * place]
            write_series(
                folder, [f"{place}.dcm"], ImagePositionPatient=position, InstanceNumber=place + 1,
                PixelRepresentation=1, PixelData=pixels.tobytes(), Rows=SIZE, Columns=SIZE,
            )  # fmt: skip
    elif kind == "numpy":
        np.save(folder / "scan.npy", volume.astype(np.float32))
    else:
        with h5py.File(folder / "scan.h5", "w") as file:
            file["reconstruction_esc"] = volume.astype(np.float32)


@pytest.mark.parametrize("kind", ["dicom", "nifti", "fastmri-h5"])
def test_every_reader_pads_tells_refuses_and_takes_the_setting(tmp_path, kind):
    write(kind, tmp_path / "padded", with_outside(-1024))
    write(kind, tmp_path / "signed", SIGNED["inversion recovery"]())
    (padded,), (refused,) = (list(inspect(tmp_path / name, parse_reader(kind))) for name in ("padded", "signed"))
    table = findings_table([padded, refused])
    assert (padded.largest, refused.shape) == (1000, None)
    assert (
        f"{padded.volume}: padding of -1024 around the image ({100 * OUTSIDE.mean():.3g} % of its values) is read as 0"
        in table
    )
    assert "values are negative" in table
    reader = parse_reader(f'{{"format": "{kind}", "negatives": "magnitude"}}')
    (taken,) = inspect(tmp_path / "signed", reader)
    assert taken.largest == 1000


@pytest.mark.parametrize("kind", ["dicom", "nifti", "numpy"])
def test_a_script_gets_magnitudes_and_a_warning(tmp_path, kind):
    write(kind, tmp_path / "scan", with_outside(-32768))
    with pytest.warns(ReadNote, match="padding of -32768"):
        images = load_kspace(tmp_path / "scan").images
    np.testing.assert_array_equal(images, head())

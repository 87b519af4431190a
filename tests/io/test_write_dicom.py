"""DICOM out: what a new series has of the old one, what it has of its own, and what it must not have."""

import shutil
import subprocess

import gdcm
import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from pydicom.valuerep import PersonName
from scan_files import MADE, PRIVATE, write_enhanced, write_oblique

from unimri.core.errors import ReadError, UnimriError
from unimri.io.dicom.derived import FrameScale, choose_scale
from unimri.io.formats import find_sources

# Of every kind that holds text.
TEXTS = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT"}


def pixels(*shape, low=0, high=4095, kind=np.uint16, seed=0):
    return np.random.default_rng(seed).integers(low, high, shape, endpoint=True).astype(kind)


def reconstructed(folder, output, provenance, change=lambda images: images):
    """Write what was read of a folder's one series; the new headers in the order of their names."""
    (source,) = find_sources(folder)
    images = change(source.read().images).astype(np.float32)
    written = source.write(images, output, provenance)
    (again,) = find_sources(output)
    return images, again.read().images, [pydicom.dcmread(path) for path in written]


def test_a_series_comes_back_with_its_values_its_order_and_its_geometry(tmp_path):
    stored = pixels(5, 6, 7)
    old = [pydicom.dcmread(path) for path in write_oblique(tmp_path / "in", stored, WindowCenter=40, WindowWidth=80)]
    images, again, new = reconstructed(tmp_path / "in", tmp_path / "out", MADE)
    np.testing.assert_array_equal(images, stored)
    np.testing.assert_array_equal(again, images)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"IMG0000{k}.dcm" for k in range(1, 6)]
    for before, after in zip(old, new, strict=True):
        for keyword in (
            "StudyInstanceUID", "FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PatientName",
            "PixelSpacing", "InstanceNumber", "SOPClassUID", "WindowCenter", "BitsStored", "PixelRepresentation",
        ):  # fmt: skip
            assert after[keyword].value == before[keyword].value, keyword
        assert "RescaleSlope" not in after


def test_the_new_series_says_that_it_is_derived_and_from_what(tmp_path):
    old = [pydicom.dcmread(path) for path in write_oblique(tmp_path / "in", pixels(3, 4, 4))]
    _, _, new = reconstructed(tmp_path / "in", tmp_path / "out", MADE)
    assert len({image.SeriesInstanceUID for image in new} - {"1.2.3.1"}) == 1
    assert len({image.SOPInstanceUID for image in new} | {image.SOPInstanceUID for image in old}) == 6
    for before, after in zip(old, new, strict=True):
        assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
        assert after.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert after.ImageType == ["DERIVED", "SECONDARY", "M", "ND"]
        assert after.SourceImageSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID
        assert after.SeriesNumber == before.SeriesNumber + 1000
        assert after.SeriesDescription == "t2_tse_tra unimri 4x brain"
        assert "acceleration 4" in after.DerivationDescription
        assert after.LargestImagePixelValue == after.pixel_array.max()


def test_a_long_description_is_cut_and_still_says_what_was_made(tmp_path):
    write_oblique(tmp_path / "in", pixels(2, 4, 4), SeriesDescription="x" * 64)
    _, _, new = reconstructed(tmp_path / "in", tmp_path / "out", MADE)
    assert len(new[0].SeriesDescription) == 64
    assert new[0].SeriesDescription.endswith("x unimri 4x brain")


@pytest.mark.parametrize(
    ("header", "factor", "bits", "signed"),
    [
        ({"RescaleSlope": "2.5", "RescaleIntercept": "-1024"}, 1.0, 12, 0),
        ({"RescaleSlope": "2.5", "RescaleIntercept": "300"}, 1.0, 12, 0),
        ({}, 1.3, 16, 0),
        ({"BitsStored": 16}, 1.0, 16, 0),
        ({"RescaleSlope": "1", "RescaleIntercept": "300"}, 0.5, 16, 1),
    ],
)
def test_values_keep_the_scanners_scale(tmp_path, header, factor, bits, signed):
    stored = pixels(3, 8, 8, low=500)
    stored[0, 0] = 0, 4095, 0, 0, 0, 0, 0, 4095
    write_oblique(tmp_path / "in", stored, **header)
    slope = float(header.get("RescaleSlope", 1))
    images, again, new = reconstructed(tmp_path / "in", tmp_path / "out", MADE, lambda images: images * factor)
    np.testing.assert_allclose(again, images, rtol=0, atol=slope / 2 + 1e-3)
    assert (new[0].BitsStored, new[0].HighBit, new[0].PixelRepresentation) == (bits, bits - 1, signed)
    assert float(new[0].get("RescaleSlope", 1)) == slope


def test_what_sixteen_bits_cannot_hold_gets_a_slope(tmp_path):
    write_oblique(tmp_path / "in", pixels(3, 8, 8), SmallestImagePixelValue=0)
    images, again, new = reconstructed(tmp_path / "in", tmp_path / "out", MADE, lambda images: images * 1000)
    np.testing.assert_allclose(again, images, rtol=0, atol=images.max() / 65535 / 2 * 1.01)
    assert new[0].RescaleIntercept == 0
    assert max(image.LargestImagePixelValue for image in new) == 65535


def test_a_table_gives_way_to_a_slope(tmp_path):
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4096, 0, 16], "US"
    table.add_new("LUTData", "US", [k * k // 300 for k in range(4096)])
    write_oblique(tmp_path / "in", pixels(3, 8, 8), ModalityLUTSequence=[table])
    images, again, new = reconstructed(tmp_path / "in", tmp_path / "out", MADE)
    np.testing.assert_allclose(again, images, rtol=0, atol=images.max() / 65535)
    assert "ModalityLUTSequence" not in new[0]


@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": "0.7", "RescaleIntercept": "33.3"}])
def test_dark_is_turned_to_bright(tmp_path, rescale):
    write_oblique(
        tmp_path / "in",
        pixels(3, 8, 8),
        PhotometricInterpretation="MONOCHROME1",
        WindowCenter=3,
        WindowWidth=4,
        **rescale,
    )
    images, again, new = reconstructed(tmp_path / "in", tmp_path / "out", MADE)
    np.testing.assert_allclose(again, images, rtol=0, atol=1e-3)
    assert new[0].PhotometricInterpretation == "MONOCHROME2"
    assert "WindowCenter" not in new[0]


def test_compressed_images_come_back_uncompressed(tmp_path):
    for path in write_oblique(tmp_path / "in", pixels(3, 8, 8)):
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
    images, again, new = reconstructed(tmp_path / "in", tmp_path / "out", MADE)
    np.testing.assert_array_equal(again, images)
    assert new[0].file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert "LossyImageCompression" not in new[0]


def test_what_was_compressed_with_loss_still_says_so(tmp_path):
    (path,) = write_oblique(
        tmp_path / "in", pixels(1, 16, 16, high=255).astype(np.uint8), BitsAllocated=8, BitsStored=8
    )
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGBaselineProcess1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()
    dataset = pydicom.dcmread(path)
    dataset.pop("LossyImageCompression", None)
    dataset.save_as(path)
    images, again, new = reconstructed(tmp_path / "in", tmp_path / "out", MADE)
    np.testing.assert_array_equal(again, images)
    assert new[0].LossyImageCompression == "01"


@pytest.mark.parametrize("factor", [1, 1000])
def test_frames_of_an_enhanced_file_come_back_in_their_places(tmp_path, factor):
    stored = pixels(4, 6, 5)
    write_enhanced(tmp_path / "in" / "a", stored, [1, 2, 3, 4])
    images, again, (new,) = reconstructed(tmp_path / "in", tmp_path / "out", MADE, lambda images: images * factor)
    np.testing.assert_array_equal(images / factor, (stored * np.array([1, 2, 3, 4])[:, None, None])[::-1])
    np.testing.assert_allclose(again, images, rtol=0, atol=0 if factor == 1 else images.max() / 65535)
    groups = new.PerFrameFunctionalGroupsSequence
    assert groups[2].PlanePositionSequence[0].ImagePositionPatient == [0, 0, -6]
    assert groups[2].MRImageFrameTypeSequence[0].FrameType == ["DERIVED", "PRIMARY", "M", "NONE"]
    assert new.ImageType[:2] == ["DERIVED", "PRIMARY"]


def test_what_describes_the_old_pixels_is_dropped(tmp_path):
    def add(dataset):
        dataset.private_block(0x0009, "VENDOR", create=True).add_new(1, "LO", "secret")
        item = Dataset()
        item.private_block(0x0009, "VENDOR", create=True).add_new(1, "LO", "secret")
        item.Rows = 1
        dataset.ReferencedImageSequence = [item]
        dataset.IconImageSequence = [Dataset()]
        dataset.add_new(0x60000010, "US", 4)
        dataset.add_new(0x60003000, "OW", b"secret")
        dataset.PixelPaddingValue = 7

    write_oblique(tmp_path / "in", pixels(2, 4, 4), add)
    _, _, new = reconstructed(tmp_path / "in", tmp_path / "out", MADE)
    assert not [element for element in new[0].iterall() if element.tag.is_private or element.tag.group == 0x6000]
    assert not {"IconImageSequence", "PixelPaddingValue"} & {element.keyword for element in new[0]}
    assert all(b"secret" not in path.read_bytes() for path in (tmp_path / "out").iterdir())


def plant(dataset):
    """Put a name into every element that can hold text, also those that are kept."""
    for keyword in (
        "AcquisitionContrast", "AngioFlag", "BodyPartExamined", "DeviceSerialNumber", "ImageComments", "ImagedNucleus",
        "InstitutionName", "LossyImageCompression", "MRAcquisitionType", "PatientPosition", "PresentationLUTShape",
        "ProtocolName", "RequestAttributesSequence", "RescaleType", "ScanningSequence", "ScanOptions",
        "SequenceName", "SequenceVariant", "StationName", "StudyDescription", "StudyID", "VOILUTFunction",
    ):  # fmt: skip
        setattr(dataset, keyword, [Dataset()] if keyword == "RequestAttributesSequence" else "")
    dataset.RequestAttributesSequence[0].RequestedProcedureDescription = ""
    dataset.private_block(0x0009, "PLANTED", create=True).add_new(1, "LO", "")
    for element in dataset.iterall():
        if element.VR in TEXTS - {"DS", "IS"} and element.keyword != "PhotometricInterpretation":
            element._value = PersonName("PLANTED") if element.VR == "PN" else "PLANTED"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "PLANTED"]


@pytest.mark.filterwarnings("ignore")
def test_no_name_in_any_text_reaches_a_deidentified_series(tmp_path):
    paths = write_oblique(tmp_path / "PLANTED", pixels(3, 4, 4), plant)
    images, again, new = reconstructed(tmp_path / "PLANTED", tmp_path / "out", PRIVATE)
    np.testing.assert_array_equal(again, images)
    old = pydicom.dcmread(paths[0])
    secrets = [b"PLANTED", *(str(old[name].value).encode() for name in ("SOPInstanceUID", "SeriesInstanceUID"))]
    for path in (tmp_path / "out").rglob("*.dcm"):
        assert not [secret for secret in secrets if secret in path.read_bytes()]
        assert "PLANTED" not in path.name
    assert new[0].PatientName == ""
    assert new[0].PatientIdentityRemoved == "YES"
    assert {new[0].StudyInstanceUID, new[0].FrameOfReferenceUID}.isdisjoint({"1.2.3", "1.2.3.9"})
    assert {image.StudyInstanceUID for image in new} == {new[0].StudyInstanceUID}
    assert new[0].ImagePositionPatient == old.ImagePositionPatient
    # The test can fail: what is not de-identified has them.
    reconstructed(tmp_path / "PLANTED", tmp_path / "named", MADE)
    assert b"PLANTED" in (tmp_path / "named" / "IMG00001.dcm").read_bytes()


def test_a_deidentified_enhanced_file_keeps_its_frames_places_and_no_text(tmp_path):
    write_enhanced(tmp_path / "in" / "a", pixels(3, 6, 5), [1, 2, 4])
    images, again, (new,) = reconstructed(tmp_path / "in", tmp_path / "out", PRIVATE)
    np.testing.assert_array_equal(again, images)
    assert "StackID" not in new.PerFrameFunctionalGroupsSequence[0].FrameContentSequence[0]


def test_burned_in_texts_are_refused_where_names_must_go(tmp_path):
    write_oblique(tmp_path / "in", pixels(2, 4, 4), BurnedInAnnotation="YES")
    with pytest.raises(ReadError, match="burned into its pixels"):
        reconstructed(tmp_path / "in", tmp_path / "out", PRIVATE)
    assert not (tmp_path / "out").exists()
    assert reconstructed(tmp_path / "in", tmp_path / "out", MADE)[2][0].BurnedInAnnotation == "YES"


def test_a_series_that_cannot_be_written_leaves_nothing(tmp_path):
    paths = write_oblique(tmp_path / "in", pixels(3, 4, 4))
    (source,) = find_sources(tmp_path / "in")
    images = source.read().images
    with pytest.raises(ReadError, match="another length"):
        source.write(images[:2], tmp_path / "out", MADE)
    paths[0].write_bytes(b"no DICOM")
    with pytest.raises(UnimriError):
        source.write(images, tmp_path / "out", MADE)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_mosaics_are_refused(tmp_path):
    write_oblique(tmp_path / "in", pixels(2, 4, 4), ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    with pytest.raises(ReadError, match="mosaic"):
        find_sources(tmp_path / "in")[0].read()


@pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")
@pytest.mark.parametrize("deidentify", [False, True])
def test_dcm2niix_gives_the_same_affine_and_values(tmp_path, deidentify):
    write_oblique(tmp_path / "in", pixels(5, 16, 12), SliceThickness=4, RescaleSlope="2", RescaleIntercept="0")
    reconstructed(tmp_path / "in", tmp_path / "out", PRIVATE if deidentify else MADE)
    converted = []
    for name in ("in", "out"):
        (tmp_path / f"{name}-nifti").mkdir()
        command = ["dcm2niix", "-z", "n", "-b", "n", "-o", tmp_path / f"{name}-nifti", tmp_path / name]
        subprocess.run(command, check=True, capture_output=True)
        (path,) = (tmp_path / f"{name}-nifti").glob("*.nii")
        converted.append(nib.load(path))
    np.testing.assert_array_equal(converted[1].affine, converted[0].affine)
    np.testing.assert_array_equal(converted[1].get_fdata(), converted[0].get_fdata())


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    largest=st.floats(1e-3, 1e7),
    frames=st.lists(
        st.builds(
            FrameScale,
            slope=st.floats(1e-3, 100) | st.floats(-10, -0.01),
            intercept=st.floats(-2000, 2000),
            bits=st.integers(8, 16),
            signed=st.booleans(),
            linear=st.booleans(),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_no_value_is_clipped_and_none_is_off_by_more_than_half_a_step(seed, largest, frames):
    images = np.random.default_rng(seed).uniform(0, largest, (len(frames), 3, 3)).astype(np.float32)
    scale = choose_scale(images, frames)
    stored = scale.store(images, range(len(frames)))
    low, high = (-(2 ** (scale.bits - 1)), 2 ** (scale.bits - 1) - 1) if scale.signed else (0, 2**scale.bits - 1)
    assert low <= stored.min() <= stored.max() <= high
    slopes, intercepts = scale.slopes[:, None, None], scale.intercepts[:, None, None]
    assert (np.abs(stored * slopes + intercepts - images) <= np.abs(slopes) * 0.5001).all()
    if scale.kept:
        assert scale.slopes.tolist() == [frame.slope for frame in frames]

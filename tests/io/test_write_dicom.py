"""DICOM out: what a new series has of the old one, what it has of its own, and what it must not have."""

import shutil
import struct
import subprocess
import tomllib
from pathlib import Path
from time import perf_counter

import gdcm
import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, RLELossless
from pydicom.valuerep import PersonName
from scan_files import MADE, PRIVATE, item, write_enhanced, write_oblique

from unimri.core.errors import ReadError, UnimriError
from unimri.io.dicom import derived
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
        if element.VR in TEXTS - {"DS", "IS"} and element.keyword not in ("Modality", "PhotometricInterpretation"):
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


# Table E.1-1 of DICOM PS3.15, 2026c: the keywords of all elements that the Basic Profile removes or replaces.
PROFILE = set((Path(__file__).parents[1] / "files" / "confidentiality_profile.txt").read_text().split())


def test_nothing_that_the_basic_profile_lists_is_kept():
    table = tomllib.loads(Path(derived.__file__).with_suffix(".toml").read_text())
    kept = {name for key in ("numbers", "sequences") for name in table[key].split()} | set(
        table["terms"] | table["most"]
    )
    assert len(PROFILE) > 600
    assert not kept & PROFILE
    # Emptied, as the profile allows.
    assert set(table["empty"].split()) >= PROFILE & {"PatientName", "PatientID", "StudyDate", "AccessionNumber"}


SAFE = {"SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"}


@pytest.mark.filterwarnings("ignore")
def test_no_value_of_a_listed_element_reaches_a_deidentified_series(tmp_path):
    values = dict.fromkeys(TEXTS - {"DS", "IS"}, "JANE")
    values |= {"UI": "2.25.19570314", "DA": "19570314", "TM": "195703", "DT": "19570314", "AS": "057Y", "SQ": None}

    def plant(dataset):
        for keyword in sorted(PROFILE - SAFE):
            kind = dictionary_VR(keyword).split(" or ")[0]
            if tag_for_keyword(keyword) >> 16 > 2 and kind in values:
                value = [item(CodeMeaning="JANE")] if kind == "SQ" else values[kind]
                dataset.add_new(keyword, kind, value)
        dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "2.25.19570314.1", "2.25.19570314.2"

    write_oblique(tmp_path / "in", pixels(2, 4, 4), plant)
    _, _, new = reconstructed(tmp_path / "in", tmp_path / "out", PRIVATE)
    listed = {element.keyword: element.value for element in new[0] if element.keyword in PROFILE - SAFE}
    ours = {"SeriesDescription", "DerivationDescription", "ContributingEquipmentSequence"}
    assert {name for name, value in listed.items() if value} <= ours
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        assert not [one for one in (b"JANE", b"19570314", b"195703", b"057Y") if one in content]


NUMBERS = (
    *("AcquisitionNumber", "ImagesInAcquisition", "EchoNumbers", "TemporalPositionIdentifier", "SliceLocation"),
    *("NumberOfTemporalPositions", "InStackPositionNumber", "EchoTime", "RepetitionTime", "NumberOfAverages"),
    *("EchoTrainLength", "TriggerTime", "SeriesNumber", "InstanceNumber"),
)


def test_no_free_number_reaches_a_deidentified_series(tmp_path):
    planted = dict.fromkeys(NUMBERS, 19570314) | {"SOPClassUID": "2.25.19570314"}
    write_oblique(tmp_path / "in", pixels(3, 4, 4), **planted | {"ImagePositionPatient": [0, 0, 0]})
    _, _, new = reconstructed(tmp_path / "in", tmp_path / "out", PRIVATE)
    assert {image.SOPClassUID for image in new} == {image.file_meta.MediaStorageSOPClassUID for image in new}
    assert new[0].SOPClassUID == MRImageStorage
    assert sorted(image.InstanceNumber for image in new) == [1, 2, 3]
    number = (19570314).to_bytes(4, "little")
    assert not [path for path in (tmp_path / "out").iterdir() if b"19570314" in path.read_bytes()]
    assert not [path for path in (tmp_path / "out").iterdir() if number in path.read_bytes()]


def test_numbers_of_the_acquisition_are_kept(tmp_path):
    stated = {"EchoTime": 90, "RepetitionTime": 4000, "FlipAngle": 150, "AcquisitionMatrix": [0, 320, 256, 0]}
    write_oblique(tmp_path / "in", pixels(2, 4, 4), **stated)
    _, _, new = reconstructed(tmp_path / "in", tmp_path / "out", PRIVATE)
    assert {name: new[0][name].value for name in stated} == stated


@pytest.mark.parametrize("deidentify", [False, True])
def test_a_series_without_a_class_becomes_one_of_mr(tmp_path, deidentify):
    for path in write_oblique(tmp_path / "in", pixels(3, 4, 4)):
        dataset = pydicom.dcmread(path)
        del dataset.SOPClassUID
        if deidentify:
            del dataset.file_meta.MediaStorageSOPClassUID
        dataset.save_as(path, enforce_file_format=False)
    images, again, new = reconstructed(tmp_path / "in", tmp_path / "out", PRIVATE if deidentify else MADE)
    np.testing.assert_array_equal(again, images)
    assert {image.SOPClassUID for image in new} == {MRImageStorage}


def nested(depth, open_ended):
    """Bytes of a public sequence that holds itself `depth` deep, with explicit representations."""
    inner = b""
    for _ in range(depth):
        if open_ended:
            inner = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
            end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
            inner = struct.pack("<HH2sHI", 0x0010, 0x1002, b"SQ", 0, 0xFFFFFFFF) + inner + end
        else:
            inner = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
            inner = struct.pack("<HH2sHI", 0x0010, 0x1002, b"SQ", 0, len(inner)) + inner
    return inner


@pytest.mark.parametrize("open_ended", [False, True])
@pytest.mark.parametrize("depth", [14, 400, 5000])
def test_sequences_without_end_are_a_fault_within_seconds(tmp_path, depth, open_ended):
    (path,) = write_oblique(tmp_path / "in", pixels(1, 4, 4))
    content = path.read_bytes()
    after = content.index(struct.pack("<HH2sH", 0x0010, 0x0020, b"LO", 2)) + 10
    path.write_bytes(content[:after] + nested(depth, open_ended) + content[after:])
    started = perf_counter()
    with pytest.raises(ReadError, match=r"nests sequences|cannot be (parsed|read)"):
        reconstructed(tmp_path / "in", tmp_path / "out", MADE)
    assert perf_counter() - started < 30
    assert not (tmp_path / "out").exists()


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
    stored = np.stack([scale.store(image, number) for number, image in enumerate(images)])
    low, high = (-(2 ** (scale.bits - 1)), 2 ** (scale.bits - 1) - 1) if scale.signed else (0, 2**scale.bits - 1)
    assert low <= stored.min() <= stored.max() <= high
    slopes, intercepts = scale.slopes[:, None, None], scale.intercepts[:, None, None]
    assert (np.abs(stored * slopes + intercepts - images) <= np.abs(slopes) * 0.5001).all()
    if scale.kept:
        assert scale.slopes.tolist() == [frame.slope for frame in frames]

"""DICOM: grouping, order, values, and what is passed over or refused."""

import random
import shutil
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from scan_files import item, ramp, write_image, write_nifti, write_series

from unimri.core.errors import UnimriError
from unimri.core.settings import parse_settings
from unimri.data.index import IndexTask, index_scans
from unimri.data.layouts import DicomReader, ReaderSettings
from unimri.io.dicom.series import read_header
from unimri.io.nifti import read_slices, slice_orientation
from unimri.io.notes import heard

SETTINGS = DicomReader()


def _values(volume):
    """What `write_series` put into each slice."""
    return volume[:, 5, 5].tolist()


def test_slices_are_ordered_by_position_whatever_the_names_and_numbers_say(tmp_path):
    positions = list(range(8))
    random.Random(0).shuffle(positions)
    for count, k in enumerate(positions):
        pixels = np.full((6, 5), k + 1, np.uint16)
        pixels[0, 0] = 0
        # A tilted stack: the position along z alone would order it the other way round.
        normal = np.array([0, np.sin(2.5), np.cos(2.5)])
        write_image(
            tmp_path / f"sub{count % 2}" / f"{count}",
            pixels,
            InstanceNumber=count,
            ImageOrientationPatient=[1, 0, 0, 0, round(np.cos(2.5), 6), round(-np.sin(2.5), 6)],
            ImagePositionPatient=[round(float(x), 5) for x in 4.0 * k * normal],
        )
    (scan,) = SETTINGS.find(tmp_path)
    assert SETTINGS.read_scan(scan)[:, 2, 2].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(scan.paths) == 8


@pytest.mark.parametrize("missing", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_instance_number_orders_slices_without_positions(tmp_path, missing):
    for number, name in ((3, "a.dcm"), (1, "b.dcm"), (2, "c.dcm")):
        write_series(tmp_path, [name], InstanceNumber=number, **{missing: None})
    (scan,) = SETTINGS.find(tmp_path)
    assert [path.name for path in scan.paths] == ["b.dcm", "c.dcm", "a.dcm"]


def test_echoes_at_one_position_are_all_kept_by_position_then_number(tmp_path):
    write_series(tmp_path / "second", InstanceNumber=2)
    write_series(tmp_path / "first", InstanceNumber=1)
    (scan,) = SETTINGS.find(tmp_path)
    assert [path.parent.name for path in scan.paths] == ["first", "second"] * 3
    assert _values(SETTINGS.read_scan(scan)) == [1, 1, 2, 2, 3, 3]


def test_a_series_of_images_that_are_not_parallel_is_ordered_by_number(tmp_path):
    write_series(tmp_path, ["z"], InstanceNumber=1, ImagePositionPatient=[0, 0, 50])
    write_series(
        tmp_path,
        ["y"],
        InstanceNumber=2,
        ImagePositionPatient=[0, 0, 0],
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
    )
    (scan,) = SETTINGS.find(tmp_path)
    assert [path.name for path in scan.paths] == ["z", "y"]


def test_rescale_gives_the_scanners_scale(tmp_path):
    pixels = np.arange(4, 24, dtype=np.uint16).reshape(4, 5)
    write_image(tmp_path / "a.dcm", pixels, RescaleSlope="2.5", RescaleIntercept="-10")
    (scan,) = SETTINGS.find(tmp_path)
    volume = SETTINGS.read_scan(scan)
    assert volume.dtype == np.float32
    np.testing.assert_allclose(volume[0], 2.5 * pixels.astype(float) - 10)


def test_monochrome1_is_inverted(tmp_path):
    write_series(tmp_path, PhotometricInterpretation="MONOCHROME1")
    volume = SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])
    assert _values(volume) == [2, 1, 0]
    assert volume[:, 0, 0].tolist() == [3, 3, 3]


def test_what_is_no_image_is_passed_over(tmp_path):
    write_series(tmp_path / "scan")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "preview.png").write_bytes(b"\x89PNG\r\n" + bytes(200))
    (tmp_path / "table").write_bytes(b"\x08\x00" + bytes(range(200)))
    (tmp_path / "scan" / "._IM1.dcm").write_bytes(b"\0\5\x16\7")
    pixels = np.ones((4, 4), np.uint16)
    write_image(tmp_path / "DICOMDIR", pixels, SOPClassUID=MediaStorageDirectoryStorage, PixelData=None)
    for kind in (SegmentationStorage, GrayscaleSoftcopyPresentationStateStorage, BasicTextSRStorage):
        write_image(tmp_path / f"{kind.name}.dcm", pixels, SOPClassUID=kind, SeriesInstanceUID="1.9")
    (scan,) = SETTINGS.find(tmp_path)
    assert _values(SETTINGS.read_scan(scan)) == [1, 2, 3]


def test_a_deflated_file_that_would_fill_the_memory_is_told_and_the_others_are_read(tmp_path):
    write_series(tmp_path / "good", PatientID="P2")
    path = write_image(tmp_path / "bad/bomb", ramp(8, 8), syntax=DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    padding = struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, 2**27)
    packed = packer.compress(zlib.decompress(content[start:], -15) + padding)
    packed += b"".join(packer.compress(bytes(2**20)) for _ in range(2**7)) + packer.flush()
    path.write_bytes(content[:start] + packed)
    good, bad = sorted(SETTINGS.find(tmp_path), key=lambda scan: len(scan.paths), reverse=True)
    assert _values(SETTINGS.read_scan(good)) == [1, 2, 3]
    tracemalloc.start()
    with pytest.raises(UnimriError, match="bomb: would unpack to more than an image can"):
        SETTINGS.read_scan(bad)
    with pytest.raises(UnimriError, match="bomb: would unpack to more than an image can"):
        read_header(path)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()


def test_files_without_preamble_or_extension_are_found(tmp_path):
    write_series(tmp_path / "a", ["1", "2", "3"], preamble=False)
    (scan,) = SETTINGS.find(tmp_path)
    assert _values(SETTINGS.read_scan(scan)) == [1, 2, 3]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_every_uncompressed_encoding_gives_the_same_values(tmp_path, syntax):
    pixels = ramp(30, 80).astype(np.int16)
    write_image(tmp_path / "a", pixels, syntax=syntax)
    (scan,) = SETTINGS.find(tmp_path)
    np.testing.assert_array_equal(SETTINGS.read_scan(scan)[0], pixels)


def test_several_series_may_lie_in_one_folder(tmp_path):
    write_series(tmp_path, ["1", "2"], SeriesInstanceUID="1.1")
    write_series(tmp_path, ["3", "4", "5"], SeriesInstanceUID="1.2")
    assert [len(scan.paths) for scan in SETTINGS.find(tmp_path)] == [2, 3]


def test_a_stack_with_a_slice_missing_is_kept(tmp_path):
    _, path, _ = write_series(tmp_path)
    path.unlink()
    (scan,) = SETTINGS.find(tmp_path)
    assert _values(SETTINGS.read_scan(scan)) == [1, 3]


def test_the_modality_table_is_applied(tmp_path):
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4, 10, 16])
    table.add_new("LUTData", "US", [5, 50, 500, 5000])
    table.ModalityLUTType = "US"
    pixels = np.array([[0, 10, 11], [12, 13, 99]], np.uint16)
    write_image(tmp_path / "a.dcm", pixels, ModalityLUTSequence=[table])
    (scan,) = SETTINGS.find(tmp_path)
    assert SETTINGS.read_scan(scan)[0].tolist() == [[5, 5, 50], [500, 5000, 5000]]


def private(group, creator, element, representation, value):
    """An edit that writes an element of a vendor's own."""
    return lambda dataset: dataset.private_block(group, creator, create=True).add_new(element, representation, value)


def orphaned(dataset):
    """GE's element, whose creator an anonymiser has taken away."""
    dataset.Manufacturer = "GE MEDICAL SYSTEMS"
    dataset.add_new(0x0043102F, "SS", 3)


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "R", "ND"]}, "real part"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "I"]}, "imaginary part"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"]}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PHASE", "NONE"]}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "IMAGINARY", "NONE"]}, "imaginary part"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "REAL"]}, "real part"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "R_FFE", "R", "FFE"]}, "real part"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "I_SE", "NONE"]}, "imaginary part"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P_PCA", "NONE"]}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "VELOCITY MAP", "V"]}, "velocity"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "B0 MAP", "B0", "FFE"]}, "field map"),
        ({"ImageType": ["DERIVED", "PRIMARY", "OTHER", "PHASE"]}, "phase"),
        ({"ImageType": "PHASE"}, "phase"),
        ({"ComplexImageComponent": "IMAGINARY"}, "imaginary part"),
        ({"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "milliradials"}, "phase"),
        ({"edit": private(0x0043, "GEMS_PARM_01", 0x2F, "SS", 1)}, "phase"),
        ({"edit": private(0x0043, "GEMS_PARM_01", 0x2F, "SS", 2)}, "real part"),
        ({"edit": private(0x0043, "GEMS_PARM_01", 0x2F, "UN", b"\3\0")}, "imaginary part"),
        ({"edit": orphaned}, "imaginary part"),
        ({"edit": private(0x2005, "Philips MR Imaging DD 001", 0x11, "CS", "P")}, "phase"),
        ({"edit": private(0x0051, "SIEMENS MR HEADER", 0x16, "LO", "p2 P/ND")}, None),
        ({"edit": private(0x0051, "SIEMENS MR HEADER", 0x16, "LO", "P/ND")}, "phase"),
        ({"edit": private(0x0043, "GEMS_PARM_01", 0x2F, "SS", 0)}, None),
        ({"edit": private(0x0043, "ANOTHER", 0x2F, "SS", 1)}, None),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"], "ComplexImageComponent": "MAGNITUDE"}, None),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M_IR", "M", "IR"]}, None),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"]}, None),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M_PCA", "M", "PCA"]}, None),
        ({"ImageType": ["DERIVED", "PRIMARY", "PHASE CONTRAST", "REALTIME"]}, None),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, None),
        ({"ImageType": "PRIMARY"}, None),
    ],
)
def test_phases_and_parts_are_refused_where_the_header_says_so(tmp_path, header, part):
    write_series(tmp_path, **header)
    (scan,) = SETTINGS.find(tmp_path)
    if part is None:
        assert _values(SETTINGS.read_scan(scan)) == [1, 2, 3]
    else:
        with pytest.raises(UnimriError, match=f"is no magnitude image: its header says {part}"):
            SETTINGS.read_scan(scan)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"Modality": "CT"}, "is of modality CT, and only MR is read"),
        ({"Modality": "PT"}, "is of modality PT, and only MR is read"),
        ({"Modality": "PLANTED"}, "is of another modality, and only MR is read"),
        ({"Modality": None, "SOPClassUID": CTImageStorage}, "is of modality CT, and only MR is read"),
        ({"Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "M"]}, "is of modality CT"),
        ({"Modality": None}, None),
        ({"Modality": "MR", "SOPClassUID": SecondaryCaptureImageStorage}, None),
    ],
)
def test_only_mr_is_read(tmp_path, header, says):
    write_series(tmp_path, **header)
    (scan,) = SETTINGS.find(tmp_path)
    if says is None:
        assert _values(SETTINGS.read_scan(scan)) == [1, 2, 3]
    else:
        with pytest.raises(UnimriError, match=says):
            SETTINGS.read_scan(scan)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, "is a mosaic of slices"),
        ({"edit": private(0x0019, "SIEMENS MR HEADER", 0x0A, "US", 9)}, "is a mosaic of slices"),
        ({"Modality": "CT"}, "is of modality CT"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, "its header says phase"),
    ],
)
def test_what_the_header_says_of_a_series_is_told_before_any_pixel_is_read(tmp_path, caplog, header, says):
    for number in (1, 2, 3):
        write_series(
            tmp_path / "set" / str(number), PatientID=f"PLANTED{number}", SeriesInstanceUID=f"1.{number}", **header
        )
    assert [says in scan.fault.reason for scan in SETTINGS.find(tmp_path / "set")] == [True] * 3
    index_scans("knee", tmp_path / "set", IndexTask(reader=SETTINGS), seed=0)
    told = [record.getMessage() for record in caplog.records]
    assert len([line for line in told if says in line]) == 3
    assert "PLANTED" not in "".join(told)


def _enhanced(places, **header):
    """An enhanced file's header with this place for each frame, whose type says that it is a mosaic."""
    frames = [item(PlanePositionSequence=[item(ImagePositionPatient=place)]) for place in places]
    return {
        "SOPClassUID": EnhancedMRImageStorage,
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
        "PerFrameFunctionalGroupsSequence": frames,
        "SharedFunctionalGroupsSequence": [
            item(PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])
        ],
    }


def test_frames_with_places_of_their_own_are_no_mosaics_whatever_the_type_says(tmp_path):
    write_image(tmp_path / "a", ramp(4, 5, 6), **_enhanced([[0, 0, 3.0 * k] for k in range(4)]))
    write_image(tmp_path / "b", ramp(4, 5, 6), **_enhanced([[0, 0, 0]] * 4), SeriesInstanceUID="1.9")
    slices, mosaics = SETTINGS.find(tmp_path)
    np.testing.assert_array_equal(SETTINGS.read_scan(slices), ramp(4, 5, 6))
    with pytest.raises(UnimriError, match="mosaic"):
        SETTINGS.read_scan(mosaics)


def _padded(tmp_path, value, kind=np.uint16, **header):
    """What is read of one image with this value in its first two rows and the notes of it; 1000 is its largest."""
    pixels = np.arange(20, dtype=kind).reshape(5, 4) * 50
    pixels[4, 3], pixels[:2] = 1000, value
    write_image(tmp_path / "a.dcm", pixels, **header)
    (scan,) = SETTINGS.find(tmp_path)
    with heard() as notes:
        return SETTINGS.read_scan(scan)[0], notes


@pytest.mark.parametrize(
    ("value", "kind", "header"),
    [
        (65535, np.uint16, {"PixelPaddingValue": 65535}),
        # Not at the corners alone, and not far above the rest: nothing but the header can tell.
        (1200, np.uint16, {"PixelPaddingValue": 1200}),
        (1300, np.uint16, {"PixelPaddingValue": 1200, "PixelPaddingRangeLimit": 1400}),
        (1300, np.uint16, {"PixelPaddingValue": 1400, "PixelPaddingRangeLimit": 1200}),
        (-2000, np.int16, {"edit": lambda dataset: dataset.add_new("PixelPaddingValue", "US", 63536)}),
        (-2000, np.int16, {"PixelPaddingValue": -2000, "RescaleSlope": 1, "RescaleIntercept": 0}),
    ],
)
def test_padding_that_the_header_declares_becomes_background(tmp_path, value, kind, header):
    image, notes = _padded(tmp_path, value, kind, **header)
    assert image[:2].tolist() == [[0] * 4] * 2
    assert (image[2, 0], image[4, 3], image.max()) == (400, 1000, 1000)
    assert notes == ["padding that the header declares (40 % of all values) is read as 0"]


def test_declared_padding_is_dark_where_large_values_are_dark(tmp_path):
    image, notes = _padded(tmp_path, 0, PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1")
    assert image[:2].tolist() == [[0] * 4] * 2
    assert (image[2, 0], image[4, 3]) == (600, 0)
    assert len(notes) == 1


def test_declared_padding_that_is_zero_is_nothing_to_tell(tmp_path):
    assert _padded(tmp_path, 0, PixelPaddingValue=0)[1] == []


def test_each_file_is_inverted_by_its_own_word(tmp_path):
    write_series(tmp_path, ["1", "2"], PhotometricInterpretation="MONOCHROME1")
    write_series(tmp_path, ["3"], ImagePositionPatient=[0, 0, 50])
    (scan,) = SETTINGS.find(tmp_path)
    assert _values(SETTINGS.read_scan(scan)) == [1, 0, 1]


def test_an_instance_that_lies_twice_is_used_once(tmp_path):
    write_series(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (scan,) = SETTINGS.find(tmp_path)
    assert [path.parent.name for path in scan.paths] == ["a"] * 3


def test_series_and_patients_come_from_the_header(tmp_path):
    write_series(tmp_path / "x", PatientID="P2", SeriesInstanceUID="1.1")
    write_series(tmp_path / "y", PatientID="P1", SeriesInstanceUID="1.2")
    write_series(tmp_path / "z", PatientID="P2", SeriesInstanceUID="1.3")
    scans = DicomReader(format="fastmri-dicom").find(tmp_path)
    assert [scan.patient for scan in scans] == ["P1", "P2", "P2"]
    assert len({scan.name for scan in scans}) == 3


@pytest.mark.parametrize(("settings", "identity"), [(DicomReader(), ""), (DicomReader(patient="folder"), "P1")])
def test_the_top_folder_is_the_patient_when_the_header_is_not(tmp_path, settings, identity):
    write_series(tmp_path / "x" / "deep", PatientID=identity, SeriesInstanceUID="1.1")
    write_series(tmp_path / "x", PatientID=identity, SeriesInstanceUID="1.2")
    write_series(tmp_path / "y", PatientID=identity, SeriesInstanceUID="1.3")
    assert [scan.patient for scan in settings.find(tmp_path)] == ["x", "x", "y"]


def test_series_of_one_study_without_patient_or_folder_stay_together(tmp_path):
    write_series(tmp_path, ["1", "2"], PatientID=None, SeriesInstanceUID="1.1")
    write_series(tmp_path, ["3", "4"], PatientID=None, SeriesInstanceUID="1.2")
    first, second = SETTINGS.find(tmp_path)
    assert first.patient == second.patient


def test_a_pattern_in_the_path_goes_before_the_patient_of_the_header(tmp_path):
    settings = DicomReader(patient_pattern=r"(sub-\d+)_")
    for session, series in (("sub-1_a", "1.1"), ("sub-1_b", "1.2"), ("sub-2_a", "1.3")):
        write_series(tmp_path / "study" / session, PatientID=f"P{series}", SeriesInstanceUID=series)
    (tmp_path / "study" / "sub-2_a" / "bad.dcm").write_text("no image")
    write_series(tmp_path / "pilot", PatientID="P9", SeriesInstanceUID="1.4")
    scans = settings.find(tmp_path)
    assert [scan.patient for scan in scans] == ["P9", "sub-1", "sub-1", "sub-2", "sub-2"]
    assert len({scan.name for scan in scans}) == 5


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(sub", "must be a regular expression"),
        ("sub-[0-9]+", "needs one group"),
        ("(a)(b)", "needs one group.* has 2"),
    ],
)
@pytest.mark.parametrize("format_", ["dicom", "nifti"])
def test_a_bad_pattern_is_refused_by_key(pattern, says, format_):
    with pytest.raises(UnimriError, match=rf"config: .*patient_pattern is '.*': {says}"):
        parse_settings(ReaderSettings, {"format": format_, "patient_pattern": pattern}, "config")


# Direction of growing columns and of growing rows, left-posterior-superior.
AXIAL = [1, 0, 0, 0, 1, 0]
CORONAL = [1, 0, 0, 0, 0, -1]
SAGITTAL = [0, 1, 0, 0, 0, -1]
FEET_FIRST = [-1, 0, 0, 0, 1, 0]
OBLIQUE = [0.96, 0.28, 0, -0.2688, 0.9216, 0.28]


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize(
    ("orientation", "said"),
    [
        (AXIAL, "axial (S P L)"),
        (CORONAL, "coronal (P I L)"),
        (SAGITTAL, "sagittal (R I P)"),
        (FEET_FIRST, "axial (I P R)"),
        (OBLIQUE, "oblique axial (S P L)"),
    ],
)
def test_planes_are_those_of_the_nifti_reader(tmp_path, plane, orientation, said):
    volume = ramp(3, 4, 5).astype(np.uint16)
    columns, rows = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(columns, rows)
    corner = np.array([-20.0, 30.0, 5.0])
    for k, pixels in enumerate(volume):
        place = [round(float(x), 4) for x in corner + 6 * k * normal]
        write_image(tmp_path / f"{9 - k}.dcm", pixels, ImagePositionPatient=place, ImageOrientationPatient=orientation)
    affine = np.eye(4)
    affine[:3] = np.stack([6 * normal, 2 * rows, 2 * columns, corner], axis=1)
    affine[:2] *= -1
    nifti = write_nifti(tmp_path / "a.nii", volume, affine)
    (scan,) = DicomReader(plane=plane).find(tmp_path)
    np.testing.assert_array_equal(DicomReader(plane=plane).read_scan(scan), read_slices(nifti, plane))
    assert DicomReader(plane=plane).orientation(scan.paths) == slice_orientation(nifti, plane)
    (scan,) = SETTINGS.find(tmp_path)
    np.testing.assert_array_equal(SETTINGS.read_scan(scan), volume)
    assert SETTINGS.orientation(scan.paths) == said


def test_planes_need_no_even_spacing(tmp_path):
    for name, z in (("a", 0), ("b", 3), ("c", 40)):
        write_series(tmp_path, [name], ImagePositionPatient=[0, 0, z])
    (scan,) = DicomReader(plane="coronal").find(tmp_path)
    assert DicomReader(plane="coronal").read_scan(scan).shape == (12, 3, 10)


def test_a_series_that_is_no_stack_cannot_be_turned(tmp_path):
    settings = DicomReader(plane="coronal")
    write_series(tmp_path / "places", ImagePositionPatient=None, SeriesInstanceUID="1.1")
    write_series(tmp_path / "echoes", ImagePositionPatient=[0, 0, 7], SeriesInstanceUID="1.2")
    write_series(tmp_path / "localiser", ["a"], SeriesInstanceUID="1.3")
    write_series(tmp_path / "localiser", ["b"], ImageOrientationPatient=SAGITTAL, SeriesInstanceUID="1.3")
    for scan, says in zip(settings.find(tmp_path), ["no positions", "one position", "not parallel"], strict=True):
        with pytest.raises(UnimriError, match=rf"{says}.*`plane: native`"):
            settings.read_scan(scan)


def test_a_stack_whose_directions_make_no_sense_cannot_be_turned(tmp_path):
    write_series(tmp_path, ["a.dcm"], ImageOrientationPatient=[0] * 6)
    with pytest.raises(UnimriError, match=r"a\.dcm.*no orientation"):
        DicomReader(plane="axial").read_scan(DicomReader(plane="axial").find(tmp_path)[0])


def _truncate(path: Path, to: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * to)])


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
        ({"NumberOfFrames": 2}, "more voxels than the file holds"),
        ({"NumberOfFrames": 200_000}, "more frames than the file can hold"),
        ({"NumberOfFrames": -1}, "more frames than the file can hold"),
        ({"PixelData": None}, "no pixel data"),
        ({"Rows": 60000, "Columns": 60000}, "voxels"),
        ({"Rows": 0}, "without voxels"),
        ({"Rows": None}, "parsed"),
        ({"Columns": 40}, "more voxels than the file holds"),
        ({"RescaleSlope": "1e39", "RescaleIntercept": "0"}, "infinite"),
        ({"PixelData": bytes(240)}, "equal"),
    ],
)
def test_a_bad_image_is_told_by_name(tmp_path, header, says):
    write_series(tmp_path / "scan", ["bad.dcm"], PatientName="PLANTED^NAME", PatientID="PLANTED", **header)
    with pytest.raises(UnimriError, match=says) as raised:
        SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])
    message = str(raised.value)
    assert "bad.dcm" in message
    assert "\n" not in message
    assert "PLANTED" not in message


@pytest.mark.parametrize("to", [0.0, 0.3, 0.5, 0.9])
def test_a_file_cut_short_is_told_by_name(tmp_path, to):
    _, path, _ = write_series(tmp_path)
    _truncate(path, to)
    with pytest.raises(UnimriError, match=r"IM2\.dcm.*again"):
        [SETTINGS.read_scan(scan) for scan in SETTINGS.find(tmp_path)]


def test_a_dcm_that_is_something_else_is_told_by_name(tmp_path):
    write_series(tmp_path)
    (tmp_path / "notes.dcm").write_text("not an image\n" * 50)
    with pytest.raises(UnimriError, match=r"notes\.dcm: cannot be parsed as DICOM"):
        [SETTINGS.read_scan(scan) for scan in SETTINGS.find(tmp_path)]


def test_mixed_sizes_are_told_by_name(tmp_path):
    write_series(tmp_path)
    write_series(tmp_path, ["other.dcm"], shape=(8, 8), ImagePositionPatient=[0, 0, 90])
    with pytest.raises(UnimriError, match=r"other\.dcm.*8 x 8.*12 x 10"):
        SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])


def test_folders_without_images_are_told(tmp_path):
    with pytest.raises(UnimriError, match="no such folder"):
        SETTINGS.find(tmp_path / "none")
    with pytest.raises(UnimriError, match="empty"):
        SETTINGS.find(tmp_path)
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(UnimriError, match="found no DICOM image"):
        SETTINGS.find(tmp_path)
    with pytest.raises(UnimriError, match="is a file"):
        SETTINGS.find(tmp_path / "notes.txt")

"""Multi-frame DICOM: enhanced images with functional groups, and plain ones."""

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RLELossless,
)
from scan_files import item, write_image

from unimri.core.errors import UnimriError
from unimri.data.layouts import DicomReader
from unimri.io import volume

SETTINGS = DicomReader()


def _groups(z=None, slope=None, component=None):
    """Functional groups of a frame."""
    groups = Dataset()
    if z is not None:
        groups.PlanePositionSequence = [item(ImagePositionPatient=[0, 0, z])]
    if slope is not None:
        groups.PixelValueTransformationSequence = [item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="US")]
    if component is not None:
        groups.MRImageFrameTypeSequence = [
            item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], ComplexImageComponent=component)
        ]
    return groups


SHARED = item(PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])


def _pixels(values, shape=(6, 5)):
    """Frames of one value each, but for a first pixel of 0."""
    pixels = np.broadcast_to(np.array(values, np.uint16)[:, None, None], (len(values), *shape)).copy()
    pixels[:, 0, 0] = 0
    return pixels


@pytest.fixture
def write_enhanced():
    def write(path, values, groups, **header):
        elements = {
            "SOPClassUID": EnhancedMRImageStorage,
            "SharedFunctionalGroupsSequence": [SHARED],
            "PerFrameFunctionalGroupsSequence": groups,
            **header,
        }
        return write_image(path, _pixels(values), **elements)

    return write


def _values(volume):
    return volume[:, 2, 2].tolist()


SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_frames_are_ordered_by_position_then_frame_with_a_rescale_of_their_own(tmp_path, write_enhanced, syntax):
    # Many enough that the sequence is too long to be read with the header.
    groups = [_groups(z=z, slope=slope) for z in range(49, -1, -1) for slope in (1, 10)]
    write_enhanced(tmp_path / "a.dcm", np.arange(1, 101), groups, syntax=syntax)
    (scan,) = SETTINGS.find(tmp_path)
    values = [value for k in range(50) for value in (99 - 2 * k, 10 * (100 - 2 * k))]
    assert _values(SETTINGS.read_scan(scan)) == values
    assert len(scan.paths) == 1


def test_groups_that_all_frames_share_count(tmp_path, write_enhanced):
    shared = _groups(slope=3)
    shared.PlaneOrientationSequence = SHARED.PlaneOrientationSequence
    groups = [_groups(z=z) for z in (8, 4)]
    # A rescale in the file's own header is not the frames'.
    header = {"SharedFunctionalGroupsSequence": [shared], "RescaleSlope": 7, "RescaleIntercept": 0}
    write_enhanced(tmp_path / "a.dcm", [1, 2], groups, **header)
    assert _values(SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])) == [6, 3]


def test_frames_without_groups_keep_their_order(tmp_path):
    kind = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    write_image(tmp_path / "a.dcm", _pixels([3, 1, 2]), SOPClassUID=kind, RescaleSlope=2, RescaleIntercept=0)
    assert _values(SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])) == [6, 2, 4]


def test_a_series_may_mix_single_frames_and_several_files_of_many(tmp_path, write_enhanced):
    write_enhanced(tmp_path / "a.dcm", [5, 1], [_groups(z=40), _groups(z=0)])
    write_enhanced(tmp_path / "b.dcm", [3, 2], [_groups(z=20), _groups(z=10)])
    place = {"ImagePositionPatient": [0, 0, 30], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    write_image(tmp_path / "c.dcm", _pixels([4])[0], **place)
    (scan,) = SETTINGS.find(tmp_path)
    assert _values(SETTINGS.read_scan(scan)) == [1, 2, 3, 4, 5]
    assert sorted(source.name for source in scan.paths) == ["a.dcm", "b.dcm", "c.dcm"]


def test_frames_can_be_turned_to_a_plane(tmp_path, write_enhanced):
    write_enhanced(tmp_path / "a.dcm", [2, 1], [_groups(z=4), _groups(z=0)])
    volume = DicomReader(plane="coronal").read_scan(DicomReader(plane="coronal").find(tmp_path)[0])
    assert volume.shape == (6, 2, 5)
    # Superior is up.
    assert volume[3, :, 2].tolist() == [2, 1]


@pytest.mark.parametrize("component", ["PHASE", "REAL", "IMAGINARY"])
def test_frames_that_are_no_magnitudes_are_refused(tmp_path, write_enhanced, component):
    groups = [_groups(z=0, component="MAGNITUDE"), _groups(z=4, component=component)]
    write_enhanced(tmp_path / "a.dcm", [1, 2], groups, ComplexImageComponent="MIXED")
    with pytest.raises(UnimriError, match="is no magnitude image"):
        SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])


def test_magnitudes_in_functional_groups_are_read(tmp_path, write_enhanced):
    groups = [_groups(z=z, component="MAGNITUDE") for z in (0, 4)]
    write_enhanced(tmp_path / "a.dcm", [1, 2], groups, ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    assert _values(SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])) == [1, 2]


def test_groups_for_another_number_of_frames_are_told(tmp_path, write_enhanced):
    write_enhanced(tmp_path / "a.dcm", [1, 2], [_groups(z=0)])
    with pytest.raises(UnimriError, match=r"a\.dcm: describes another number of frames"):
        SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])


def test_frames_cut_short_are_told(tmp_path, write_enhanced):
    path = write_enhanced(tmp_path / "a.dcm", [1, 2], [_groups(z=0), _groups(z=4)])
    path.write_bytes(path.read_bytes()[:-70])
    with pytest.raises(UnimriError, match=r"a\.dcm: declares more (voxels|frames)"):
        SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])


def test_frames_that_together_are_too_many_voxels_are_told(tmp_path, write_enhanced, monkeypatch):
    monkeypatch.setattr(volume, "MAX_VOXELS", 100)
    write_enhanced(tmp_path / "a.dcm", [1, 2], [_groups(z=0), _groups(z=4)])
    write_enhanced(tmp_path / "b.dcm", [1, 2], [_groups(z=8), _groups(z=9)])
    with pytest.raises(UnimriError, match="declares 120 voxels"):
        SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])


def test_compressed_frames_are_read_in_order(tmp_path):
    pixels = _pixels([3, 1, 2])
    path = write_image(tmp_path / "a.dcm", pixels)
    dataset = dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    np.testing.assert_array_equal(SETTINGS.read_scan(SETTINGS.find(tmp_path)[0]), pixels)
    dataset.NumberOfFrames = 4
    dataset.save_as(path)
    with pytest.raises(UnimriError, match=r"a\.dcm.*cannot be decoded"):
        SETTINGS.read_scan(SETTINGS.find(tmp_path)[0])
